use super::*;

#[tokio::test]
async fn keys_are_refreshed_in_the_background_before_they_expire() {
    let setup = loaded().await;
    setup.issuer.publish("c");
    setup.pass(479);
    assert!(setup.is_ready("a"));
    settle().await;
    assert_eq!(setup.issuer.asked(), 1);
    setup.pass(1);
    for _ in 0..10 {
        assert!(setup.is_ready("a"), "no request waits for it");
    }
    settle().await;
    assert_eq!(setup.issuer.asked(), 2);
    assert!(setup.is_ready("c"));
    assert!(!setup.is_ready("a"), "a key that was withdrawn is gone");
}

#[tokio::test]
async fn reading_the_generation_starts_a_refresh() {
    let setup = loaded().await;
    for _ in 0..20 {
        setup.pass(500);
        assert_eq!(setup.keys.generation(), Some(1));
        settle().await;
    }
    assert_eq!(setup.issuer.asked(), 21);
}

#[tokio::test]
async fn reloading_the_same_document_keeps_the_generation() {
    let setup = loaded().await;
    setup.keys.load().await.unwrap();
    assert_eq!(setup.keys.status().generation, 1);
    setup.issuer.publish("a");
    setup.keys.load().await.unwrap();
    assert_eq!(setup.keys.status().generation, 2);
}

#[tokio::test]
async fn max_age_is_clamped_to_between_a_minute_and_an_hour() {
    for (max_age, refreshed_at) in [(0, 48), (1000, 800), (u64::MAX, 2880)] {
        let setup = setup();
        let document = Fetched::new("a").with_max_age(Duration::from_secs(max_age));
        setup.issuer.serve(URL, Some(document));
        setup.keys.load().await.unwrap();
        setup.pass(refreshed_at - 1);
        assert!(setup.is_ready("a"));
        settle().await;
        assert_eq!(setup.issuer.asked(), 1, "{max_age}");
        setup.pass(1);
        assert!(setup.is_ready("a"));
        settle().await;
        assert_eq!(setup.issuer.asked(), 2, "{max_age}");
    }
}

#[tokio::test]
async fn old_keys_are_used_for_max_stale_while_the_issuer_is_down() {
    let setup = loaded().await;
    setup.issuer.die();
    let mut elapsed = 0;
    while elapsed < 600 + 3600 - 10 {
        setup.pass(10);
        elapsed += 10;
        assert!(setup.is_ready("a"), "after {elapsed} s");
        settle().await;
    }
    // One fetch in 15 to 30 s since the refresh was due, and not one per request.
    let tries = setup.issuer.asked();
    assert!((100..280).contains(&tries), "{tries}");
    assert_eq!(setup.keys.status().generation, 1);
    assert_eq!(setup.keys.status().failures as usize, tries - 1);

    setup.pass(10);
    assert_eq!(setup.keys.status().generation, 0);
    assert_eq!(setup.keys.generation(), None);
    assert_503(&setup.finds("a").await.unwrap_err());

    setup.issuer.publish("a b");
    setup.pass(60);
    assert!(setup.finds("a").await.unwrap());
}

#[tokio::test]
async fn unused_keys_are_loaded_again_before_they_are_used() {
    let setup = loaded().await;
    setup.issuer.publish("c");
    setup.pass(10 * 3600);
    assert!(!setup.finds("a").await.unwrap());
    assert!(setup.is_ready("c"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn only_one_fetch_runs_at_a_time() {
    struct Careful(Issuer, Arc<AtomicUsize>, Arc<AtomicUsize>);
    impl Fetch for Careful {
        fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
            let (inside, most) = (Arc::clone(&self.1), Arc::clone(&self.2));
            let answer = self.0.fetch(url);
            Box::pin(async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let answer = answer.await;
                inside.fetch_sub(1, Ordering::SeqCst);
                answer
            })
        }
    }
    let most = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer::with("a b");
    let clock = ManualClock::default();
    let keys: RemoteKeys<Ids> = Jwks::url(URL)
        .fetch(Careful(issuer.clone(), Arc::default(), Arc::clone(&most)))
        .clock(Arc::new(clock.clone()))
        .remote()
        .unwrap();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (keys, clock) = (keys.clone(), clock.clone());
            tokio::spawn(async move {
                for round in 0..2000 {
                    clock.advance(Duration::from_millis(500));
                    let id = if round % 3 == 0 { format!("{worker}-{round}") } else { "a".into() };
                    match keys.keys_for(Some(&id)) {
                        Lookup::Wait(keys) => drop(keys.await.unwrap()),
                        Lookup::Unavailable(error) => panic!("{error:?}"),
                        Lookup::Ready(_) | Lookup::Unknown => {}
                    }
                    if round % 50 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert!(issuer.asked() > 10);
}

#[tokio::test]
async fn expired_keys_are_not_used_without_max_stale() {
    let setup = setup_with(|builder| builder.max_stale(Duration::ZERO));
    setup.keys.load().await.unwrap();
    setup.pass(599);
    setup.issuer.die();
    assert!(setup.is_ready("a"));
    settle().await;
    setup.pass(1);
    assert_503(&setup.finds("a").await.unwrap_err());
}
