//! Policies that read the whole body.

use super::*;

struct Collects;

impl BodyPolicy for Collects {
    type Grant = ();

    fn applies(&self, request: &request::Parts) -> Result<bool, Halt> {
        Ok(request.method == http::Method::POST)
    }

    fn decide(&self, _: &request::Parts, body: &Bytes) -> Decision<()> {
        if body == "no" { Decision::refuse(ApiError::forbidden()) } else { Decision::grant(()) }
    }
}

async fn send_to_collector(
    request: Request<Script>,
) -> (StatusCode, Bytes, Option<http::HeaderMap>) {
    let echo = service_fn(|request: Request<palisade_core::Body<Script>>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let response = BodyPolicyLayer::new(Collects, 10).layer(echo).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (status, body.to_bytes(), trailers)
}

#[tokio::test]
async fn collected_body_reaches_the_handler_byte_for_byte() {
    let trailers = [("x-sum", "7")].as_slice();
    let steps = [Step::Data("01234"), Step::Wait, Step::Data("56789"), Step::Trailers(trailers)];
    let request = Request::post("/").body(Script::from_steps(steps)).unwrap();
    let (status, body, trailers) = send_to_collector(request).await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"0123456789"[..]));
    assert_eq!(trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn collected_body_over_the_cap_is_413_and_broken_is_400() {
    let long = Script::from_steps([Step::Data("01234"), Step::Data("567890")]);
    let (status, ..) = send_to_collector(Request::post("/").body(long).unwrap()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let broken = Script::from_steps([Step::Data("01234"), Step::Fail]);
    let (status, ..) = send_to_collector(Request::post("/").body(broken).unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let refused = Script::from_steps([Step::Data("no")]);
    let (status, ..) = send_to_collector(Request::post("/").body(refused).unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn http_1_connection_with_an_unread_body_is_closed() {
    for (version, closes) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
        let long = Script::from_steps([Step::Data("01234"), Step::Data("567890")]);
        let request = Request::post("/").version(version).body(long).unwrap();
        let service = service_fn(|_: Request<palisade_core::Body<Script>>| async {
            Ok::<_, Infallible>(Response::new(Script::empty()))
        });
        let refused = BodyPolicyLayer::new(Collects, 10).layer(service).oneshot(request).await;
        let headers = refused.unwrap().into_parts().0.headers;
        assert_eq!(headers.contains_key("connection"), closes, "{version:?}");
    }
}

#[tokio::test]
async fn body_is_streamed_if_the_body_policy_does_not_apply() {
    let long = Script::from_steps([Step::Data("01234"), Step::Wait, Step::Data("567890")]);
    let (status, body, _) = send_to_collector(Request::put("/").body(long).unwrap()).await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"01234567890"[..]));
}

#[tokio::test]
async fn rejection_contains_the_request_id_of_an_outer_policy() {
    struct Names;
    impl Policy for Names {
        type Grant = ();
        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }
        fn admit(&self, (): &mut (), request: &mut request::Parts) {
            request.extensions.insert(RequestId::parse("req-1").unwrap());
        }
    }
    let chain = Names.then(counting("limit").refusing());
    let response =
        PolicyLayer::new(chain).layer(service_fn(echo_admitted)).oneshot(get()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "error": {"code": "RATE_LIMITED", "message": "too many requests", "request_id": "req-1"}
        })
    );
}

#[tokio::test]
async fn body_policy_is_recorded_on_the_trail_with_its_bytes() {
    for (body, expected, read) in [
        ("yes", "Collects=granted", 3),
        ("no", "Collects=refused(FORBIDDEN)", 2),
        ("far too long", "Collects=refused(PAYLOAD_TOO_LARGE)", 0),
    ] {
        let trail = Trail::new(SystemClock::shared());
        let request = Request::post("/").extension(trail.clone());
        send_to_collector(request.body(Script::from_steps([Step::Data(body)])).unwrap()).await;
        assert_eq!(trail.steps()[0].to_string(), expected);
        assert_eq!((trail.steps().len(), trail.body_bytes()), (1, read));
    }
}

/// A body of pieces of four bytes, of which the second waits while the body is held.
#[cfg(feature = "axum")]
struct Pieces {
    left: usize,
    is_held: Arc<std::sync::atomic::AtomicBool>,
    read: Arc<AtomicUsize>,
}

#[cfg(feature = "axum")]
impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        use std::task::Poll;
        if self.read.load(Ordering::SeqCst) == 1 && self.is_held.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.read.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"0123")))))
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn unread_rest_is_discarded_after_refusal_and_cancellation() {
    use axum::body::Body;
    for is_cancelled in [false, true] {
        let (is_held, read) = (Arc::new(is_cancelled.into()), Arc::<AtomicUsize>::default());
        let pieces = Pieces { left: 5, is_held: Arc::clone(&is_held), read: Arc::clone(&read) };
        let service = service_fn(|_: Request<palisade_core::Body<Body>>| async {
            Ok::<_, Infallible>(Response::new(Script::empty()))
        });
        let layer = BodyPolicyLayer::new(Collects, 10);
        let request = Request::post("/").body(Body::new(pieces)).unwrap();
        let mut response = Box::pin(layer.layer(service).oneshot(request));
        if is_cancelled {
            let waker = std::task::Waker::noop();
            assert!(
                response.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending()
            );
            assert_eq!(read.load(Ordering::SeqCst), 1);
            is_held.store(false, Ordering::SeqCst);
            drop(response);
        } else {
            assert_eq!(response.await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(read.load(Ordering::SeqCst), 3);
        }
        tokio::task::yield_now().await;
        assert_eq!(read.load(Ordering::SeqCst), 5, "cancelled: {is_cancelled}");
    }
}
