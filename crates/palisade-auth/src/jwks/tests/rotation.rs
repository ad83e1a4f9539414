//! An issuer that rotates, withdraws, empties, fails and hangs.

use super::*;

#[tokio::test]
async fn a_withdrawn_key_is_rejected_once_cache_for_has_passed() {
    let setup = loaded().await;
    setup.issuer.publish("b");
    setup.pass(599);
    // No request has arrived that would have started the refresh.
    assert!(setup.is_ready("a"));
    let setup = loaded().await;
    setup.issuer.publish("b");
    setup.pass(600);
    assert_eq!(setup.keys.generation(), None, "what was concluded from old keys is not used");
    assert!(!setup.finds("a").await.unwrap());
    assert!(setup.is_ready("b"));
    assert_eq!(setup.keys.generation(), Some(2));
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn requests_after_cache_for_share_the_refresh_they_wait_for() {
    let setup = loaded().await;
    setup.pass(600);
    setup.issuer.stall();
    let lookups: Vec<_> = (0..1000).map(|_| setup.keys.keys_for(Some("a"))).collect();
    settle().await;
    setup.issuer.open();
    for lookup in lookups {
        let Lookup::Wait(found) = lookup else { panic!("the keys have expired") };
        assert!(found.await.unwrap().keys().has_key_id("a"));
    }
    assert_eq!(setup.issuer.asked(), 2);
    assert_eq!(setup.keys.generation(), Some(1), "the same document");
}

#[tokio::test]
async fn an_empty_set_withdraws_all_keys() {
    for refreshed_at in [480, 600] {
        let setup = loaded().await;
        setup.issuer.publish("");
        setup.pass(refreshed_at);
        let _ = setup.finds("a").await;
        settle().await;
        assert!(!setup.finds("a").await.unwrap(), "after {refreshed_at} s");
        assert_eq!(setup.keys.status().keys, 0);
        assert_eq!(setup.keys.status().failures, 0);
        setup.issuer.publish("c");
        setup.pass(30);
        assert!(setup.finds("c").await.unwrap());
        assert_eq!(setup.keys.status().keys, 1);
    }
}

#[tokio::test]
async fn starting_with_an_empty_set_is_an_error() {
    let issuer = Issuer::with(r#"{"keys":[]}"#);
    let keys = Jwks::url(URL).fetch(issuer.clone()).build().unwrap();
    let error = keys.start(crate::StartUp::Fail).await.unwrap_err();
    assert!(error.causes().contains("no key"), "{}", error.causes());
    assert!(keys.start(crate::StartUp::Wait(Duration::from_millis(1))).await.is_err());
    assert!(keys.start(crate::StartUp::Lazy).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_delays_the_first_request_only() {
    let setup = loaded().await;
    setup.issuer.stall();
    setup.pass(600);
    let start = tokio::time::Instant::now();
    assert!(setup.finds("a").await.unwrap(), "old keys are used for `max_stale`");
    assert_eq!(start.elapsed().as_secs(), 5);
    let mut seconds = 0;
    while seconds < 3600 - 10 {
        setup.pass(10);
        seconds += 10;
        assert!(setup.is_ready("a"), "after {seconds} s");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    setup.pass(10);
    assert_503(&setup.finds("a").await.unwrap_err());
}

#[tokio::test]
async fn request_waits_for_keys_long_after_a_failed_fetch() {
    let setup = loaded().await;
    setup.issuer.die();
    setup.pass(480);
    assert!(setup.is_ready("a"));
    settle().await;
    setup.issuer.publish("b");
    // The service was idle for half an hour, in which the issuer withdrew the key.
    setup.pass(1800);
    assert!(!setup.finds("a").await.unwrap());
}

#[tokio::test]
async fn key_published_in_an_outage_is_found_within_the_cool_down() {
    let setup = loaded().await;
    setup.issuer.die();
    for _ in 0..600 {
        setup.pass(1);
        assert_503(&setup.finds("new").await.unwrap_err());
    }
    setup.issuer.publish("new");
    let mut waited = 0;
    while setup.finds("new").await.is_err() {
        setup.pass(1);
        waited += 1;
        assert!(waited <= 30);
    }
    assert!(setup.is_ready("new"));
}

/// Ten rotations: the new key is published, 1,000 requests arrive with it at once, and the old one is withdrawn. Between
/// the rotations made-up ids arrive, and the issuer fails once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_requests_pass_during_key_rotation() {
    let setup = Arc::new(loaded().await);
    for round in 0..10 {
        let new = format!("key-{round}");
        setup.issuer.publish(&format!("b {new}"));
        let requests: Vec<_> = (0..1000)
            .map(|at| {
                let (setup, new) = (Arc::clone(&setup), new.clone());
                tokio::spawn(async move {
                    let id = if at % 2 == 0 { &*new } else { "b" };
                    setup.finds(id).await
                })
            })
            .collect();
        for request in requests {
            assert!(request.await.unwrap().unwrap(), "{new}");
        }
        assert!(!setup.finds("made up").await.unwrap());
        setup.issuer.die();
        setup.pass(31);
        assert_503(&setup.finds("made up, too").await.unwrap_err());
        setup.pass(2);
    }
    assert!(setup.issuer.asked() <= 1 + 3 * 10, "{}", setup.issuer.asked());
}
