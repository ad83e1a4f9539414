use std::{sync::Mutex, time::Duration};

use tokio::sync::Semaphore;

use super::*;

/// A service that answers once `gate` lets it.
fn gated(
    builder: CacheBuilder,
    answer: impl Fn(usize, &Asked) -> response::Builder + Send + Sync + 'static,
) -> (Site, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let answer = Arc::new(answer);
    let site = Site::with_handler(builder, move |number, request| {
        let (opened, answer) = (Arc::clone(&opened), Arc::clone(&answer));
        Box::pin(async move {
            opened.acquire().await.unwrap().forget();
            let body = Text::from(format!("answer {number}"));
            Ok(answer(number, &request).body(body).unwrap())
        })
    });
    (site, gate)
}

fn start(site: &Site, count: usize, path: &'static str) -> Vec<tokio::task::JoinHandle<String>> {
    let one = |_| {
        let site = site.clone();
        tokio::spawn(async move { site.get(path).await.1 })
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn thousand_concurrent_misses_run_the_service_once() {
    let (site, gate) = gated(Cache::honour(), |_, _| minute());
    let requests = start(&site, 1000, "/a");
    settle().await;
    assert_eq!(site.calls(), 1);
    gate.add_permits(1000);
    for request in requests {
        assert_eq!(request.await.unwrap(), "answer 1");
    }
    assert_eq!(site.calls(), 1);
}

#[tokio::test]
async fn misses_of_two_variants_run_the_service_twice() {
    let (site, gate) = gated(Cache::honour(), |_, _| minute().header("vary", "accept-language"));
    gate.add_permits(1000);
    let requests: Vec<_> = (0..1000)
        .map(|number| {
            let language = if number % 2 == 0 { "de" } else { "en" };
            let (site, request) = (site.clone(), Request::get("/a"));
            tokio::spawn(
                async move { site.send(request.header("accept-language", language)).await.1 },
            )
        })
        .collect();
    let mut answers = std::collections::BTreeSet::new();
    for request in requests {
        answers.insert(request.await.unwrap());
    }
    assert_eq!((site.calls(), answers.len()), (2, 2));
}

#[tokio::test]
async fn uncacheable_response_releases_all_waiting_requests() {
    let (site, gate) = gated(Cache::honour(), |_, _| ok().header("cache-control", "no-store"));
    let requests = start(&site, 100, "/a");
    settle().await;
    assert_eq!(site.calls(), 1);
    gate.add_permits(1);
    settle().await;
    assert_eq!(site.calls(), 100, "each of them is with the service now");
    gate.add_permits(99);
    let mut answers = std::collections::BTreeSet::new();
    for request in requests {
        answers.insert(request.await.unwrap());
    }
    assert_eq!(answers.len(), 100);
    let later = start(&site, 10, "/a");
    settle().await;
    assert_eq!(site.calls(), 110, "later requests do not wait for each other");
    gate.add_permits(10);
    for request in later {
        request.await.unwrap();
    }
}

#[tokio::test]
async fn another_request_is_sent_if_the_first_client_disconnects() {
    let (site, gate) = gated(Cache::honour(), |_, _| minute());
    let mut requests = start(&site, 10, "/a");
    settle().await;
    let first = requests.remove(0);
    first.abort();
    settle().await;
    assert_eq!(site.calls(), 2);
    gate.add_permits(10);
    for request in requests {
        assert_eq!(request.await.unwrap(), "answer 2");
    }
    assert_eq!(site.calls(), 2);
}

#[tokio::test]
async fn stale_responses_are_served_while_one_request_renews_them() {
    let (site, gate) = gated(Cache::revalidate(Duration::from_secs(60)), |_, _| ok());
    gate.add_permits(1);
    site.get("/a").await;
    site.wait(3600);
    for request in start(&site, 100, "/a") {
        assert_eq!(request.await.unwrap(), "answer 1");
    }
    settle().await;
    assert_eq!(site.calls(), 2, "one request renews");
    gate.add_permits(1);
    settle().await;
    let (head, body) = site.get("/a").await;
    assert_eq!((status(&head), &*body), ("Palisade; hit", "answer 2"));
}

#[tokio::test]
async fn failed_renewals_keep_the_stale_response() {
    let site = Site::new(Cache::revalidate(Duration::from_secs(60)), |number, _| match number {
        2 => ok().status(500),
        _ => ok(),
    });
    site.get("/a").await;
    site.wait(61);
    assert_eq!(site.get("/a").await.1, "answer 1");
    settle().await;
    assert_eq!((site.get("/a").await.1, site.calls()), ("answer 1".into(), 2));
    settle().await;
    assert_eq!((site.get("/a").await.1, site.calls()), ("answer 3".into(), 3));
}

#[tokio::test]
async fn background_refresh_omits_conditions_of_the_client() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let site = Site::new(Cache::revalidate(Duration::from_secs(60)), move |_, request| {
        let conditions = ["if-none-match", "if-modified-since", "cache-control"];
        let found = conditions.map(|name| request.headers().get(name).cloned());
        log.lock().unwrap().push((request.method().clone(), found));
        ok().header("etag", "\"a\"")
    });
    site.get("/a").await;
    site.wait(61);
    let head = Request::head("/a").header("if-none-match", "\"z\"").header("cache-control", "foo");
    site.send(head).await;
    settle().await;
    let expected = (http::Method::GET, [Some("\"a\"".parse().unwrap()), None, None]);
    assert_eq!(seen.lock().unwrap()[1], expected);
}

#[tokio::test]
async fn response_requested_before_a_purge_is_not_stored() {
    let (site, gate) = gated(Cache::forever().until_purged(), |_, _| ok().header("cache-tag", "t"));
    for purge in 0..3 {
        let before = site.calls();
        let request = start(&site, 1, "/a").remove(0);
        settle().await;
        assert_eq!(site.calls(), before + 1);
        let handle = site.cache.purge();
        match purge {
            0 => handle.path("/a").await,
            1 => handle.tag("t").await,
            _ => handle.everything().await,
        }
        .unwrap();
        gate.add_permits(1);
        request.await.unwrap();
    }
    gate.add_permits(1);
    site.get("/a").await;
    let hit = site.get("/a").await;
    assert_eq!(status(&hit.0), "Palisade; hit");
}
