//! The limits of a lookup: any client can make origins up, and must not cause a query with each.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, StatusCode, header, request};
use palisade_core::{Decision, Halt, ManualClock, PeerAddr, Policy};
use palisade_cors::{Cors, CorsBuilder, LookupLimits};

#[derive(Clone, Default)]
struct Database {
    asked: Arc<Mutex<Vec<String>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Database {
    /// Knows the tenants of `shop.example`, after some milliseconds.
    fn cors(&self) -> CorsBuilder {
        let database = self.clone();
        Cors::builder().allow_origin_lookup(move |origin| {
            let database = database.clone();
            async move {
                let now = database.now.fetch_add(1, Ordering::SeqCst) + 1;
                database.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                database.now.fetch_sub(1, Ordering::SeqCst);
                let is_known = origin.ends_with(".shop.example");
                database.asked.lock().unwrap().push(origin);
                Ok::<_, io::Error>(is_known)
            }
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn preflight(origin: &str, client: Ipv4Addr) -> request::Parts {
    Request::options("/")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .extension(PeerAddr((client, 4000).into()))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

const ADA: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const EVE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

async fn status(cors: &Cors, origin: &str, client: Ipv4Addr) -> StatusCode {
    let decided = match cors.decide(&preflight(origin, client)) {
        Decision::Now(decided) => decided,
        Decision::Later(decision) => decision.await,
    };
    match decided {
        Err(Halt::Reply(reply)) => reply.status(),
        Err(Halt::Refuse(error)) => error.status(),
        Ok(_) => panic!("a preflight is answered"),
    }
}

const ALLOWED: StatusCode = StatusCode::NO_CONTENT;
const REFUSED: StatusCode = StatusCode::FORBIDDEN;
const COULD_NOT_TELL: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

#[tokio::test(start_paused = true)]
async fn lookups_of_unknown_origins_are_limited_per_client() {
    let database = Database::default();
    let clock = ManualClock::at(Duration::from_secs(1_000));
    let limits = LookupLimits::default().clock(Arc::new(clock.clone()));
    let cors = database.cors().lookup_limits(limits).build().unwrap();
    for number in 0..200 {
        let expected = if number < 20 { REFUSED } else { COULD_NOT_TELL };
        assert_eq!(status(&cors, &format!("https://{number}.example"), EVE).await, expected);
    }
    assert_eq!(database.asked(), 20);
    assert_eq!(status(&cors, "https://a.shop.example", ADA).await, ALLOWED, "others are served");
    clock.advance(Duration::from_secs(10));
    assert_eq!(status(&cors, "https://200.example", EVE).await, REFUSED, "and so is the client");
}

#[tokio::test(start_paused = true)]
async fn allowed_origins_consume_no_budget() {
    let database = Database::default();
    let cors = database.cors().build().unwrap();
    for number in 0..200 {
        let origin = format!("https://{number}.shop.example");
        assert_eq!(status(&cors, &origin, ADA).await, ALLOWED);
    }
    assert_eq!(database.asked(), 200);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_concurrency_wait_for_a_slot() {
    let database = Database::default();
    let cors =
        database.cors().lookup_limits(LookupLimits::default().concurrency(3)).build().unwrap();
    let requests: Vec<_> = (0..100)
        .map(|number| {
            let (cors, client) = (cors.clone(), Ipv4Addr::from(0x0a00_0000 + number));
            tokio::spawn(async move {
                status(&cors, &format!("https://{number}.example"), client).await
            })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), REFUSED);
    }
    assert_eq!((database.asked(), database.most.load(Ordering::SeqCst)), (100, 3));
}

#[tokio::test(start_paused = true)]
async fn requests_with_one_origin_share_a_lookup() {
    let database = Database::default();
    let cors = database.cors().build().unwrap();
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let cors = cors.clone();
            tokio::spawn(async move { status(&cors, "https://a.shop.example", ADA).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), ALLOWED);
    }
    assert_eq!(database.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn concurrent_allowed_origins_consume_no_budget() {
    let database = Database::default();
    let cors = database.cors().build().unwrap();
    let requests: Vec<_> = (0..100)
        .map(|number| {
            let cors = cors.clone();
            tokio::spawn(async move {
                status(&cors, &format!("https://{number}.shop.example"), ADA).await
            })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), ALLOWED);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_lookups_of_unknown_origins_are_limited() {
    let database = Database::default();
    let cors = database.cors().build().unwrap();
    let requests: Vec<_> = (0..200)
        .map(|number| {
            let cors = cors.clone();
            tokio::spawn(
                async move { status(&cors, &format!("https://{number}.example"), EVE).await },
            )
        })
        .collect();
    let mut refused = 0;
    for request in requests {
        refused += usize::from(request.await.unwrap() == REFUSED);
    }
    assert_eq!((refused, database.asked()), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn client_without_budget_does_not_fail_the_lookup_of_another() {
    let database = Database::default();
    let cors =
        database.cors().lookup_limits(LookupLimits::default().per_client(1)).build().unwrap();
    assert_eq!(status(&cors, "https://a.example", EVE).await, REFUSED);
    let origin = "https://a.shop.example";
    let (eve, ada) = tokio::join!(status(&cors, origin, EVE), status(&cors, origin, ADA));
    assert_eq!((eve, ada), (COULD_NOT_TELL, ALLOWED));
}

#[tokio::test(start_paused = true)]
async fn waiting_request_takes_over_a_cancelled_lookup() {
    let database = Database::default();
    let cors = database.cors().build().unwrap();
    let request = || {
        let cors = cors.clone();
        tokio::spawn(async move { status(&cors, "https://a.shop.example", ADA).await })
    };
    let (first, second) = (request(), request());
    tokio::time::sleep(Duration::from_millis(2)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(second.await.unwrap(), ALLOWED);
    assert_eq!(database.asked(), 1, "the first lookup was dropped");
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_share_an_error_and_later_ones_retry() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let cors = Cors::builder()
        .allow_origin_lookup(move |_| {
            let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if is_first { Err(io::Error::other("down")) } else { Ok(true) }
            }
        })
        .build()
        .unwrap();
    let origin = "https://a.example";
    let (first, second) = tokio::join!(status(&cors, origin, ADA), status(&cors, origin, EVE));
    assert_eq!((first, second, asked.load(Ordering::SeqCst)), (COULD_NOT_TELL, COULD_NOT_TELL, 1));
    assert_eq!(status(&cors, origin, ADA).await, ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn lookup_over_the_timeout_fails() {
    let cors = || {
        Cors::builder().allow_origin_lookup(|_| async {
            std::future::pending::<()>().await;
            Ok::<_, io::Error>(true)
        })
    };
    let began = tokio::time::Instant::now();
    assert_eq!(status(&cors().build().unwrap(), "https://a.example", ADA).await, COULD_NOT_TELL);
    assert_eq!(began.elapsed().as_secs(), 1);

    let limits = LookupLimits::default().timeout(Duration::from_secs(5)).concurrency(1);
    let cors = cors().lookup_limits(limits).build().unwrap();
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(
        status(&cors, "https://a.example", ADA),
        status(&cors, "https://b.example", ADA)
    );
    assert_eq!((first, second), (COULD_NOT_TELL, COULD_NOT_TELL));
    assert_eq!(began.elapsed().as_secs(), 5, "the wait for a slot counts");
}

#[tokio::test(start_paused = true)]
async fn allowed_and_rejected_origins_are_cached_until_they_expire() {
    let database = Database::default();
    let clock = ManualClock::at(Duration::from_secs(1_000));
    let limits = LookupLimits::default()
        .remember_allowed(Duration::from_secs(60))
        .remember_refused(Duration::from_secs(10))
        .clock(Arc::new(clock.clone()));
    let cors = database.cors().lookup_limits(limits).build().unwrap();
    let ask = async || {
        assert_eq!(status(&cors, "https://a.shop.example", ADA).await, ALLOWED);
        assert_eq!(status(&cors, "https://evil.example", ADA).await, REFUSED);
        database.asked()
    };
    assert_eq!((ask().await, ask().await), (2, 2));
    clock.advance(Duration::from_secs(10));
    assert_eq!((ask().await, ask().await), (3, 3), "the refusal has expired");
    clock.advance(Duration::from_secs(50));
    assert_eq!((ask().await, ask().await), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn unknown_origins_evict_no_allowed_one() {
    let database = Database::default();
    let limits = LookupLimits::default().capacity(4).per_client(1_000_000);
    let cors = database.cors().lookup_limits(limits).build().unwrap();
    assert_eq!(status(&cors, "https://a.shop.example", ADA).await, ALLOWED);
    for number in 0..100 {
        assert_eq!(status(&cors, &format!("https://{number}.example"), EVE).await, REFUSED);
    }
    assert!(matches!(cors.decide(&preflight("https://a.shop.example", ADA)), Decision::Now(_)));
}

#[tokio::test(start_paused = true)]
async fn failed_lookups_are_not_cached() {
    let fails = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&fails);
    let cors = Cors::builder().allow_origin_lookup(move |_| {
        let times = asked.fetch_add(1, Ordering::SeqCst);
        async move { if times == 0 { Err(io::Error::other("down")) } else { Ok(true) } }
    });
    let cors = cors.build().unwrap();
    assert_eq!(status(&cors, "https://a.example", ADA).await, COULD_NOT_TELL);
    assert_eq!(status(&cors, "https://a.example", ADA).await, ALLOWED);
}

#[test]
fn limits_that_allow_no_lookup_are_config_errors() {
    let limits = LookupLimits::default;
    for (limits, value) in [
        (limits().timeout(Duration::ZERO), "timeout(0ns)"),
        (limits().timeout(Duration::from_secs(61)), "timeout(61s)"),
        (limits().concurrency(0), "concurrency(0)"),
        (limits().concurrency(usize::MAX), "concurrency(18446744073709551615)"),
        (limits().per_client(0), "per_client(0)"),
        (limits().capacity(1), "capacity(1)"),
    ] {
        let error = Database::default().cors().lookup_limits(limits).build().unwrap_err();
        let start = format!("lookup_limits `{value}` is not valid: use ");
        assert!(error.to_string().starts_with(&start), "{error}");
    }
    let error = Cors::allow_origins(["https://a.example"]).lookup_limits(limits()).build();
    assert!(error.unwrap_err().to_string().contains("call allow_origin_lookup()"));
}
