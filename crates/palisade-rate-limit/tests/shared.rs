//! Shared limits with stores of the tests: questions, cache, leases and failures. The clock is manual.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use palisade_core::{
    BoxError, BoxFuture, Clock, Decision, ManualClock, Measured, Outcome, PeerAddr, Policy,
    testing::{Contract, Script},
};
use palisade_rate_limit::{
    Ban, Block, ByAddress, Demand, Fit, Quota, RateLimit, RateLimitBuilder, Reading, Refund,
    SharedStore, Store, Verdict,
};
use tower::{Layer, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns prepared verdicts, and records the demands.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Orders>>);

#[derive(Debug, Default)]
struct Orders {
    says: Says,
    asked: Vec<Demand>,
    refunded: Vec<Refund>,
}

#[derive(Clone, Debug, Default)]
enum Says {
    #[default]
    Fits,
    Over(Fit),
    Fails,
    Hangs,
    Nonsense,
}

impl Told {
    fn to(says: Says) -> Self {
        let told = Self::default();
        told.now_says(says);
        told
    }

    fn now_says(&self, says: Says) {
        self.0.lock().unwrap().says = says;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }

    fn refunded(&self) -> Vec<(u32, u64)> {
        let orders = self.0.lock().unwrap();
        orders.refunded.iter().map(|refund| (refund.amount, refund.moment)).collect()
    }
}

impl Store for Told {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let mut orders = self.0.lock().unwrap();
        orders.asked.push(demand.clone());
        let moment = orders.asked.len() as u64;
        let says = orders.says.clone();
        Box::pin(async move {
            let readings = |fit| {
                let reading = Reading { remaining: 7, more_in: Some(MINUTE), fit };
                vec![reading; demand.quotas.len()]
            };
            match says {
                Says::Fits => Ok(Verdict {
                    charged: Some(demand.most),
                    readings: readings(Fit::Fits),
                    moment,
                    block: None,
                }),
                Says::Over(fit) => {
                    Ok(Verdict { readings: readings(fit), moment, ..Verdict::default() })
                }
                Says::Fails => Err("connection refused".into()),
                Says::Hangs => std::future::pending().await,
                Says::Nonsense => Ok(Verdict { charged: Some(0), moment, ..Verdict::default() }),
            }
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        self.0.lock().unwrap().refunded.push(refund);
        Box::pin(async { Ok(()) })
    }
}

/// A store that can ban, and reports the key as blocked.
#[derive(Clone, Debug)]
struct Blocking(Told, Block);

impl Store for Blocking {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let (answer, block) = (self.0.charge(demand), self.1);
        Box::pin(async move { Ok(Verdict { charged: None, block: Some(block), ..answer.await? }) })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        self.0.refund(refund)
    }

    fn can_ban(&self) -> bool {
        true
    }
}

/// Counts by key and number of the window.
type CountsOfWindows = HashMap<([u8; 16], u64), u32>;

/// Counts in fixed windows, on a clock of its own, as a server would.
#[derive(Clone, Debug)]
struct Server {
    clock: ManualClock,
    counts: Arc<Mutex<CountsOfWindows>>,
    asked: Arc<AtomicU32>,
}

impl Server {
    fn new(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), counts: Arc::default(), asked: Arc::default() }
    }
}

impl Store for Server {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (quota, now) = (demand.quotas[0].clone(), self.clock.monotonic());
        let window = now.as_nanos() / quota.window().as_nanos();
        let mut counts = self.counts.lock().unwrap();
        let used = counts.entry((demand.key, window as u64)).or_default();
        let charged = demand.most.min(quota.limit() - *used);
        let charged = (charged >= demand.cost).then_some(charged);
        *used += charged.unwrap_or(0);
        let over = quota.window() * (window as u32 + 1) - now;
        let fit = if charged.is_some() { Fit::Fits } else { Fit::After(over) };
        let reading = Reading { remaining: quota.limit() - *used, more_in: Some(over), fit };
        let (readings, moment) = (vec![reading], window as u64);
        let verdict = Verdict { charged, readings, moment, block: None };
        Box::pin(async move {
            // others come meanwhile
            tokio::task::yield_now().await;
            Ok(verdict)
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        let mut counts = self.counts.lock().unwrap();
        let used = counts.entry((refund.key, refund.moment)).or_default();
        *used = used.saturating_sub(refund.amount);
        Box::pin(async { Ok(()) })
    }
}

struct Subject {
    limit: RateLimit,
    clock: ManualClock,
}

fn limited(by: SharedStore, limit: u32) -> Subject {
    limited_as(by, limit, |builder| builder)
}

fn limited_as(
    by: SharedStore,
    limit: u32,
    more: impl FnOnce(RateLimitBuilder<ByAddress>) -> RateLimitBuilder<ByAddress>,
) -> Subject {
    let clock = ManualClock::default();
    let builder = RateLimit::per_address(Quota::per(limit, MINUTE));
    let builder = builder.name("api").clock(Arc::new(clock.clone())).store(by);
    Subject { limit: more(builder).build().unwrap(), clock }
}

impl Subject {
    async fn send(&self, peer: &str) -> Response<()> {
        self.send_to(peer, StatusCode::OK).await
    }

    /// Sends a request that the service, if it comes so far, answers with this status.
    async fn send_to(&self, peer: &str, status: StatusCode) -> Response<()> {
        let service = self.limit.layer().layer(service_fn(move |_: Request<Script>| async move {
            let mut response = Response::new(Script::empty());
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }));
        let peer = PeerAddr(format!("{peer}:4000").parse().unwrap());
        let request = Request::get("/").extension(peer).body(Script::empty()).unwrap();
        service.oneshot(request).await.unwrap().map(drop)
    }
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

const PEER: &str = "192.0.2.1";

#[tokio::test]
async fn store_is_asked_once_for_all_quotas_with_a_digest() {
    let store = Told::default();
    let quotas = [
        Quota::per(10, Duration::from_secs(1)).named("burst"),
        Quota::per(1000, MINUTE).named("steady"),
    ];
    let limit = RateLimit::per_address(quotas.clone()).name("api");
    let limit = limit.store(SharedStore::new(store.clone())).build().unwrap();
    let subject = Subject { limit, clock: ManualClock::default() };
    let response = subject.send(PEER).await;
    assert_eq!(response.status(), 200);
    let fields = response.headers().get_all("ratelimit").iter();
    assert!(fields.eq(["\"burst\";r=7;t=60", "\"steady\";r=7;t=60"]));

    subject.send(PEER).await;
    subject.send("192.0.2.2").await;
    let orders = store.0.lock().unwrap();
    let [first, second, third] = &orders.asked[..] else { panic!("asked {}", orders.asked.len()) };
    assert_eq!((&*first.limit, first.cost, first.most), ("api", 1, 1));
    assert_eq!(*first.quotas, quotas);
    assert_eq!(first.key, second.key);
    assert_ne!(first.key, third.key);
}

#[tokio::test]
async fn machines_agree_on_a_digest_if_they_share_the_secret() {
    let digest = async |by: fn(SharedStore) -> SharedStore| {
        let store = Told::default();
        limited(by(SharedStore::new(store.clone())), 1).send(PEER).await;
        store.0.lock().unwrap().asked[0].key
    };
    assert_eq!(digest(|by| by).await, digest(|by| by).await);
    assert_eq!(digest(|by| by.secret("a secret")).await, digest(|by| by.secret("a secret")).await);
    assert_ne!(digest(|by| by).await, digest(|by| by.secret("a secret")).await);
}

#[tokio::test]
async fn a_refusal_of_the_store_is_passed_on_with_its_exact_wait() {
    let store = Told::to(Says::Over(Fit::After(Duration::from_millis(1001))));
    let subject = limited(SharedStore::new(store.clone()), 1);
    let refused = subject.send(PEER).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after"), Some("2"));
    assert_eq!(header(&refused, "ratelimit"), Some("\"api\";r=7;t=60"));

    store.now_says(Says::Over(Fit::Never));
    let never = limited(SharedStore::new(store), 1).send(PEER).await;
    assert_eq!((never.status().as_u16(), header(&never, "retry-after")), (429, None));
}

#[tokio::test]
async fn refused_key_is_refused_locally_until_its_wait_is_over() {
    let store = Told::to(Says::Over(Fit::After(Duration::from_secs(10))));
    let subject = limited(SharedStore::new(store.clone()).refusal_ttl(MINUTE), 1);
    assert_eq!(header(&subject.send(PEER).await, "retry-after"), Some("10"));
    store.now_says(Says::Fits);

    subject.clock.advance(Duration::from_secs(4));
    let refused = subject.send(PEER).await;
    assert_eq!(header(&refused, "retry-after"), Some("6"), "the wait has grown shorter");
    assert_eq!(header(&refused, "ratelimit"), Some("\"api\";r=7;t=56"));
    assert_eq!(store.asked(), 1);
    assert_eq!(subject.send("192.0.2.2").await.status(), 200, "another client is asked for");

    subject.clock.advance(Duration::from_secs(6) - Duration::from_nanos(1));
    assert_eq!(subject.send(PEER).await.status(), 429);
    subject.clock.advance(Duration::from_nanos(1));
    assert_eq!(subject.send(PEER).await.status(), 200);
    assert_eq!(subject.limit.store_stats().unwrap().remembered, 2);
}

#[tokio::test]
async fn remembered_refusal_applies_to_requests_of_the_same_cost() {
    let store = Told::to(Says::Over(Fit::After(MINUTE)));
    let cost = Arc::new(AtomicU32::new(5));
    let of = Arc::clone(&cost);
    let subject = limited_as(SharedStore::new(store.clone()), 9, |builder| {
        builder.cost(move |_| of.load(Ordering::SeqCst))
    });
    assert_eq!(subject.send(PEER).await.status(), 429);
    store.now_says(Says::Fits);
    for (other, status) in [(4, 200), (5, 429), (6, 200), (1, 200)] {
        cost.store(other, Ordering::SeqCst);
        assert_eq!(subject.send(PEER).await.status(), status, "cost {other}");
    }
}

#[tokio::test]
async fn store_that_can_ban_receives_the_ban() {
    let ban = Ban::after(2, MINUTE);
    for is_new in [false, true] {
        let store = Told::to(Says::Over(Fit::After(Duration::from_secs(5))));
        let block = Block { rest: MINUTE * 10, is_new };
        let by = SharedStore::new(Blocking(store.clone(), block)).refusal_ttl(MINUTE);
        let subject = limited_as(by, 9, |builder| builder.ban(ban));
        let refused = subject.send(PEER).await;
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "retry-after")),
            (429, Some("600"))
        );
        // The refusal that has earned the block is one by the quotas.
        assert_eq!(header(&refused, "ratelimit").is_some(), is_new);
        assert_eq!(store.0.lock().unwrap().asked[0].ban, Some(ban));
        subject.clock.advance(Duration::from_secs(4));
        assert_eq!(header(&subject.send(PEER).await, "retry-after"), Some("596"));
        assert_eq!(store.asked(), 1, "the block is remembered");
        subject.clock.advance(MINUTE);
        subject.send(PEER).await;
        assert_eq!(store.asked(), 2, "and not for longer than a refusal");
    }
}

#[tokio::test]
async fn with_a_store_that_cannot_ban_a_machine_bans_by_itself() {
    let store = Told::to(Says::Over(Fit::After(Duration::from_secs(5))));
    let by = SharedStore::new(store.clone());
    let subject = limited_as(by, 9, |builder| builder.ban(Ban::after(3, MINUTE)));
    for wait in ["5", "5", "60", "60"] {
        assert_eq!(header(&subject.send(PEER).await, "retry-after"), Some(wait));
    }
    assert_eq!(store.asked(), 3, "refusals are counted one by one");
    assert!(store.0.lock().unwrap().asked.iter().all(|demand| demand.ban.is_none()));
}

#[tokio::test]
async fn a_client_at_one_and_a_half_times_its_limit_gets_its_limit() {
    // What is remembered of a refusal to the end of the window, and not to the end of the wait, loses almost half.
    let clock = ManualClock::default();
    let (limit, server) = (100, Server::new(&clock));
    let builder = RateLimit::per_address(Quota::per(limit, MINUTE)).name("api");
    let by = SharedStore::new(server);
    let limit = builder.clock(Arc::new(clock.clone())).store(by).build().unwrap();
    let subject = Subject { limit, clock };
    let mut admitted = 0;
    for _ in 0..20 * 150 {
        admitted += u32::from(subject.send(PEER).await.status() == 200);
        subject.clock.advance(MINUTE / 150);
    }
    assert!(admitted >= 20 * 95, "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_declared_failure_mode_applies() {
    for says in [Says::Fails, Says::Hangs, Says::Nonsense] {
        let store = || SharedStore::new(Told::to(says.clone()));

        let closed = limited(store(), 4).send(PEER).await;
        assert_eq!(closed.status(), 503, "{says:?}");
        assert_eq!(header(&closed, "retry-after"), Some("1"));
        assert_eq!(header(&closed, "ratelimit"), None);

        let open = limited(store().fail_open(), 4);
        for _ in 0..20 {
            let response = open.send(PEER).await;
            assert_eq!((response.status().as_u16(), header(&response, "ratelimit")), (200, None));
        }

        // a quarter of ten, rounded up
        let local = limited(store().fallback_local(0.25), 10);
        for remaining in [2, 1, 0] {
            let response = local.send(PEER).await;
            let field = header(&response, "ratelimit").unwrap();
            assert!(field.starts_with(&format!("\"api\";r={remaining};")), "{field}");
        }
        let refused = local.send(PEER).await;
        assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("61")));
        assert_eq!(local.send("192.0.2.2").await.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_store_no_longer_than_its_time_out() {
    for (timeout, by) in [
        (100, SharedStore::new(Told::to(Says::Hangs))),
        (7, SharedStore::new(Told::to(Says::Hangs)).timeout(Duration::from_millis(7))),
    ] {
        let subject = limited(by, 1);
        let before = tokio::time::Instant::now();
        assert_eq!(subject.send(PEER).await.status(), 503);
        assert_eq!(before.elapsed().as_millis(), timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn questions_to_the_store_are_measured() {
    let told = |limit: &RateLimit| -> Vec<(&'static str, f64)> {
        let store = "palisade_limit_store_";
        let own = limit.measure().into_iter();
        own.filter_map(|told| Some((told.metric.name.strip_prefix(store)?, told.value))).collect()
    };
    // answers after as long as the test's clock is moved meanwhile
    #[derive(Debug)]
    struct Slow(ManualClock, Told);
    impl Store for Slow {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            self.0.advance(Duration::from_micros(300));
            self.1.charge(demand)
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            self.1.refund(refund)
        }
    }
    let (clock, store) = (ManualClock::default(), Told::default());
    let limit = RateLimit::per_address(Quota::per(9, MINUTE)).name("api");
    let limit = limit.clock(Arc::new(clock.clone()));
    let by = SharedStore::new(Slow(clock.clone(), store.clone())).fail_open().breaker(2, MINUTE);
    let subject = Subject { limit: limit.store(by).build().unwrap(), clock };
    subject.send(PEER).await;
    store.now_says(Says::Hangs);
    subject.send(PEER).await;
    store.now_says(Says::Fails);
    for _ in 0..3 {
        subject.send(PEER).await;
    }
    assert_eq!(
        told(&subject.limit),
        [
            ("requests_total", 3.0),
            ("errors_total", 2.0),
            ("timeouts_total", 1.0),
            ("wait_microseconds_total", 900.0),
            ("breaker_open", 1.0),
            ("skipped_total", 2.0),
            ("leased_total", 0.0),
            ("remembered_total", 0.0),
        ]
    );
    let local = RateLimit::per_address(Quota::per(9, MINUTE)).build().unwrap();
    assert_eq!(told(&local), [], "it has no store");
}

#[tokio::test]
async fn breaker_opens_after_consecutive_failures() {
    let store = Told::to(Says::Fails);
    let subject = limited(SharedStore::new(store.clone()).fail_open(), 1);
    for _ in 0..20 {
        assert_eq!(subject.send(PEER).await.status(), 200);
    }
    assert_eq!(store.asked(), 5);
    subject.clock.advance(Duration::from_secs(1));
    subject.send(PEER).await;
    subject.send(PEER).await;
    assert_eq!(store.asked(), 6, "one request tries");
    let stats = subject.limit.store_stats().unwrap();
    assert_eq!((stats.asked, stats.failed, stats.skipped), (6, 6, 16));
    assert!(stats.left_alone);

    store.now_says(Says::Fits);
    subject.clock.advance(Duration::from_secs(1));
    for asked in 7..10 {
        subject.send(PEER).await;
        assert_eq!(store.asked(), asked, "it answers again");
    }
    assert!(!subject.limit.store_stats().unwrap().left_alone);
}

#[tokio::test]
async fn charge_of_an_uncounted_request_is_refunded() {
    let store = Told::default();
    let subject = limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
    subject.send_to(PEER, StatusCode::OK).await;
    subject.send_to(PEER, StatusCode::UNAUTHORIZED).await;
    subject.send_to(PEER, StatusCode::OK).await;
    // refunds run in tasks of their own
    tokio::task::yield_now().await;
    assert_eq!(store.refunded(), [(1, 1), (1, 3)], "amount and moment of the charge");
}

#[tokio::test]
async fn rejections_are_not_cached_if_refunds_are_possible() {
    let store = Told::to(Says::Over(Fit::After(MINUTE)));
    let subject = limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
    assert_eq!(subject.send(PEER).await.status(), 429);
    store.now_says(Says::Fits);
    assert_eq!(subject.send(PEER).await.status(), 200);
}

#[tokio::test]
async fn leased_permits_are_spent_without_asking_the_store() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let subject = Subject {
        limit: RateLimit::per_address(Quota::per(100, MINUTE))
            .name("api")
            .clock(Arc::new(clock.clone()))
            .store(SharedStore::new(server.clone()).leased(10))
            .build()
            .unwrap(),
        clock,
    };
    for used in 1..=100 {
        let response = subject.send(PEER).await;
        assert_eq!(response.status(), 200);
        let field = header(&response, "ratelimit").unwrap();
        assert_eq!(field, format!("\"api\";r={};t=60", 100 - used));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 10);
    assert_eq!(subject.send(PEER).await.status(), 429);
    let stats = subject.limit.store_stats().unwrap();
    assert_eq!((stats.asked, stats.leased), (11, 90));
}

#[tokio::test]
async fn peek_includes_permits_leased_on_this_machine() {
    let (subject, server) = leasing(100, 10);
    let key = ByAddress::default().key_of("192.0.2.1".parse().unwrap());
    let left = async || subject.limit.peek(key).await.unwrap().remaining();
    assert_eq!(left().await, Some(100));
    for sent in 1..=25 {
        subject.send(PEER).await;
        assert_eq!(left().await, Some(100 - sent));
    }
    assert!(server.asked.load(Ordering::SeqCst) < 25 + 25, "the permits were leased");
}

#[tokio::test]
async fn a_fleet_that_leases_stays_within_the_stated_bounds() {
    const MACHINES: usize = 5;
    const LEASE: u32 = 8;
    const LIMIT: u32 = 100;
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let fleet: Vec<Subject> = (0..MACHINES)
        .map(|_| Subject {
            limit: RateLimit::per_address(Quota::per(LIMIT, MINUTE).fixed_window())
                .name("api")
                .clock(Arc::new(clock.clone()))
                .store(SharedStore::new(server.clone()).leased(LEASE))
                .build()
                .unwrap(),
            clock: clock.clone(),
        })
        .collect();
    let held_at_most = MACHINES as u32 * LEASE;

    // Under: one machine alone gets the limit less what the others hold at most.
    for machine in &fleet {
        assert_eq!(machine.send(PEER).await.status(), 200);
    }
    let mut admitted = MACHINES as u32;
    for _ in 0..2 * LIMIT {
        admitted += u32::from(fleet[0].send(PEER).await.status() == 200);
    }
    assert!((LIMIT - held_at_most..LIMIT).contains(&admitted), "{admitted}");

    // Over: what was taken late in one window is spent early in the next, and no more than what was held.
    clock.advance(MINUTE * 3 - Duration::from_secs(1));
    for machine in &fleet {
        assert_eq!(machine.send(PEER).await.status(), 200);
    }
    clock.advance(Duration::from_secs(1));
    let mut next = 0;
    for _ in 0..LIMIT {
        for machine in &fleet {
            next += u32::from(machine.send(PEER).await.status() == 200);
        }
    }
    assert!((LIMIT + 1..=LIMIT + held_at_most).contains(&next), "{next}");

    // Permits of a window that is over are lost.
    clock.advance(MINUTE * 3);
    let asked = || server.asked.load(Ordering::SeqCst);
    let before = asked();
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    assert_eq!(asked(), before + 1, "one lease");
    clock.advance(Duration::from_nanos(1));
    assert_eq!(fleet[1].send(PEER).await.status(), 200);
    assert_eq!(asked(), before + 2, "it was good for a window");
}

#[tokio::test]
async fn a_permit_that_was_not_used_goes_back_into_its_lease() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let subject = Subject {
        limit: RateLimit::per_address(Quota::per(10, MINUTE))
            .name("api")
            .clock(Arc::new(clock.clone()))
            .only_failures()
            .store(SharedStore::new(server.clone()).leased(5))
            .build()
            .unwrap(),
        clock,
    };
    for _ in 0..50 {
        assert_eq!(subject.send(PEER).await.status(), 200, "successes do not count");
        tokio::task::yield_now().await;
    }
    let mut failures = 0;
    while subject.send_to(PEER, StatusCode::UNAUTHORIZED).await.status() == 401 {
        failures += 1;
    }
    assert_eq!(failures, 10);
}

#[tokio::test]
async fn parallel_requests_that_lease_keep_no_more_than_one_lease() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let by = SharedStore::new(server.clone()).leased(50);
    let limit = RateLimit::per_address(Quota::per(1000, MINUTE)).name("api");
    let limit = limit.clock(Arc::new(clock.clone()));
    let subject = Subject { limit: limit.store(by).build().unwrap(), clock };
    let all = all_of((0..10).map(|_| subject.send(PEER))).await;
    assert!(all.iter().all(|response| response.status() == 200));
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let used: u32 = server.counts.lock().unwrap().values().sum();
    assert!(used <= 10 + 50, "{used} were taken for ten requests and one lease");
}

/// A machine that leases, on a server's clock.
fn leasing(limit: u32, permits: u32) -> (Subject, Server) {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let builder = RateLimit::per_address(Quota::per(limit, MINUTE).fixed_window()).name("api");
    let builder = builder.clock(Arc::new(clock.clone()));
    let limit = builder.store(SharedStore::new(server.clone()).leased(permits)).build().unwrap();
    (Subject { limit, clock }, server)
}

#[tokio::test]
async fn burst_at_a_machine_without_a_lease_gets_what_is_left() {
    let (subject, _) = leasing(1000, 100);
    let burst = all_of((0..100).map(|_| subject.send(PEER))).await;
    assert!(burst.iter().all(|response| response.status() == 200));
    let mut more = 0;
    for _ in 0..1000 {
        more += u32::from(subject.send(PEER).await.status() == 200);
    }
    assert_eq!(more, 900);
}

#[tokio::test]
async fn cancelled_requests_lose_no_lease() {
    let (subject, _) = leasing(1000, 100);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..10 {
        let mut request = Box::pin(subject.send(PEER));
        assert!(request.as_mut().poll(&mut cx).is_pending());
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let mut admitted = 0;
    for _ in 0..1000 {
        admitted += u32::from(subject.send(PEER).await.status() == 200);
    }
    assert_eq!(admitted, 990, "each of the ten has its own permit, and one has got a lease");
}

#[tokio::test]
async fn permits_of_an_expired_lease_do_not_return_into_another() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let builder = RateLimit::per_address(Quota::per(10, MINUTE).fixed_window()).name("api");
    let builder = builder.clock(Arc::new(clock.clone())).only_failures();
    let limit = builder.store(SharedStore::new(server).leased(10)).build().unwrap();

    // Ten requests that take longer than the window, and succeed.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut slow = Vec::new();
    for _ in 0..10 {
        let gate = Arc::clone(&gate);
        let service = limit.layer().layer(service_fn(move |_: Request<Script>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(Script::empty()))
            }
        }));
        let peer = PeerAddr(format!("{PEER}:4000").parse().unwrap());
        let request = Request::get("/").extension(peer).body(Script::empty()).unwrap();
        let mut request = Box::pin(service.oneshot(request));
        for _ in 0..5 {
            assert!(request.as_mut().poll(&mut cx).is_pending());
            tokio::task::yield_now().await;
        }
        slow.push(request);
    }
    clock.advance(MINUTE);

    // Ten guesses in the next window, and then the slow ones are back.
    let subject = Subject { limit, clock };
    let guesses = async || {
        let mut guesses = 0;
        for _ in 0..20 {
            let answer = subject.send_to(PEER, StatusCode::UNAUTHORIZED).await;
            guesses += u32::from(answer.status() == 401);
        }
        guesses
    };
    assert_eq!(guesses().await, 10);
    gate.add_permits(10);
    for request in slow {
        assert_eq!(request.await.unwrap().status(), 200);
    }
    assert_eq!(guesses().await, 0);
}

#[tokio::test]
async fn limit_in_shadow_admits_if_the_store_fails() {
    let failing = || SharedStore::new(Told::to(Says::Fails));
    for (by, would_be) in [
        (failing().fail_closed(), Outcome::CouldNotTell { code: "UNAVAILABLE" }),
        (failing().fail_open(), Outcome::Granted),
        (failing().fallback_local(1.0), Outcome::Granted),
    ] {
        let subject = limited_as(by, 5, RateLimitBuilder::shadow);
        assert_eq!(subject.send(PEER).await.status(), 200);
        let peer = PeerAddr(format!("{PEER}:4000").parse().unwrap());
        let (head, ()) = Request::get("/").extension(peer).body(()).unwrap().into_parts();
        let Decision::Later(decision) = subject.limit.decide(&head) else { panic!("it asks") };
        let Ok(admission) = decision.await else { panic!("it refuses nobody") };
        assert_eq!(subject.limit.would_have_said(&admission), Some(would_be));
    }
}

/// Polls all futures in turn until they are done.
async fn all_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    done.into_iter().flatten().collect()
}

#[test]
fn a_shared_limit_keeps_the_contract_of_layers() {
    let peer = PeerAddr("192.0.2.1:4000".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    Contract::new(|| Request::get("/").extension(peer).body(Script::empty()).unwrap())
        .check_policy(|| limited(SharedStore::new(Told::default()), 1_000_000).limit);
}

/// A store of two nodes that are told apart by the last bit of the digest, of which the second is down.
#[derive(Clone, Debug)]
struct HalfDown(Told, Arc<AtomicU32>);

impl Store for HalfDown {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        if self.node(&demand) == 1 {
            self.1.fetch_add(1, Ordering::SeqCst);
            return Box::pin(async { Err("connection refused".into()) });
        }
        self.0.charge(demand)
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        self.0.refund(refund)
    }

    fn node(&self, demand: &Demand) -> u64 {
        u64::from(demand.key[15] & 1)
    }
}

#[tokio::test]
async fn failed_node_affects_only_its_own_keys() {
    let store = HalfDown(Told::default(), Arc::default());
    let subject = limited(SharedStore::new(store.clone()), 9);
    let mut statuses = [0, 0];
    for client in 0..200 {
        let status = subject.send(&format!("192.0.2.{client}")).await.status();
        statuses[usize::from(status == 503)] += 1;
    }
    assert!(statuses[0] > 60 && statuses[1] > 60, "{statuses:?}");
    assert_eq!(store.0.asked(), statuses[0], "each client of the other node was decided on");
    assert_eq!(store.1.load(Ordering::SeqCst), 5, "and the one that is down was left alone");
}

#[tokio::test]
async fn an_error_of_one_key_leaves_the_breaker_closed() {
    #[derive(Debug)]
    struct OneBroken(Told);
    impl Store for OneBroken {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            let charged = self.0.charge(demand);
            let is_first =
                self.0.0.lock().unwrap().asked.windows(2).all(|two| two[0].key == two[1].key);
            Box::pin(async move {
                if is_first {
                    Err(palisade_rate_limit::KeyError::new("no count").into())
                } else {
                    charged.await
                }
            })
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            self.0.refund(refund)
        }
    }
    let subject = limited(SharedStore::new(OneBroken(Told::default())), 9);
    for _ in 0..20 {
        assert_eq!(subject.send(PEER).await.status(), 503);
    }
    assert_eq!(subject.send("192.0.2.2").await.status(), 200);
    let stats = subject.limit.store_stats().unwrap();
    assert_eq!((stats.asked, stats.failed, stats.left_alone), (21, 20, false));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_fills_the_cache() {
    /// Answers after a time.
    #[derive(Debug)]
    struct Late(Told, Duration);
    impl Store for Late {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            let (charged, after) = (self.0.charge(demand), self.1);
            Box::pin(async move {
                tokio::time::sleep(after).await;
                charged.await
            })
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            self.0.refund(refund)
        }
    }
    let late = Duration::from_millis(300);
    // a refusal
    let told = Told::to(Says::Over(Fit::After(MINUTE)));
    let subject = limited(SharedStore::new(Late(told.clone(), late)), 9);
    assert_eq!(subject.send(PEER).await.status(), 503);
    tokio::time::sleep(late).await;
    assert_eq!(subject.send(PEER).await.status(), 429);
    assert_eq!(told.asked(), 1);

    // a lease, without the permit of the request that was refused
    let told = Told::default();
    let subject = limited(SharedStore::new(Late(told.clone(), late)).leased(5), 9);
    assert_eq!(subject.send(PEER).await.status(), 503);
    tokio::time::sleep(late).await;
    for _ in 0..4 {
        assert_eq!(subject.send(PEER).await.status(), 200);
    }
    assert_eq!((told.asked(), told.refunded()), (1, vec![(1, 1)]));
}

#[tokio::test(start_paused = true)]
async fn wait_for_the_first_connection_has_its_own_timeout() {
    /// Is connected after a time, and answers at once.
    #[derive(Debug)]
    struct Far(Told, Duration);
    impl Store for Far {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            self.0.charge(demand)
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            self.0.refund(refund)
        }
        fn connecting(&self, _: &Demand) -> Option<BoxFuture<Result<(), BoxError>>> {
            let after = self.1;
            Some(Box::pin(async move {
                tokio::time::sleep(after).await;
                Ok(())
            }))
        }
    }
    for (connects_in, status, waited) in [(900, 200, 900), (3000, 503, 1000)] {
        let far = Far(Told::default(), Duration::from_millis(connects_in));
        let subject = limited(SharedStore::new(far), 9);
        let before = tokio::time::Instant::now();
        assert_eq!(subject.send(PEER).await.status(), status);
        assert_eq!(before.elapsed().as_millis(), waited);
    }
}

#[tokio::test(start_paused = true)]
async fn refund_is_repeated_with_one_id_until_it_succeeds() {
    /// Fails a number of times.
    #[derive(Clone, Debug)]
    struct Deaf(Told, Arc<AtomicU32>);
    impl Store for Deaf {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            self.0.charge(demand)
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            let taken = self.0.refund(refund);
            let left =
                self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            Box::pin(async move { if left.is_ok() { Err("not now".into()) } else { taken.await } })
        }
    }
    for (failures, sent) in [(5, 6), (1000, 17)] {
        let store = Deaf(Told::default(), Arc::new(AtomicU32::new(failures)));
        let subject =
            limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
        subject.send(PEER).await;
        tokio::time::sleep(MINUTE * 10).await;
        let orders = store.0.0.lock().unwrap();
        assert_eq!(orders.refunded.len(), sent, "it ends with the window");
        assert!(orders.refunded.iter().all(|refund| refund.id == orders.refunded[0].id));
    }
}

#[tokio::test]
async fn client_gets_its_whole_limit_among_thousands_of_keys() {
    let clock = ManualClock::default();
    let server = Server::new(&clock);
    let builder = RateLimit::per_address(Quota::per(100, MINUTE).fixed_window()).name("api");
    let builder = builder.clock(Arc::new(clock.clone())).capacity(1000);
    let limit = builder.store(SharedStore::new(server.clone()).leased(10)).build().unwrap();
    let subject = Subject { limit, clock };
    let mut admitted = 0;
    for round in 0..130 {
        admitted += u32::from(subject.send(PEER).await.status() == 200);
        for other in 0..100 {
            subject.send(&format!("10.{round}.{other}.1")).await;
        }
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(admitted, 100);
}

#[tokio::test]
async fn forgotten_key_is_asked_for_again() {
    /// Lets the test tell the limit to forget a key, as another machine would.
    #[derive(Clone, Default)]
    struct Watched(Told, Arc<Mutex<Option<palisade_rate_limit::Forget>>>);
    impl std::fmt::Debug for Watched {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Watched")
        }
    }
    impl Store for Watched {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            self.0.charge(demand)
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            self.0.refund(refund)
        }
        fn subscribe(&self, limit: &Arc<str>, forget: palisade_rate_limit::Forget) {
            assert_eq!(&**limit, "api");
            *self.1.lock().unwrap() = Some(forget);
        }
    }
    let store = Watched(Told::to(Says::Over(Fit::After(MINUTE))), Arc::default());
    let subject = limited(SharedStore::new(store.clone()).refusal_ttl(MINUTE), 9);
    assert_eq!(subject.send(PEER).await.status(), 429);
    store.0.now_says(Says::Fits);
    assert_eq!(subject.send(PEER).await.status(), 429, "it is remembered");
    let forget = store.1.lock().unwrap().clone().unwrap();
    let key = store.0.0.lock().unwrap().asked[0].key;
    assert!(forget(&key));
    assert_eq!(subject.send(PEER).await.status(), 200);
    drop(subject);
    assert!(!forget(&key), "the limit is gone, and so is its subscription");
}

#[test]
fn store_settings_that_are_not_valid_are_config_errors() {
    let setting = |by: fn(SharedStore) -> SharedStore, quota: Quota| {
        let limit = RateLimit::per_address(quota).name("api");
        let limit = limit.store(by(SharedStore::new(Told::default())));
        limit.build().unwrap_err().setting()
    };
    let quota = || Quota::per(1, MINUTE);
    assert_eq!(setting(|by| by.timeout(Duration::ZERO), quota()), "timeout");
    assert_eq!(setting(|by| by.connect_timeout(Duration::ZERO), quota()), "connect_timeout");
    assert_eq!(setting(|by| by.fallback_local(0.0), quota()), "fallback_local");
    assert_eq!(setting(|by| by.fallback_local(1.5), quota()), "fallback_local");
    assert_eq!(setting(|by| by.fallback_local(f64::NAN), quota()), "fallback_local");
    assert_eq!(setting(|by| by.secret(""), quota()), "secret");
    let nameless = RateLimit::per_address(quota()).store(SharedStore::new(Told::default()));
    assert_eq!(nameless.build().unwrap_err().setting(), "name", "two would share their counts");
}

#[tokio::test]
async fn chosen_quotas_use_the_store_and_its_fallback() {
    let store = Told::default();
    let clock = ManualClock::default();
    let builder = RateLimit::per_address(Quota::per(1, MINUTE)).name("api");
    let builder = builder.clock(Arc::new(clock.clone()));
    let builder = builder.quota(|_, head| {
        let limit = if head.uri.path() == "/" { 8 } else { 80 };
        Quota::per(limit, MINUTE).named("tier")
    });
    let by = SharedStore::new(store.clone()).fallback_local(0.25);
    let subject = Subject { limit: builder.store(by).build().unwrap(), clock };
    let response = subject.send(PEER).await;
    assert_eq!(header(&response, "ratelimit-policy"), Some("\"tier\";q=8;w=60"));
    assert_eq!(store.0.lock().unwrap().asked[0].quotas[0].limit(), 8);

    store.now_says(Says::Fails);
    for status in [200, 200, 429] {
        assert_eq!(subject.send(PEER).await.status(), status);
    }
}
