use super::*;

#[tokio::test]
async fn the_first_request_loads_the_keys() {
    let setup = setup();
    assert_eq!(setup.keys.status().generation, 0);
    assert!(setup.finds("a").await.unwrap());
    assert!(setup.is_ready("b"));
    assert!(setup.has_keys());
    assert_eq!(setup.keys.status().generation, 1);
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn a_thousand_first_requests_share_one_fetch() {
    let setup = setup();
    setup.issuer.stall();
    let waits: Vec<_> = (0..1000)
        .map(|_| match setup.keys.keys_for(None) {
            Lookup::Wait(keys) => keys,
            _ => panic!("there are no keys yet"),
        })
        .collect();
    settle().await;
    setup.issuer.open();
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn missing_keys_are_503_until_the_backoff_ends() {
    let setup = setup();
    setup.issuer.die();
    assert_503(&setup.finds("a").await.unwrap_err());
    for id in 0..1000 {
        assert_503(&setup.finds(&id.to_string()).await.unwrap_err());
    }
    assert!(matches!(setup.keys.keys_for(None), Lookup::Unavailable(_)));
    assert_eq!(setup.issuer.asked(), 1);

    setup.issuer.publish("a");
    setup.pass(2);
    assert!(setup.finds("a").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn the_first_fetch_counts_as_an_attempt_for_its_key() {
    let setup = setup();
    assert!(!setup.finds("x").await.unwrap());
    assert!(!setup.finds("x").await.unwrap());
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn garbage_is_a_failed_fetch() {
    let setup = setup();
    setup.issuer.publish("garbage");
    assert_503(&setup.finds("a").await.unwrap_err());
    let setup = loaded().await;
    setup.issuer.publish("garbage");
    assert!(setup.keys.load().await.is_err());
    assert!(setup.is_ready("a"));
    assert_eq!(setup.keys.status().failures, 1);
}

#[tokio::test]
async fn rejects_documents_over_the_cap() {
    let setup = setup();
    setup.issuer.publish(&"a ".repeat(200 * 1024));
    assert_503(&setup.finds("a").await.unwrap_err());
}

#[tokio::test]
async fn a_panic_of_the_parser_fails_the_fetch() {
    let setup = setup();
    setup.issuer.publish("panic");
    assert_503(&setup.finds("a").await.unwrap_err());
    setup.issuer.publish("a");
    setup.pass(2);
    assert!(setup.finds("a").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_at_the_timeout() {
    let setup = setup();
    setup.issuer.stall();
    let before = tokio::time::Instant::now();
    assert_503(&setup.finds("a").await.unwrap_err());
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[test]
fn request_outside_a_runtime_is_503() {
    let setup = setup();
    match setup.keys.keys_for(None) {
        Lookup::Unavailable(error) => assert_503(&error),
        _ => panic!("there is no runtime"),
    }
}

#[test]
fn a_fetch_dropped_by_its_runtime_can_be_repeated() {
    let setup = setup();
    setup.issuer.stall();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let wait = first.block_on(async { setup.keys.keys_for(None) });
    drop(first);
    let second = runtime();
    second.block_on(async {
        let Lookup::Wait(wait) = wait else { panic!("there are no keys yet") };
        assert_503(&wait.await.err().unwrap());
        setup.issuer.open();
        setup.pass(2);
        assert!(setup.finds("a").await.unwrap());
    });
}

#[test]
fn a_runtime_that_was_shut_down_fails_the_fetch() {
    let setup = setup();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _inside = handle.enter();
    assert!(matches!(setup.keys.keys_for(None), Lookup::Wait(_)));
    assert!(matches!(setup.keys.keys_for(None), Lookup::Unavailable(_)));
    assert_eq!(setup.issuer.asked(), 0);
}
