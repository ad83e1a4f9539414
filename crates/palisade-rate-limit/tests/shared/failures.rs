//! Stores that fail, stall or answer late.

use super::*;

#[tokio::test(start_paused = true)]
async fn failed_store_triggers_the_declared_failure_mode() {
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
async fn request_waits_for_the_store_until_the_timeout() {
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
async fn store_calls_are_measured() {
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
async fn limit_in_shadow_admits_if_the_store_fails() {
    let failing = || SharedStore::new(Told::to(Says::Fails));
    for (by, would_be) in [
        (failing().fail_closed(), Outcome::CouldNotTell { code: "UNAVAILABLE".into() }),
        (failing().fail_open(), Outcome::Granted),
        (failing().fallback_local(1.0), Outcome::Granted),
    ] {
        let subject = limited_as(by, 5, RateLimitBuilder::shadow);
        assert_eq!(subject.send(PEER).await.status(), 200);
        let peer = PeerAddr(format!("{PEER}:4000").parse().unwrap());
        let (head, ()) = Request::get("/").extension(peer).body(()).unwrap().into_parts();
        let Decision::Later(decision) = subject.limit.decide(&head) else { panic!("it asks") };
        let Ok(admission) = decision.await else { panic!("the request was rejected") };
        assert_eq!(allowed(&subject.limit, &admission), Allowed::OnTrial(would_be));
    }
}

fn allowed<P: Policy>(_: &P, grant: &P::Grant) -> Allowed {
    P::allowed(grant)
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
async fn error_of_a_single_key_leaves_the_breaker_closed() {
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
async fn late_reply_fills_the_cache() {
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
