//! Stored responses.

use super::*;

#[tokio::test]
async fn responses_are_cached_for_their_lifetime() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.revoke(&token);
    setup.pass(29);
    assert_eq!(setup.status(&token).await, 200);
    assert_eq!(setup.issuer.questions(), 1);
    setup.pass(1);
    assert_eq!(setup.status(&token).await, 401);
    setup.issuer.replace(&token, claims());
    setup.pass(4);
    assert_eq!(setup.status(&token).await, 401);
    assert_eq!(setup.issuer.questions(), 2);
    setup.pass(1);
    assert_eq!(setup.status(&token).await, 200);
    assert_eq!(setup.issuer.questions(), 3);
}

#[tokio::test]
async fn clear_removes_all_cached_responses() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.revoke(&token);
    setup.auth.clear();
    assert_eq!(setup.status(&token).await, 401);
}

#[tokio::test]
async fn responses_are_not_cached_beyond_the_expiry() {
    let setup = setup_with(|builder| {
        builder.cache_for(Duration::from_secs(3600)).max_stale(Duration::from_secs(3600))
    });
    let token = setup.issuer.issue(json!({"sub": "ada", "aud": "orders", "exp": NOW + 10}));
    assert_eq!(setup.status(&token).await, 200);
    setup.pass(10);
    assert_eq!(setup.status(&token).await, 200, "within the skew");
    assert_eq!(setup.issuer.questions(), 2);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    assert_eq!(setup.status(&token).await, 503);
    setup.issuer.recover();
    setup.pass(60);
    assert_eq!(setup.status(&token).await, 401);
}

#[tokio::test]
async fn clear_repeats_pending_introspection() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let waiting = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    auth.clear();
    let later = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 1 {
        tokio::task::yield_now().await;
    }
    client.open();
    assert_eq!((waiting.await.unwrap(), later.await.unwrap()), (200, 200));
    // The answer to the first question is not stored, and did not remove the second question.
    assert_eq!(client.asked(), 2);
    assert_eq!(check(&auth, "token").await.0, 200);
    assert_eq!(client.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_requests_with_one_token_share_an_introspection() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, "token").await.0 })
        })
        .collect();
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    client.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(client.asked(), 1);
}

#[tokio::test]
async fn introspection_continues_after_its_request_is_cancelled() {
    let client = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let request = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "token").await.0 }
    });
    while client.asked() == 0 {
        tokio::task::yield_now().await;
    }
    request.abort();
    let _ = request.await;
    client.open();
    assert_eq!(check(&auth, "token").await.0, 200);
    assert_eq!(client.asked(), 1);
}
