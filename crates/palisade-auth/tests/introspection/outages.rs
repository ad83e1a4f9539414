//! Issuers that fail or do not respond.

use super::*;

#[tokio::test]
async fn unavailable_issuer_is_503() {
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let setup = setup();
        let token = setup.issuer.issue(claims());
        setup.issuer.fail(StatusCode::from_u16(status).unwrap());
        for _ in 0..3 {
            let response = send(setup.auth.clone(), &[&format!("Bearer {token}")]).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(header::RETRY_AFTER));
            assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
        }
        assert_eq!(setup.issuer.questions(), 1, "one back-off");
        setup.issuer.recover();
        setup.pass(2);
        assert_eq!(setup.status(&token).await, 200);
    }
}

#[tokio::test]
async fn failing_issuer_is_contacted_once_per_backoff() {
    let setup = setup();
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    let mut asked = 0;
    for token in 0..1200 {
        assert_eq!(setup.status(&format!("token-{token}")).await, 503);
        setup.clock.advance(Duration::from_millis(100));
        asked = setup.issuer.questions();
    }
    // Two minutes: after 2, 4, 8 and 16 s, and then every 15 to 30 s.
    assert!((6..=14).contains(&asked), "{asked}");
    setup.issuer.recover();
    setup.pass(30);
    for _ in 0..20 {
        assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200);
    }
    // One more failure costs one short back-off again.
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    assert_eq!(setup.status("another").await, 503);
    setup.issuer.recover();
    setup.pass(2);
    assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200);
}

#[tokio::test]
async fn tokens_of_unusual_form_do_not_block_others() {
    for status in [400, 403, 413, 414, 422] {
        let setup = setup();
        for round in 0..10 {
            setup.issuer.fail(StatusCode::from_u16(status).unwrap());
            assert_eq!(setup.status(&format!("~~~{round}")).await, 503);
            setup.issuer.recover();
            assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 200, "{status}");
        }
    }
}

/// An issuer that does not answer about one token.
#[derive(Clone)]
struct HangsOn(&'static str, Scripted);

impl Fetch for HangsOn {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.1.fetch(url)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        if std::str::from_utf8(request.body()).unwrap().contains(self.0) {
            return Box::pin(std::future::pending());
        }
        self.1.post(request)
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_introspection_does_not_block_other_tokens() {
    let client = Scripted::new(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(HangsOn("hangs", client), &clock).build().unwrap();
    let hanging = tokio::spawn({
        let auth = auth.clone();
        async move { check(&auth, "hangs").await.0 }
    });
    tokio::task::yield_now().await;
    assert_eq!(check(&auth, "good").await.0, 200);
    assert_eq!(hanging.await.unwrap(), 503);
    assert_eq!(check(&auth, "another").await.0, 200, "the issuer has answered meanwhile");
}

#[tokio::test]
async fn one_request_probes_the_issuer_after_an_outage() {
    let issuer = Scripted::stalled(r#"{"active":true,"sub":"ada","aud":"orders"}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let down = Arc::new(AtomicUsize::new(1));
    let client = FailsWhile(Arc::clone(&down), issuer.clone());
    let auth = builder(client, &clock).build().unwrap();
    assert_eq!(check(&auth, "first").await.0, 503);
    down.store(0, Ordering::SeqCst);
    clock.advance(Duration::from_secs(2));
    let requests: Vec<_> = (0..100)
        .map(|token| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, &format!("token-{token}")).await.0 })
        })
        .collect();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(issuer.asked(), 1);
    issuer.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(issuer.asked(), 100);
}

/// A client that finds no connection while the number is not 0.
#[derive(Clone)]
struct FailsWhile(Arc<AtomicUsize>, Scripted);

impl Fetch for FailsWhile {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.1.fetch(url)
    }

    fn post(&self, request: Request<Bytes>) -> BoxFuture<Result<Fetched, BoxError>> {
        match self.0.load(Ordering::SeqCst) {
            0 => self.1.post(request),
            _ => Box::pin(async { Err("connection refused".into()) }),
        }
    }
}

#[tokio::test]
async fn unreadable_responses_are_503() {
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(64 * 1024));
    for body in ["", "{}", r#"{"active":"true"}"#, r#"{"error":"invalid_client"}"#, &*long] {
        let auth = builder(Scripted::new(body.to_owned()), &clock).build().unwrap();
        assert_eq!(check(&auth, "token").await.0, 503);
    }
    let twice = r#"{"active":true,"sub":"ada","aud":"orders","sub":"eve"}"#;
    let auth = builder(Scripted::new(twice), &clock).build().unwrap();
    assert_eq!(check(&auth, "token").await.0, 401);
}

#[tokio::test]
async fn a_wrong_client_secret_is_503_and_not_401() {
    let issuer = OpaqueIssuer::new("orders-api", "another secret");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let token = issuer.issue(claims());
    let auth = builder(issuer, &clock).build().unwrap();
    assert_eq!(check(&auth, &token).await.0, 503);
}

#[tokio::test]
async fn stale_responses_are_used_for_max_stale_in_an_outage() {
    let setup = setup_with(|builder| builder.max_stale(Duration::from_secs(100)));
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    setup.pass(30);
    for _ in 0..3 {
        assert_eq!(setup.status(&token).await, 200);
    }
    assert_eq!(setup.issuer.questions(), 2);
    assert_eq!(setup.status(&setup.issuer.issue(claims())).await, 503);
    setup.pass(100);
    assert_eq!(setup.status(&token).await, 503);
    // An issuer that answers is believed at once.
    setup.issuer.recover();
    setup.issuer.revoke(&token);
    setup.pass(2);
    assert_eq!(setup.status(&token).await, 401);
    setup.issuer.fail(StatusCode::BAD_GATEWAY);
    setup.pass(5);
    assert_eq!(setup.status(&token).await, 503, "a revoked token is not stale");
}

#[tokio::test(start_paused = true)]
async fn hanging_issuer_is_503_after_the_timeout() {
    let client = Scripted::stalled("");
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client, &clock).build().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(check(&auth, "token").await.0, 503);
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn concurrent_introspection_requests_are_bounded() {
    let client = Scripted::stalled(r#"{"active":false}"#);
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let auth = builder(client.clone(), &clock).build().unwrap();
    let requests: Vec<_> = (0..2000)
        .map(|token| {
            let auth = auth.clone();
            tokio::spawn(async move { check(&auth, &format!("made-up-{token}")).await.0 })
        })
        .collect();
    while client.asked() < 512 {
        tokio::task::yield_now().await;
    }
    client.open();
    let mut statuses = [0, 0];
    for request in requests {
        statuses[usize::from(request.await.unwrap() == 503)] += 1;
    }
    assert_eq!((statuses, client.asked()), ([512, 1488], 512));
}
