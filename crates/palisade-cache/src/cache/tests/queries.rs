//! QUERY (RFC 10008), by content.

use http::Method;

use super::*;

fn query(path: &str, content: &'static str) -> Request<Text> {
    let request = Request::builder().method(Method::QUERY).uri(path);
    request.header("content-type", "application/sql").body(Text::from(content)).unwrap()
}

/// A service that returns the length of the content.
fn site(builder: CacheBuilder) -> Site {
    Site::with_handler(builder, |_, request| {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let content = body.collect().await.unwrap().to_bytes();
            let text = format!("{} {}", head.method, content.len());
            Ok(minute().header("cache-tag", "t").body(Text::from(text)).unwrap())
        })
    })
}

#[tokio::test]
async fn queries_are_stored_by_their_content() {
    let site = site(Cache::honour().store_queries(64));
    for expected in ["Palisade; fwd=miss; stored", "Palisade; hit"] {
        for (content, text) in [("select 1", "QUERY 8"), ("select 10", "QUERY 9")] {
            let (head, body) = site.send_with(query("/a", content)).await;
            assert_eq!((status(&head), &*body), (expected, text));
        }
    }
    let mut other = query("/a", "select 1");
    other.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(status(&site.send_with(other).await.0), "Palisade; fwd=miss; stored");
    let get = site.get("/a").await;
    assert_eq!((status(&get.0), &*get.1), ("Palisade; fwd=miss; stored", "GET 0"));
    assert_eq!(site.get("/a").await.1, "GET 0");
    assert_eq!(site.send_with(query("/a", "select 1")).await.1, "QUERY 8");
}

#[tokio::test]
async fn queries_pass_by_default_and_if_they_are_long() {
    for (builder, expected) in [
        (Cache::honour(), "Palisade; fwd=method"),
        (Cache::honour().store_queries(7), "Palisade; fwd=bypass"),
    ] {
        let site = site(builder);
        for _ in 0..2 {
            let (head, body) = site.send_with(query("/a", "select 1")).await;
            assert_eq!((status(&head), &*body), (expected, "QUERY 8"));
        }
    }
}

#[tokio::test]
async fn changes_and_purges_remove_the_responses_to_queries() {
    let site = site(Cache::honour().store_queries(64));
    for change in 0..4 {
        site.send_with(query("/a", "select 1")).await;
        assert_eq!(status(&site.send_with(query("/a", "select 1")).await.0), "Palisade; hit");
        let purge = site.cache.purge();
        match change {
            0 => drop(site.send(Request::post("/a")).await),
            1 => purge.path("/a").await.unwrap(),
            2 => purge.tag("t").await.unwrap(),
            _ => purge.everything().await.unwrap(),
        }
        let (head, _) = site.send_with(query("/a", "select 1")).await;
        assert_eq!(status(&head), "Palisade; fwd=miss; stored", "change {change}");
    }
}

#[tokio::test]
async fn renewal_of_a_query_has_its_content() {
    let site = Site::with_handler(
        Cache::revalidate(Duration::from_secs(60)).store_queries(64),
        |number, request| {
            Box::pin(async move {
                let method = request.method().clone();
                let content = request.into_body().collect().await.unwrap().to_bytes();
                let text = format!("{number} {method} {}", content.len());
                Ok(ok().body(Text::from(text)).unwrap())
            })
        },
    );
    assert_eq!(site.send_with(query("/a", "select 1")).await.1, "1 QUERY 8");
    site.wait(61);
    assert_eq!(site.send_with(query("/a", "select 1")).await.1, "1 QUERY 8");
    settle().await;
    assert_eq!(site.send_with(query("/a", "select 1")).await.1, "2 QUERY 8");
}

#[tokio::test]
async fn authenticated_queries_are_not_stored() {
    let site = site(Cache::honour().store_queries(64));
    for _ in 0..2 {
        let mut request = query("/a", "select 1");
        request.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
        assert_eq!(status(&site.send_with(request).await.0), "Palisade; fwd=bypass");
    }
}
