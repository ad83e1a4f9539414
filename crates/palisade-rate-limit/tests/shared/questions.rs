//! What the store is asked, and what its answers do.

use super::*;

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

#[tokio::test]
async fn store_receives_all_quotas_of_a_request_in_one_call() {
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
async fn digests_are_equal_on_machines_with_the_same_secret() {
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
async fn rejection_by_the_store_has_its_exact_wait() {
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
async fn rejection_is_cached_until_its_wait_is_over() {
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
async fn cached_rejection_applies_to_requests_of_the_same_cost() {
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
async fn machine_bans_locally_if_the_store_cannot_ban() {
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
async fn client_at_150_percent_of_its_limit_gets_its_limit() {
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
async fn invalidated_key_is_requested_from_the_store_again() {
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
