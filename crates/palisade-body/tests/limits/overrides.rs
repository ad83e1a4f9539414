//! Limits by content type, and inner limits in place of outer ones.

use super::*;

#[tokio::test]
async fn overridable_buffered_limit_reads_no_declared_excess() {
    let body = Chunked::new(&["1234", "56789"]);
    let taken = body.taken();
    let mut request = Request::new(body);
    request.headers_mut().insert("content-length", 9.into());
    let limit = BodyLimit::new(8).overridable().buffered();
    let response = limit.layer(service_fn(echo)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(taken.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn each_content_type_can_have_its_own_limit() {
    let limit = BodyLimit::new(4)
        .for_content_type("application/json", 8)
        .unwrap()
        .for_content_type("multipart/form-data", ByteSize::new(12))
        .unwrap()
        .for_content_type("image/*", 2)
        .unwrap();
    for (content_type, passes) in [
        (None, 4),
        (Some("text/plain"), 4),
        (Some("application/json"), 8),
        (Some("Application/JSON; charset=utf-8"), 8),
        (Some("application/json-seq"), 4),
        (Some("multipart/form-data;boundary=x"), 12),
        (Some("image/png"), 2),
        (Some("imagine/png"), 4),
        (Some("image"), 4),
    ] {
        for declared in [true, false] {
            for (length, expected) in
                [(passes, StatusCode::OK), (passes + 1, StatusCode::PAYLOAD_TOO_LARGE)]
            {
                let body: &'static str = &"1234567890123"[..length];
                let mut request = chunked(&[]).map(|_| Chunked::script([Step::Data(body)]));
                if let Some(content_type) = content_type {
                    request.headers_mut().insert("content-type", content_type.parse().unwrap());
                }
                if declared {
                    request.headers_mut().insert("content-length", length.into());
                }
                let response = limit.layer(service_fn(echo)).oneshot(request).await.unwrap();
                assert_eq!(response.status(), expected, "{content_type:?} {length} {declared}");
            }
        }
    }
}

#[test]
fn invalid_content_type_is_a_config_error() {
    for wrong in ["", "json", "/", "a/", "/b", "*/*", "a/b; c=d", "a b/c", "a/b/c"] {
        let error = BodyLimit::new(1).for_content_type(wrong, 1).unwrap_err();
        assert_eq!(error.setting(), "content type", "{wrong}");
        assert!(error.to_string().contains("multipart/form-data"));
    }
}

/// An inner limit inside an outer one, over a handler that reads, and one that does not.
#[tokio::test]
async fn route_limit_overrides_the_outer_one() {
    let outer = || BodyLimit::new(8);
    for (name, outer, inner, length, expected) in [
        ("smaller, strict", outer(), 4, 4, 200),
        ("smaller, strict", outer(), 4, 5, 413),
        ("smaller", outer().overridable(), 4, 4, 200),
        ("smaller", outer().overridable(), 4, 5, 413),
        ("larger", outer().overridable(), 12, 12, 200),
        ("larger", outer().overridable(), 12, 13, 413),
        ("larger, but the outer one is strict", outer(), 12, 9, 413),
        ("larger, buffered inside", outer().overridable(), 12, 12, 200),
    ] {
        for declared in [true, false] {
            for reads in [true, false] {
                let text: &'static str = &"1234567890123"[..length];
                let mut request = Request::new(Chunked::script([Step::Wait, Step::Data(text)]));
                if declared {
                    request.headers_mut().insert("content-length", length.into());
                }
                let handler = service_fn(
                    move |request: Request<LimitedBody<LimitedBody<Chunked>>>| async move {
                        if reads { echo(request).await } else { ignores(request).await }
                    },
                );
                let mut inner = BodyLimit::new(inner);
                if name.contains("buffered") {
                    inner = inner.buffered();
                }
                let response = outer.layer(inner.layer(handler)).oneshot(request).await.unwrap();
                let context = format!("{name} {length} declared {declared} reads {reads}");
                assert_eq!(response.status(), expected, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn innermost_limit_replaces_all_overridable_outer_limits() {
    for (middle, inner, length, expected) in [
        (BodyLimit::new(6).overridable(), 12, 12, 200),
        (BodyLimit::new(6).overridable(), 12, 13, 413),
        (BodyLimit::new(10).overridable(), 4, 5, 413),
        (BodyLimit::new(10), 12, 10, 200),
        (BodyLimit::new(10), 12, 11, 413),
        (BodyLimit::new(10).buffered(), 12, 11, 413),
    ] {
        for declared in [true, false] {
            let text: &'static str = &"1234567890123"[..length];
            let mut request = Request::new(Chunked::script([Step::Wait, Step::Data(text)]));
            if declared {
                request.headers_mut().insert("content-length", length.into());
            }
            let outer = BodyLimit::new(8).overridable();
            let handler =
                service_fn(|request: Request<LimitedBody<LimitedBody<LimitedBody<Chunked>>>>| {
                    echo(request)
                });
            let service = outer.layer(middle.layer(BodyLimit::new(inner).layer(handler)));
            let response = service.oneshot(request).await.unwrap();
            let context = format!("{middle:?} {inner} {length} declared {declared}");
            assert_eq!(response.status(), expected, "{context}");
        }
    }
}

#[tokio::test]
async fn declared_excess_is_rejected_without_an_override() {
    let forbids = service_fn(|_: Request<LimitedBody<Chunked>>| async {
        Ok(Response::builder().status(403).body(Full::default()).unwrap())
    });
    let handlers = handlers().into_iter().chain([("forbids", forbids.boxed_clone())]);
    for (name, handler) in handlers {
        let body = Chunked::new(&["1234", "56789"]);
        let taken = body.taken();
        let mut request = Request::new(body);
        request.headers_mut().insert("content-length", 9.into());
        let limit = BodyLimit::new(8).overridable();
        let response = limit.layer(handler).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{name}");
        assert_eq!(taken.load(Ordering::SeqCst), 0, "{name} read a byte");
    }
}
