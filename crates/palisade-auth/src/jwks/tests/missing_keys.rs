use super::*;

#[tokio::test]
async fn a_new_key_is_found_by_its_first_token() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    assert!(setup.finds("new").await.unwrap());
    assert!(setup.is_ready("new"));
    assert_eq!(setup.keys.status().generation, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_for_a_missing_key_share_one_fetch() {
    let setup = Arc::new(loaded().await);
    setup.issuer.publish("a b new");
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.finds("new").await })
        })
        .collect();
    for request in requests {
        assert!(request.await.unwrap().unwrap());
    }
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn a_flood_of_key_ids_causes_one_fetch_per_cool_down() {
    let setup = loaded().await;
    for id in 0..1000 {
        assert!(!setup.finds(&format!("random {id}")).await.unwrap());
    }
    assert_eq!(setup.issuer.asked(), 2);
    setup.pass(29);
    assert!(!setup.finds("another").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
    setup.pass(1);
    assert!(!setup.finds("another").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    assert!(setup.is_ready("a"));
}

#[tokio::test]
async fn a_concurrent_flood_causes_one_fetch_per_cool_down() {
    let setup = loaded().await;
    setup.issuer.stall();
    let lookups: Vec<_> =
        (0..1000).map(|id| setup.keys.keys_for(Some(&format!("random {id}")))).collect();
    settle().await;
    // The fetch takes longer than the pause before an extra attempt.
    setup.pass(4);
    setup.issuer.open();
    for lookup in lookups {
        let Lookup::Wait(found) = lookup else { panic!("the fetch is in progress") };
        assert!(!found.await.unwrap().keys().has_key_id("new"));
    }
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn unknown_key_id_leaves_an_attempt_for_a_published_one() {
    let setup = loaded().await;
    assert!(!setup.finds("made up").await.unwrap());
    setup.issuer.publish("a b new");
    setup.pass(1);
    assert!(!setup.finds("made up").await.unwrap());
    assert!(setup.finds("new").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
}

#[tokio::test]
async fn unpublished_key_is_found_within_the_cool_down_once_published() {
    let setup = loaded().await;
    // The issuer signs with a key for ten minutes before it publishes it.
    for _ in 0..60 {
        setup.pass(10);
        assert!(!setup.finds("new").await.unwrap());
        settle().await;
    }
    setup.issuer.publish("a b new");
    let mut waited = 0;
    while !setup.finds("new").await.unwrap() {
        setup.pass(1);
        waited += 1;
        assert!(waited <= 30);
    }
}

#[tokio::test]
async fn a_key_is_found_within_the_cool_down_of_a_flood() {
    for published_at in [0, 1, 17, 29] {
        let setup = loaded().await;
        let mut id = 0;
        let mut flood = async |seconds: u64| {
            for _ in 0..seconds {
                setup.pass(1);
                for _ in 0..10 {
                    id += 1;
                    assert!(!setup.finds(&id.to_string()).await.unwrap());
                }
            }
        };
        flood(100 + published_at).await;
        setup.issuer.publish("a b new");
        flood(30).await;
        assert!(setup.finds("new").await.unwrap(), "{published_at}");
        assert!(setup.issuer.asked() <= 1 + 5 + 1, "{}", setup.issuer.asked());
    }
}

#[tokio::test]
async fn fetch_is_repeated_if_it_began_before_the_publication() {
    let setup = loaded().await;
    setup.pass(480);
    // The document of this refresh is read before the key is published, and arrives after.
    setup.issuer.delay_answers();
    assert!(setup.is_ready("a"));
    settle().await;
    setup.issuer.publish("a b new");
    let Lookup::Wait(found) = setup.keys.keys_for(Some("new")) else { panic!("it is not there") };
    setup.issuer.open();
    assert!(found.await.unwrap().keys().has_key_id("new"));
    assert_eq!(setup.issuer.asked(), 3);
}

#[tokio::test]
async fn key_ids_over_the_cap_are_unknown() {
    let setup = setup();
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(257))), Lookup::Unknown));
    assert_eq!(setup.issuer.asked(), 0);
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(256))), Lookup::Wait(_)));
}

#[tokio::test]
async fn fetch_continues_after_its_request_is_cancelled() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    setup.issuer.stall();
    let first = setup.keys.keys_for(Some("new"));
    let Lookup::Wait(second) = setup.keys.keys_for(Some("new")) else { panic!("it is not there") };
    drop(first);
    settle().await;
    setup.issuer.open();
    assert!(second.await.unwrap().keys().has_key_id("new"));
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn fetch_completes_without_waiting_requests() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    drop(setup.keys.keys_for(Some("new")));
    settle().await;
    assert!(setup.is_ready("new"));
}

#[tokio::test]
async fn known_keys_do_not_wait_for_a_fetch() {
    let setup = loaded().await;
    setup.issuer.stall();
    let _waiting = setup.keys.keys_for(Some("new"));
    settle().await;
    assert!(setup.is_ready("a"));
    assert!(setup.has_keys());
}

#[tokio::test]
async fn a_failed_fetch_costs_one_backoff() {
    let setup = loaded().await;
    setup.issuer.die();
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("newer").await.unwrap_err());
    assert_eq!(setup.issuer.asked(), 2);
    setup.issuer.publish("a b new");
    setup.pass(2);
    assert!(setup.finds("new").await.unwrap());
    assert!(!setup.finds("newer").await.unwrap());
}

#[tokio::test]
async fn a_bad_signature_causes_one_fetch_per_cool_down() {
    let setup = loaded().await;
    for _ in 0..1000 {
        match setup.keys.newer_keys(1) {
            Lookup::Wait(found) => assert_eq!(found.await.unwrap().generation(), 1),
            Lookup::Unknown => {}
            Lookup::Ready(_) | Lookup::Unavailable(_) => panic!("there are no newer keys"),
        }
    }
    assert_eq!(setup.issuer.asked(), 2);
    setup.issuer.publish("a b c");
    setup.pass(30);
    let Lookup::Wait(found) = setup.keys.newer_keys(1) else { panic!("refused") };
    assert_eq!(found.await.unwrap().generation(), 2);
    assert!(matches!(setup.keys.newer_keys(1), Lookup::Ready(_)));
    // A changed set does not show that the signature was good: the cool-down has started.
    assert!(matches!(setup.keys.newer_keys(2), Lookup::Unknown));
    assert_eq!(setup.issuer.asked(), 3);
}
