use super::*;

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_names_it() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    assert!(setup.finds("new").await.unwrap());
    assert!(setup.is_ready("new"));
    assert_eq!(setup.keys.status().generation, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_at_once_for_an_unknown_key_cause_one_fetch() {
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
async fn key_ids_made_up_at_random_cannot_cause_a_second_fetch_within_the_cool_down() {
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
async fn a_key_that_is_known_to_be_absent_does_not_use_up_the_try_of_an_honest_one() {
    let setup = loaded().await;
    assert!(!setup.finds("stale").await.unwrap());
    setup.pass(30);
    assert!(!setup.finds("stale").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    setup.pass(30);
    // the cool-down is over, and this id has been absent twice: it is not asked for
    assert!(!setup.finds("stale").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    setup.issuer.publish("a b new");
    assert!(setup.finds("new").await.unwrap());
    assert_eq!(setup.issuer.asked(), 4);
}

#[tokio::test]
async fn a_key_id_over_the_cap_is_nobodys() {
    let setup = setup();
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(257))), Lookup::Unknown));
    assert_eq!(setup.issuer.asked(), 0);
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(256))), Lookup::Wait(_)));
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_started_it_is_gone() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    setup.issuer.stall();
    let first = setup.keys.keys_for(Some("new"));
    let Lookup::Wait(second) = setup.keys.keys_for(Some("new")) else { panic!("it is not there") };
    drop(first);
    settle().await;
    setup.issuer.open();
    assert!(second.await.unwrap().has_key_id("new"));
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn a_fetch_that_nobody_waits_for_any_more_still_brings_the_keys() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    drop(setup.keys.keys_for(Some("new")));
    settle().await;
    assert!(setup.is_ready("new"));
}

#[tokio::test]
async fn known_keys_do_not_wait_for_a_fetch_that_is_under_way() {
    let setup = loaded().await;
    setup.issuer.stall();
    let _waiting = setup.keys.keys_for(Some("new"));
    settle().await;
    assert!(setup.is_ready("a"));
    assert!(matches!(setup.keys.keys_for(None), Lookup::Ready(_)));
}

#[tokio::test]
async fn while_the_issuer_is_down_an_unknown_key_is_503_and_not_401() {
    let setup = loaded().await;
    setup.issuer.die();
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("newer").await.unwrap_err());
    assert_eq!(setup.issuer.asked(), 2);
    setup.issuer.publish("a b new");
    setup.pass(30);
    assert!(setup.finds("new").await.unwrap());
    assert!(!setup.finds("newer").await.unwrap());
}
