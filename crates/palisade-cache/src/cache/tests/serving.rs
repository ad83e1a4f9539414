use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{Method, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use palisade_core::testing::{Contract, Script, Step};
use tower::service_fn;

use super::*;
use crate::{CacheStore, CacheTags, Validators};

#[test]
fn keeps_the_layer_contract() {
    let get = || Request::get("/").body(Script::empty()).unwrap();
    Contract::new(get).check(|| Cache::honour().build().unwrap());
    Contract::new(get).check(|| crate::ETag::strong().max_body(0));
}

#[tokio::test]
async fn fresh_response_is_served_with_its_age() {
    let site = Site::new(Cache::honour(), |_, _| minute().header("x-a", "1"));
    let (head, body) = site.get("/a").await;
    assert_eq!((status(&head), &*body), ("Palisade; fwd=miss; stored", "answer 1"));
    site.wait(59);
    let (head, body) = site.get("/a").await;
    assert_eq!((status(&head), &*body), ("Palisade; hit", "answer 1"));
    assert_eq!((field(&head, "age"), field(&head, "x-a")), ("59", "1"));
    assert_eq!(head.headers["content-length"], "8");
    assert_eq!(head.headers["date"], "Tue, 14 Nov 2023 22:13:20 GMT");
    site.wait(1);
    assert_eq!(site.get("/a").await.1, "answer 2");
}

#[tokio::test]
async fn key_is_host_path_and_query() {
    let site = Site::new(Cache::honour(), |_, _| minute());
    for (number, uri) in
        ["/a", "/b", "/a?x=1", "http://one.example/a", "http://two.example/a"].iter().enumerate()
    {
        assert_eq!(site.get(uri).await.1, format!("answer {}", number + 1), "{uri}");
    }
    assert_eq!(site.get("http://one.example/a").await.1, "answer 4");
    let by_header = site.send(Request::get("/a").header("host", "one.example")).await;
    assert_eq!(by_header.1, "answer 4");
    let two_hosts = Request::get("/a").header("host", "one.example").header("host", "b.example");
    assert_eq!(status(&site.send(two_hosts).await.0), "Palisade; fwd=bypass");
}

#[tokio::test]
async fn head_is_served_from_a_get_and_not_stored() {
    let site = Site::new(Cache::honour(), |_, _| minute());
    site.send(Request::head("/a")).await;
    assert_eq!(site.get("/a").await.1, "answer 2");
    let (head, body) = site.send(Request::head("/a")).await;
    assert_eq!((status(&head), &*body, field(&head, "content-length")), ("Palisade; hit", "", "8"));
}

#[tokio::test]
async fn range_and_conditional_requests_bypass_the_cache() {
    let site = Site::new(Cache::honour(), |_, _| minute());
    site.get("/a").await;
    for (name, value) in [
        ("range", "bytes=0-1"),
        ("x-http-method-override", "DELETE"),
        ("if-match", "\"a\""),
        ("upgrade", "websocket"),
    ] {
        let (head, _) = site.send(Request::get("/a").header(name, value)).await;
        assert_eq!(status(&head), "Palisade; fwd=bypass", "{name}");
    }
    let with_body = Request::get("/a").body(Text::from("chosen by a client")).unwrap();
    assert_eq!(status(&site.send_with(with_body).await.0), "Palisade; fwd=bypass");
    assert_eq!(site.get("/a").await.1, "answer 1");
}

#[tokio::test]
async fn variants_are_stored_separately() {
    let site = Site::new(Cache::honour(), |_, _| minute().header("vary", "accept-language"));
    let get =
        |language: &'static str| site.send(Request::get("/a").header("accept-language", language));
    for (language, expected) in
        [("de", "answer 1"), ("en", "answer 2"), ("de", "answer 1"), ("EN", "answer 2")]
    {
        assert_eq!(get(language).await.1, expected, "{language}");
    }
    assert_eq!(site.get("/a").await.1, "answer 3");
}

#[tokio::test]
async fn stale_entry_is_revalidated_and_renewed_by_304() {
    let site = Site::new(Cache::honour(), |number, request| {
        let tag = request.headers().get(header::IF_NONE_MATCH);
        match number {
            1 => minute().header("etag", "\"a\"").header("x-a", "1"),
            2 if tag.is_some_and(|tag| tag == "\"a\"") => {
                minute().status(304).header("etag", "\"a\"").header("x-a", "2")
            }
            _ => ok().status(500),
        }
    });
    site.get("/a").await;
    site.wait(61);
    let (head, body) = site.get("/a").await;
    assert_eq!((status(&head), &*body), ("Palisade; fwd=stale; fwd-status=304", "answer 1"));
    assert_eq!((head.status, field(&head, "x-a")), (StatusCode::OK, "2"));
    site.wait(59);
    let (head, body) = site.get("/a").await;
    assert_eq!((status(&head), &*body, field(&head, "age")), ("Palisade; hit", "answer 1", "59"));
}

#[tokio::test]
async fn client_that_has_the_response_gets_304() {
    let site = Site::new(Cache::honour(), |_, _| {
        minute()
            .header("etag", "\"a\"")
            .header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("content-type", "text/plain")
            .header("vary", "accept")
            .header("content-location", "/a.txt")
    });
    site.get("/a").await;
    for (name, value, expected) in [
        ("if-none-match", "\"a\"", 304),
        ("if-none-match", "\"b\", W/\"a\"", 304),
        ("if-none-match", "\"b\"", 200),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        let (head, body) = site.send(Request::get("/a").header(name, value)).await;
        assert_eq!(head.status, expected, "{name}: {value}");
        assert_eq!(body.is_empty(), expected == 304);
        let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        if expected == 304 {
            assert_eq!(
                names,
                [
                    "age",
                    "cache-control",
                    "cache-status",
                    "content-location",
                    "date",
                    "etag",
                    "last-modified",
                    "vary"
                ]
            );
        }
    }
    assert_eq!(site.calls(), 1);
}

#[tokio::test]
async fn stale_response_is_served_if_the_service_fails() {
    let sie = "max-age=60, stale-if-error=100";
    let site = Site::new(Cache::honour(), move |number, _| match number {
        1 => ok().header("cache-control", sie),
        _ => ok().status(503),
    });
    site.get("/a").await;
    site.wait(61);
    let (head, body) = site.get("/a").await;
    assert_eq!((head.status.as_u16(), &*body), (200, "answer 1"));
    assert_eq!(status(&head), "Palisade; fwd=stale; detail=stale-if-error");
    site.wait(100);
    assert_eq!(site.get("/a").await.0.status, 503);
}

#[tokio::test]
async fn stale_response_is_served_if_the_service_fails_with_an_error() {
    let fails = Arc::new(AtomicBool::new(false));
    let clock = ManualClock::at(START);
    let cache = Cache::revalidate(Duration::from_secs(60)).stale_while_revalidate(Duration::ZERO);
    let cache = cache.clock(Arc::new(clock.clone())).build().unwrap();
    let failing = Arc::clone(&fails);
    let service = cache.layer(service_fn(move |_: Asked| {
        let outcome = if failing.load(Ordering::SeqCst) { Err("down") } else { Ok(()) };
        async move { outcome.map(|()| Response::new(Text::from("a"))) }
    }));
    let get =
        |path: &str| service.clone().oneshot(Request::get(path).body(Text::default()).unwrap());
    assert!(get("/a").await.is_ok());
    fails.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(61));
    assert_eq!(get("/a").await.unwrap().status(), 200);
    assert_eq!(get("/b").await.unwrap_err(), "down");
}

#[tokio::test]
async fn entry_is_removed_when_its_response_becomes_private() {
    let site = Site::new(Cache::honour().stale_if_error(Duration::from_secs(1000)), |number, _| {
        match number {
            1 => minute(),
            2 => ok().header("cache-control", "private"),
            _ => ok().status(500),
        }
    });
    site.get("/a").await;
    site.wait(61);
    assert_eq!(site.get("/a").await.1, "answer 2");
    assert_eq!(site.get("/a").await.0.status, 500, "the first response is gone");
}

#[tokio::test]
async fn request_cache_control_is_honoured_in_honour_mode_only() {
    let reload = || Request::get("/a").header("cache-control", "no-cache");
    let honour = Site::new(Cache::honour(), |_, _| minute());
    let ignore = Site::new(Cache::revalidate(Duration::from_secs(60)), |_, _| ok());
    for (site, expected) in [(&honour, "answer 2"), (&ignore, "answer 1")] {
        site.get("/a").await;
        assert_eq!(site.send(reload()).await.1, expected);
    }
    let only = Request::get("/b").header("cache-control", "only-if-cached");
    let (head, _) = honour.send(only).await;
    assert_eq!((head.status.as_u16(), honour.calls()), (504, 2));
}

#[tokio::test]
async fn successful_unsafe_requests_invalidate_target_and_location() {
    let site = Site::new(Cache::honour(), |_, request| match *request.method() {
        Method::POST => ok().status(201).header("location", "/posts/7"),
        Method::DELETE => ok().status(404),
        _ => minute(),
    });
    for path in ["/posts", "/posts/7", "/other"] {
        site.get(path).await;
    }
    site.send(Request::delete("/other")).await;
    site.send(Request::post("/posts")).await;
    assert_eq!(status(&site.get("/posts").await.0), "Palisade; fwd=miss; stored");
    assert_eq!(status(&site.get("/posts/7").await.0), "Palisade; fwd=miss; stored");
    assert_eq!(status(&site.get("/other").await.0), "Palisade; hit");
}

#[tokio::test]
async fn purges_remove_by_path_by_tag_or_everything() {
    let site =
        Site::new(Cache::forever().until_purged(), |_, request| match request.uri().path() {
            "/a" => ok().header("cache-tag", "posts, a"),
            _ => ok().extension(CacheTags::new(["posts"])),
        });
    let fill = async || {
        for path in ["/a", "/a?page=2", "/b"] {
            site.get(path).await;
        }
    };
    let hits = async || {
        let mut hits = Vec::new();
        for path in ["/a", "/a?page=2", "/b"] {
            hits.push(status(&site.get(path).await.0) == "Palisade; hit");
        }
        hits
    };
    fill().await;
    site.wait(1_000_000_000);
    assert_eq!(hits().await, [true, true, true]);
    let purge = site.cache.purge();
    purge.path("/a").await.unwrap();
    assert_eq!(hits().await, [false, false, true]);
    purge.tag("a").await.unwrap();
    assert_eq!(hits().await, [false, false, true]);
    purge.tag("posts").await.unwrap();
    assert_eq!(hits().await, [false, false, false]);
    purge.tag("unknown").await.unwrap();
    assert_eq!(hits().await, [true, true, true]);
    purge.everything().await.unwrap();
    assert_eq!(hits().await, [false, false, false]);
}

#[tokio::test]
async fn long_bodies_pass_and_memory_is_bounded() {
    let store = CacheStore::memory(64 * 1024).unwrap();
    let builder = Cache::honour().store(&store).max_body(1024);
    let site = Site::with_handler(builder, |_, request| {
        let length = request.uri().path()[1..].parse().unwrap();
        let response = minute().body(Text::from(vec![b'a'; length])).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    });
    assert_eq!(site.get("/1025").await.1.len(), 1025);
    assert_eq!(status(&site.get("/1025").await.0), "Palisade; fwd=miss; detail=too-long");
    for page in 0..1000 {
        site.get(&format!("/1024?{page}")).await;
    }
    let crate::store::Kind::Memory(memory) = &store.kind else { panic!("it is in memory") };
    let text = format!("{memory:?}");
    let used = text.split("used: ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let used: u64 = used.parse().unwrap();
    assert!((8 * 1024..=64 * 1024).contains(&used), "{text}");
}

/// A service whose body is a script.
async fn scripted(script: Script, exact: bool) -> (Vec<Result<String, ()>>, String) {
    let cache = Cache::honour().build().unwrap();
    let service = cache.layer(service_fn(move |_: Asked| {
        let script = script.clone();
        async move {
            let builder = minute();
            Ok::<_, Infallible>(if exact {
                builder.body(http_body_util::Either::Left(script)).unwrap()
            } else {
                // A stream does not tell its length.
                let stream = StreamBody::new(Frames(script));
                builder.body(http_body_util::Either::Right(stream)).unwrap()
            })
        }
    }));
    let get = || service.clone().oneshot(Request::get("/").body(Text::default()).unwrap());
    let mut body = get().await.unwrap().into_body();
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        frames.push(match frame {
            Ok(frame) => Ok(frame
                .into_data()
                .map_or("trailers".to_owned(), |data| String::from_utf8(data.to_vec()).unwrap())),
            Err(_) => Err(()),
        });
    }
    drop(body);
    settle().await;
    let again = get().await.unwrap().headers()["cache-status"].to_str().unwrap().to_owned();
    (frames, again)
}

struct Frames(Script);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, palisade_core::testing::ProbeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        http_body::Body::poll_frame(Pin::new(&mut self.0), cx)
    }
}

#[tokio::test]
async fn streams_pass_while_they_are_stored() {
    let script = || Script::from_steps([Step::Data("a"), Step::Wait, Step::Data("b")]);
    let frames =
        |frames: Vec<Result<String, ()>>| frames.into_iter().collect::<Result<Vec<_>, _>>();
    let (streamed, again) = scripted(script(), false).await;
    assert_eq!((frames(streamed), &*again), (Ok(vec!["a".into(), "b".into()]), "Palisade; hit"));
    let (collected, again) = scripted(script(), true).await;
    assert_eq!((frames(collected), &*again), (Ok(vec!["ab".into()]), "Palisade; hit"));
}

#[tokio::test]
async fn incomplete_bodies_and_trailers_pass_and_are_not_stored() {
    for exact in [true, false] {
        let failing = Script::from_steps([Step::Data("a"), Step::Wait, Step::Fail]);
        let (frames, again) = scripted(failing, exact).await;
        assert_eq!(frames, [Ok("a".to_owned()), Err(())]);
        assert!(!again.contains("hit"), "{again}");
        let trailers = Script::from_steps([Step::Data("a"), Step::Trailers(&[("x-a", "1")])]);
        let (frames, again) = scripted(trailers, exact).await;
        assert_eq!(frames, [Ok("a".to_owned()), Ok("trailers".to_owned())]);
        assert!(!again.contains("hit"), "{again}");
    }
}

#[tokio::test]
async fn last_modified_is_the_handlers_or_an_option() {
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let then = Duration::from_secs(784_111_777);
    let of_handler = || {
        Site::new(Cache::honour().last_modified(), move |_, _| {
            minute().extension(Validators::last_modified(then))
        })
    };
    let of_cache = || Site::new(Cache::honour().last_modified(), |_, _| minute());
    for (site, expected) in [
        (of_handler(), Some(THEN)),
        (of_cache(), Some("Tue, 14 Nov 2023 22:13:20 GMT")),
        (Site::new(Cache::honour(), |_, _| minute()), None),
    ] {
        for _ in 0..2 {
            let (head, _) = site.get("/a").await;
            let modified = head.headers.get("last-modified").map(|value| value.to_str().unwrap());
            assert_eq!(modified, expected);
            site.wait(5);
        }
    }
    let site = of_cache();
    let (head, _) = site.get("/a").await;
    let since = field(&head, "last-modified").to_owned();
    let (head, _) = site.send(Request::get("/a").header("if-modified-since", since)).await;
    assert_eq!(head.status, 304);
}
