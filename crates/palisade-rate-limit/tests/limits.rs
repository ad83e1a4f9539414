//! Limits through the layer, on a manual clock.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, request};
use palisade_core::{
    ApiError, Clock, ManualClock, PeerAddr, Policy, PolicyLayer, Principal,
    testing::{Log, Script, Step},
};
use palisade_rate_limit::{ByAddress, Key, Quota, RateLimit, RateLimitBuilder};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

const MINUTE: Duration = Duration::from_secs(60);

fn from(peer: &str) -> Request<Script> {
    let address: IpAddr = peer.parse().unwrap();
    Request::get("/").extension(PeerAddr((address, 4000).into())).body(Script::empty()).unwrap()
}

fn by(principal: Principal) -> Request<Script> {
    Request::get("/").extension(principal).body(Script::empty()).unwrap()
}

/// The status and headers of a response.
#[derive(Debug)]
struct Answer(Response<()>);

impl Answer {
    fn passed(&self) -> bool {
        self.0.status() == StatusCode::OK
    }

    fn limited(&self) -> bool {
        self.0.status() == StatusCode::TOO_MANY_REQUESTS
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends one request through a policy, around a service that answers 200.
fn send<P: Policy + Clone>(policy: &P, request: Request<Script>) -> Answer {
    let service = PolicyLayer::new(policy.clone()).layer(service_fn(|_: Request<Script>| async {
        Ok::<_, Infallible>(Response::new(Script::empty()))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(service.oneshot(request)).unwrap();
    Answer(response.map(drop))
}

fn limited_to(limit: u32) -> (RateLimitBuilder<ByAddress>, ManualClock) {
    let clock = ManualClock::default();
    let quota = Quota::per(limit, MINUTE);
    (RateLimit::per_address(quota).clock(Arc::new(clock.clone())), clock)
}

#[test]
fn client_is_admitted_again_after_its_retry_after() {
    let (builder, clock) = limited_to(2);
    let limit = builder.build().unwrap();
    clock.advance(Duration::from_secs(30));

    let first = send(&limit, from("192.0.2.1"));
    assert!(first.passed());
    assert_eq!(first.header("ratelimit-policy"), Some("\"default\";q=2;w=60"));
    // Full again as soon as the next window has begun: one request of the previous window is then less than one.
    assert_eq!(first.header("ratelimit"), Some("\"default\";r=1;t=31"));
    assert!(send(&limit, from("192.0.2.1")).passed());

    let refused = send(&limit, from("192.0.2.1"));
    assert!(refused.limited());
    assert_eq!(refused.header("retry-after"), Some("31"));
    assert_eq!(refused.header("ratelimit"), Some("\"default\";r=0;t=31"));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"default\";q=2;w=60"));
    assert!(send(&limit, from("192.0.2.2")).passed(), "another client is not affected");

    clock.advance(MINUTE / 2);
    assert!(send(&limit, from("192.0.2.1")).limited(), "a nanosecond early");
    clock.advance(Duration::from_nanos(1));
    assert!(send(&limit, from("192.0.2.1")).passed());
    assert!(send(&limit, from("192.0.2.1")).limited());
}

#[test]
fn rejected_requests_are_not_charged() {
    let (builder, clock) = limited_to(10);
    let limit = builder.build().unwrap();
    for _ in 0..10 {
        assert!(send(&limit, from("192.0.2.1")).passed());
    }
    for _ in 0..1000 {
        assert!(send(&limit, from("192.0.2.1")).limited());
    }
    clock.advance(MINUTE + Duration::from_secs(6));
    assert!(send(&limit, from("192.0.2.1")).passed());
}

#[test]
fn mapped_ipv4_clients_have_own_quotas_and_a_64_network_shares() {
    let limit = limited_to(1).0.build().unwrap();
    assert!(send(&limit, from("::ffff:192.0.2.1")).passed());
    assert!(send(&limit, from("::ffff:192.0.2.2")).passed());
    assert!(send(&limit, from("192.0.2.1")).limited());

    assert!(send(&limit, from("2001:db8:0:1::1")).passed());
    assert!(send(&limit, from("2001:db8:0:1:ffff::2")).limited());
    assert!(send(&limit, from("2001:db8:0:2::1")).passed());
}

#[test]
fn principals_differ_by_issuer_and_subject() {
    let limit = RateLimit::per_principal(Quota::per(1, MINUTE)).build().unwrap();
    let principal = |issuer: &str, subject: &str| Principal::new(subject).issued_by(issuer);
    assert!(send(&limit, by(principal("a:b", "c"))).passed());
    assert!(send(&limit, by(principal("a", "b:c"))).passed());
    assert!(send(&limit, by(principal("", "a:bc"))).passed());
    assert!(send(&limit, by(principal("a:b", "c").with_roles(["admin"]))).limited());
}

#[test]
fn limit_of_zero_rejects_without_retry_after() {
    let limit = limited_to(0).0.build().unwrap();
    for peer in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let refused = send(&limit, from(peer));
        assert!(refused.limited());
        assert_eq!(refused.header("retry-after"), None);
        assert_eq!(refused.header("ratelimit"), Some("\"default\";r=0"));
    }
}

#[test]
fn several_limits_append_their_fields() {
    let burst = limited_to(3).0.name("burst").build().unwrap();
    let daily = limited_to(2).0.name("daily").build().unwrap();
    let both = || burst.clone().then(daily.clone());
    let service = |request| {
        let inner = service_fn(|_: Request<Script>| async {
            Ok::<_, Infallible>(Response::new(Script::empty()))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(PolicyLayer::new(both()).layer(inner).oneshot(request)).unwrap()
    };
    let fields = |response: &Response<_>, name| {
        let all = response.headers().get_all(name).iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let response = service(from("192.0.2.1"));
    assert_eq!(fields(&response, "ratelimit-policy"), ["\"daily\";q=2;w=60", "\"burst\";q=3;w=60"]);
    service(from("192.0.2.1"));
    let refused = service(from("192.0.2.1"));
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        fields(&refused, "ratelimit"),
        ["\"daily\";r=0;t=61", "\"burst\";r=0;t=61"],
        "the outer limit speaks on the refusal of the inner one"
    );
}

#[test]
fn clock_that_goes_backwards_admits_nothing() {
    #[derive(Default)]
    struct Erratic(AtomicU64);
    impl Clock for Erratic {
        fn unix(&self) -> Duration {
            self.monotonic()
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }
    let clock = Arc::new(Erratic::default());
    clock.0.store(600, Ordering::SeqCst);
    let builder = RateLimit::per_address(Quota::per(2, MINUTE));
    let limit = builder.clock(Arc::clone(&clock) as Arc<dyn Clock>).build().unwrap();
    assert!(send(&limit, from("192.0.2.1")).passed());
    assert!(send(&limit, from("192.0.2.1")).passed());
    for earlier in [599, 540, 480, 1, 0] {
        clock.0.store(earlier, Ordering::SeqCst);
        let refused = send(&limit, from("192.0.2.1"));
        assert!(refused.limited(), "at {earlier} s");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert_eq!(earlier + wait, 661, "the wait is right on the clock as it is");
    }
}

#[test]
fn hundred_of_a_thousand_parallel_requests_are_admitted() {
    /// Admissions of one client of a thousand parallel requests, while strangers come from all over.
    fn admissions(limit: &RateLimit, strangers: u32) -> usize {
        const THREADS: u32 = 20;
        let (barrier, passed) = (Barrier::new(THREADS as usize), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (barrier, passed) = (&barrier, &passed);
                scope.spawn(move || {
                    barrier.wait();
                    for n in 0..50 {
                        let admitted = send(limit, from("192.0.2.1")).passed();
                        passed.fetch_add(usize::from(admitted), Ordering::Relaxed);
                        for stranger in 0..strangers {
                            let bits = 0x0A00_0000 + (thread * 50 + n) * strangers + stranger;
                            send(limit, from(&IpAddr::V4(bits.into()).to_string()));
                        }
                    }
                });
            }
        });
        passed.into_inner()
    }

    assert_eq!(admissions(&limited_to(100).0.build().unwrap(), 0), 100);

    // As many strangers as the table has room for.
    assert_eq!(admissions(&limited_to(100).0.capacity(3000).build().unwrap(), 1), 100);

    // Ten times as many. The client is known by then, with more requests than any stranger.
    let crowded = limited_to(100).0.capacity(300).build().unwrap();
    for _ in 0..50 {
        assert!(send(&crowded, from("192.0.2.1")).passed());
    }
    assert_eq!(admissions(&crowded, 3), 50);

    // Ten times as many, and the client is new itself: it may get less, and never more.
    let passed = admissions(&limited_to(100).0.capacity(300).build().unwrap(), 3);
    assert!((1..=100).contains(&passed), "{passed}");
}

#[test]
fn address_flood_resets_no_client_and_allocates_no_memory() {
    let limit = limited_to(20).0.capacity(120).build().unwrap();
    let bytes = limit.table_bytes();
    let used_up: Vec<String> = (1..=5).map(|n| format!("192.0.2.{n}")).collect();
    for peer in &used_up {
        assert!((0..20).all(|_| send(&limit, from(peer)).passed()));
    }
    for n in 0..1200u32 {
        send(&limit, from(&format!("2001:db8:{:x}:{:x}::1", n / 100, n % 100)));
    }
    for peer in &used_up {
        assert!(send(&limit, from(peer)).limited(), "{peer} was reset");
    }
    assert_eq!(limit.table_bytes(), bytes);
}

#[test]
fn request_without_an_address_is_500_and_logged_once() {
    let log = Log::of_this_thread(Level::INFO);
    let limit = limited_to(100).0.name("burst").build().unwrap();
    for _ in 0..3 {
        let request = Request::get("/").body(Script::empty()).unwrap();
        let refused = send(&limit, request);
        assert_eq!(refused.0.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(refused.header("ratelimit"), None);
    }
    assert!(send(&limit, from("192.0.2.1")).passed());

    let limit = RateLimit::per_principal(Quota::per(1, MINUTE)).build().unwrap();
    let refused = send(&limit, from("192.0.2.1"));
    assert_eq!(refused.0.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let log = log.text();
    // One of each response comes from the error format.
    assert_eq!(log.matches("ERROR palisade_rate_limit").count(), 2, "{log}");
    for line in [
        "limit=\"burst\"",
        "into_make_service_with_connect_info::<SocketAddr>()",
        "PolicyLayer::new(PeerAddr(peer)).layer(service)",
        "TcpConnectInfo",
        "Put the limit inside authentication",
    ] {
        assert!(log.contains(line), "{line} is not in: {log}");
    }
}

#[test]
fn rejection_by_a_custom_key_is_not_logged() {
    struct ByTenant;
    impl Key for ByTenant {
        type Of<'r> = &'r [u8];
        fn key<'r>(&self, request: &'r request::Parts) -> Result<&'r [u8], ApiError> {
            let tenant = request.headers.get("x-verified-tenant");
            tenant.map(http::HeaderValue::as_bytes).ok_or_else(ApiError::bad_request)
        }
    }
    let log = Log::of_this_thread(Level::INFO);
    let limit = RateLimit::per_key(ByTenant, Quota::per(1, MINUTE)).build().unwrap();
    let of = |tenant| {
        Request::get("/").header("x-verified-tenant", tenant).body(Script::empty()).unwrap()
    };
    assert!(send(&limit, of("a")).passed());
    assert!(send(&limit, of("b")).passed());
    assert!(send(&limit, of("a")).limited());
    assert_eq!(send(&limit, from("192.0.2.1")).0.status(), StatusCode::BAD_REQUEST);
    assert_eq!(log.text(), "");
}

#[test]
fn body_of_a_rejected_request_is_not_read() {
    let limit = limited_to(0).0.build().unwrap();
    let body = Script::from_steps([Step::Fail]);
    assert!(send(&limit, from("192.0.2.1").map(|_| body)).limited());
}

#[test]
fn invalid_settings_are_config_errors() {
    let setting = |builder: RateLimitBuilder<ByAddress>| builder.build().unwrap_err().setting();
    assert_eq!(setting(RateLimit::per_address(Quota::per(1, Duration::ZERO))), "window");
    assert_eq!(setting(RateLimit::per_address(Quota::per(1, Duration::MAX))), "window");
    assert_eq!(setting(limited_to(1).0.capacity(0)), "capacity");
    assert_eq!(setting(limited_to(1).0.capacity(usize::MAX)), "capacity");
    assert_eq!(setting(limited_to(1).0.name("a\"b")), "name");
}

#[test]
fn exact_log_over_the_memory_limit_is_a_config_error() {
    let log = |limit| RateLimit::per_address(Quota::per(limit, MINUTE).exact_log());
    let error = log(1000).build().unwrap_err().to_string();
    for part in ["capacity `100000`", "1019 MiB", "256 MiB", "at most 25103", "strict()"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert!(log(1000).capacity(25_103).build().is_ok());
    assert!(log(1000).capacity(25_104).build().is_err());
    assert!(log(5).build().is_ok());
}

#[test]
fn new_keys_rejected_in_a_flood_are_logged_and_counted() {
    let log = Log::of_this_thread(Level::WARN);
    let (builder, _) = limited_to(1);
    let limit = builder.capacity(10).name("crowded").build().unwrap();
    let rejected = |limit: &RateLimit| {
        let all = palisade_core::Measured::measure(limit);
        let found =
            all.iter().find(|told| told.metric.name == "palisade_limit_floor_reached_total");
        found.unwrap().value
    };
    for n in 0..50u32 {
        send(&limit, from(&format!("2001:db8:0:{n:x}::1")));
    }
    assert_eq!((rejected(&limit), log.text().as_str()), (0.0, ""));
    let limited = (0..2000u32)
        .filter(|n| send(&limit, from(&format!("2001:db8:1:{n:x}::1"))).limited())
        .count();
    assert!(limited > 100, "{limited}");
    assert_eq!(rejected(&limit), limited as f64);
    let log = log.text();
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains("capacity") && log.contains("crowded"), "{log}");
}

#[test]
fn clones_and_layers_of_a_limit_count_together() {
    let limit = limited_to(2).0.build().unwrap();
    assert!(send(&limit, from("192.0.2.1")).passed());
    assert!(send(&limit.clone(), from("192.0.2.1")).passed());
    let service = limit.layer().layer(service_fn(|_: Request<Script>| async {
        Ok::<_, Infallible>(Response::new(Script::empty()))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(service.oneshot(from("192.0.2.1"))).unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}
