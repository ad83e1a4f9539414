//! Caches of several machines on one Redis.

use palisade_redis::{
    Redis,
    testing::{RedisCluster, RedisServer},
};

use super::*;
use crate::CacheStore;

/// A store that waits for a busy server.
fn patient(url: String) -> CacheStore {
    let patience = Duration::from_secs(20);
    let redis = Redis::builder(url).connect_timeout(patience).response_timeout(patience);
    CacheStore::redis(redis.build().unwrap())
}

/// Two machines with one handler each.
fn fleet(
    store: impl Fn() -> CacheStore,
    answer: impl Fn(usize, &Asked) -> response::Builder + Clone + Send + Sync + 'static,
) -> [Site; 2] {
    [(); 2].map(|()| Site::new(Cache::honour().store(&store()), answer.clone()))
}

fn calls(fleet: &[Site]) -> usize {
    fleet.iter().map(Site::calls).sum()
}

#[tokio::test]
async fn machines_share_responses() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = fleet(|| patient(server.url()), |_, _| minute().status(404).header("x", "1"));
    let (stored, _) = a.get("/a?b").await;
    assert_eq!(status(&stored), "Palisade; fwd=miss; stored");
    b.wait(7);
    let (hit, body) = b.get("/a?b").await;
    assert_eq!((hit.status.as_u16(), status(&hit), &*body), (404, "Palisade; hit", "answer 1"));
    assert_eq!((field(&hit, "x"), field(&hit, "age")), ("1", "7"));
    for other in ["/a?c", "/a"] {
        assert_eq!(status(&b.get(other).await.0), "Palisade; fwd=miss; stored", "{other}");
    }
    let host = Request::get("/a?b").header("host", "other.example");
    assert_eq!(status(&b.send(host).await.0), "Palisade; fwd=miss; stored");
    assert_eq!((a.calls(), b.calls()), (1, 3));
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_misses_on_two_machines_run_the_service_once() {
    let Some(server) = RedisServer::start() else { return };
    let slow = |_, _| -> Answered {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(minute().body(Text::from("slow")).unwrap())
        })
    };
    let machines =
        [(); 2].map(|()| Site::with_handler(Cache::honour().store(&patient(server.url())), slow));
    let requests: Vec<_> = (0..1_000)
        .map(|number| {
            let site = machines[number % 2].clone();
            tokio::spawn(async move { site.get("/a").await.1 })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), "slow");
    }
    assert_eq!(calls(&machines), 1);
}

#[tokio::test]
async fn purges_are_seen_by_each_machine() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] =
        fleet(|| patient(server.url()), |_, _| minute().header("cache-tag", "posts, news"));
    for purge in 0..4 {
        for path in ["/a?1", "/a?2", "/b"] {
            a.get(path).await;
            assert_eq!(status(&b.get(path).await.0), "Palisade; hit", "{path}");
        }
        let handle = b.cache.purge();
        match purge {
            0 => handle.path("/a").await,
            1 => handle.tag("news").await,
            2 => handle.everything().await,
            _ => handle.tag("other").await,
        }
        .unwrap();
        for (path, expected) in
            [("/a?1", purge < 3), ("/a?2", purge < 3), ("/b", purge == 1 || purge == 2)]
        {
            let is_miss = status(&a.get(path).await.0) != "Palisade; hit";
            assert_eq!(is_miss, expected, "{path} after purge {purge}");
        }
    }
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn response_from_before_a_purge_elsewhere_is_not_stored() {
    let Some(server) = RedisServer::start() else { return };
    for purge in 0..4 {
        let other = patient(server.url()).purge();
        let changing = Site::new(Cache::honour().store(&patient(server.url())), |_, _| ok());
        let site =
            Site::with_handler(Cache::honour().store(&patient(server.url())), move |_, _| {
                let (other, changing) = (other.clone(), changing.clone());
                Box::pin(async move {
                    match purge {
                        0 => other.path("/a").await.unwrap(),
                        1 => other.tag("t").await.unwrap(),
                        2 => other.everything().await.unwrap(),
                        _ => drop(changing.send(Request::post("/a")).await),
                    }
                    Ok(minute().header("cache-tag", "t").body(Text::from("old")).unwrap())
                })
            });
        let (head, _) = site.get("/a").await;
        assert_eq!(status(&head), "Palisade; fwd=miss; detail=store", "purge {purge}");
    }
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn unsafe_request_removes_the_response_of_each_machine() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = fleet(
        || patient(server.url()),
        |_, request| match request.method().as_str() {
            "GET" => minute().header("vary", "x"),
            _ => ok(),
        },
    );
    for value in ["1", "2"] {
        a.send(Request::get("/a").header("x", value)).await;
    }
    a.get("/b").await;
    b.send(Request::delete("/a")).await;
    for value in ["1", "2"] {
        let (head, _) = a.send(Request::get("/a").header("x", value)).await;
        assert_eq!(status(&head), "Palisade; fwd=miss; stored");
    }
    assert_eq!(status(&a.get("/b").await.0), "Palisade; hit");
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn variants_are_for_their_own_requests() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = fleet(
        || patient(server.url()),
        |_, request| {
            let own = request.headers().get("x").map_or("none", |value| value.to_str().unwrap());
            minute().header("vary", "X, Accept-Language").header("own", own)
        },
    );
    let get = |value: u32| Request::get("/a").header("x", value.to_string());
    a.get("/a").await;
    for value in 1..16 {
        a.send(get(value)).await;
    }
    for value in (1..16).rev() {
        let (head, _) = b.send(get(value)).await;
        assert_eq!((status(&head), field(&head, "own")), ("Palisade; hit", &*value.to_string()));
    }
    assert_eq!(field(&b.get("/a").await.0, "own"), "none");
    assert_eq!(b.calls(), 0);
    // the oldest of more than 16 makes room
    tokio::time::sleep(Duration::from_millis(2)).await;
    b.send(get(16)).await;
    assert_eq!(status(&a.send(get(16)).await.0), "Palisade; hit");
    let kept: Vec<_> = server.keys().into_iter().filter(|key| key.contains(":r:")).collect();
    assert_eq!(kept.len(), 17, "16 variants and their list");
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn callers_do_not_share_responses() {
    use palisade_core::Principal;

    let Some(server) = RedisServer::start() else { return };
    let site =
        Site::new(Cache::honour().per_principal().store(&patient(server.url())), |_, request| {
            let caller = request.extensions().get::<Principal>().map_or("-", Principal::subject);
            minute().header("caller", caller.to_owned())
        });
    let ask = async |caller: Option<&str>| {
        let mut request = Request::get("/me").body(Text::default()).unwrap();
        if let Some(caller) = caller {
            request.extensions_mut().insert(Principal::new(caller));
        }
        let (head, _) = site.send_with(request).await;
        (status(&head) == "Palisade; hit", field(&head, "caller").to_owned())
    };
    for hit in [false, true] {
        for caller in ["ada", "eve"] {
            assert_eq!(ask(Some(caller)).await, (hit, caller.to_owned()));
        }
        assert_eq!(ask(None).await, (hit, "-".to_owned()));
    }
}

#[tokio::test]
async fn response_that_is_not_shared_releases_other_machines() {
    let Some(server) = RedisServer::start() else { return };
    let slow = |_, _| -> Answered {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(ok().header("cache-control", "no-store").body(Text::from("own")).unwrap())
        })
    };
    let machines =
        [(); 2].map(|()| Site::with_handler(Cache::honour().store(&patient(server.url())), slow));
    let [a, b] = &machines;
    tokio::join!(a.get("/a"), b.get("/a"));
    assert_eq!(calls(&machines), 2);
}

#[tokio::test]
async fn flight_of_a_client_that_leaves_is_taken_over() {
    let Some(server) = RedisServer::start() else { return };
    let hanging = Site::with_handler(Cache::honour().store(&patient(server.url())), |_, _| {
        Box::pin(std::future::pending())
    });
    let next = Site::new(Cache::honour().store(&patient(server.url())), |_, _| minute());
    let first = {
        let site = hanging.clone();
        tokio::spawn(async move { site.get("/a").await })
    };
    while hanging.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = {
        let site = next.clone();
        tokio::spawn(async move { site.get("/a").await.1 })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(next.calls(), 0, "it waits for the other machine");
    first.abort();
    assert_eq!(second.await.unwrap(), "answer 1");
}

#[tokio::test]
async fn stale_response_is_renewed_by_one_machine() {
    let Some(server) = RedisServer::start() else { return };
    let machines = [(); 2].map(|()| {
        let cache = Cache::revalidate(Duration::from_secs(60)).store(&patient(server.url()));
        Site::with_handler(cache, |number, request| {
            Box::pin(async move {
                if number > 0 && request.uri().query().is_none() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(ok().body(Text::from("text")).unwrap())
            })
        })
    });
    let [a, b] = &machines;
    a.get("/a").await;
    for site in &machines {
        site.wait(61);
    }
    let (one, other) = tokio::join!(a.get("/a"), b.get("/a"));
    assert_eq!(status(&one.0), "Palisade; hit; detail=stale-while-revalidate");
    assert_eq!(status(&other.0), "Palisade; hit; detail=stale-while-revalidate");
    while status(&b.get("/a").await.0) != "Palisade; hit" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(calls(&machines), 2);
}

#[tokio::test]
async fn service_answers_while_redis_is_down_or_stalled() {
    let Some(mut server) = RedisServer::start() else { return };
    let redis = Redis::builder(server.url())
        .connect_timeout(Duration::from_millis(100))
        .response_timeout(Duration::from_millis(100));
    let store = CacheStore::redis(redis.build().unwrap());
    let site = Site::new(Cache::honour().store(&store), |_, _| minute());
    site.get("/a").await;
    server.pause();
    for call in 2..5 {
        let (head, body) = site.get("/a").await;
        assert_eq!(
            (status(&head), body),
            ("Palisade; fwd=miss; detail=store", format!("answer {call}"))
        );
    }
    assert_eq!(store.purge().path("/a").await.unwrap_err().status(), 503);
    server.resume();
    server.stop();
    assert_eq!(site.get("/a").await.1, "answer 5");
    assert_eq!(store.purge().everything().await.unwrap_err().status(), 503);
    server.restart_empty();
    while status(&site.get("/a").await.0) != "Palisade; hit" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn concurrent_misses_share_a_response_while_redis_is_down() {
    let Some(mut server) = RedisServer::start() else { return };
    server.stop();
    let store = CacheStore::redis(Redis::builder(server.url()).build().unwrap());
    let site = Site::with_handler(Cache::honour().store(&store), |_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(minute().body(Text::from("text")).unwrap())
        })
    });
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let site = site.clone();
            tokio::spawn(async move { site.get("/a").await.1 })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), "text");
    }
    assert_eq!(site.calls(), 1);
}

/// An eviction, or a server that was emptied, must not bring a purged response back.
#[tokio::test]
async fn loss_of_the_purges_is_a_loss_of_all_responses() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = fleet(|| patient(server.url()), |_, _| minute());
    a.get("/a").await;
    assert_eq!(status(&b.get("/a").await.0), "Palisade; hit");
    assert_eq!(server.command(&["DEL", "palisade:cache:{0}:w"]), ["1"]);
    assert_eq!(status(&b.get("/a").await.0), "Palisade; fwd=miss; stored");
    assert_eq!(status(&a.get("/a").await.0), "Palisade; hit");
}

#[tokio::test]
async fn record_of_another_version_is_replaced() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = fleet(|| patient(server.url()), |_, _| minute());
    a.get("/a").await;
    let keys = server.keys();
    let entry = keys.iter().find(|key| key.matches(':').count() == 5).unwrap();
    server.command(&["HSET", entry, "r", "\u{2}other"]);
    assert_eq!(status(&b.get("/a").await.0), "Palisade; fwd=miss; stored");
    assert_eq!(status(&a.get("/a").await.0), "Palisade; hit");
}

#[tokio::test]
async fn cluster_stores_and_purges_on_each_node() {
    let Some(cluster) = RedisCluster::start() else { return };
    let store = || {
        let patience = Duration::from_secs(20);
        let redis =
            Redis::cluster(cluster.urls()).response_timeout(patience).connect_timeout(patience);
        CacheStore::redis(redis.build().unwrap())
    };
    let [a, b] = fleet(store, |_, _| minute().header("cache-tag", "t").header("vary", "x"));
    let paths: Vec<String> = (0..40).map(|number| format!("/{number}")).collect();
    for path in &paths {
        a.get(path).await;
        assert_eq!(status(&b.get(path).await.0), "Palisade; hit");
    }
    b.cache.purge().tag("t").await.unwrap();
    for path in &paths {
        assert_eq!(status(&a.get(path).await.0), "Palisade; fwd=miss; stored");
    }
}
