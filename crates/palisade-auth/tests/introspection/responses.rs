//! Responses of the issuer, and the identity or rejection that they lead to.

use super::*;

#[tokio::test]
async fn an_active_token_becomes_an_identity() {
    let setup = setup_with(|builder| {
        builder.issuer("https://issuer.example").roles_at(["realm_access", "roles"])
    });
    let token = setup.issuer.issue(json!({
        "sub": "ada",
        "username": "Ada",
        "iss": "https://issuer.example",
        "aud": ["orders", "billing"],
        "scope": "read write",
        "realm_access": {"roles": ["admin"]},
        "exp": NOW + 3600,
    }));
    let ada = setup.auth.verify(&token).await.unwrap();
    assert_eq!(ada.claims()["username"], "Ada");
    assert_eq!(ada.principal().subject(), "ada");
    assert_eq!(ada.principal().issuer(), "https://issuer.example");
    assert_eq!(ada.principal().scopes().collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(ada.principal().roles().collect::<Vec<_>>(), ["admin"]);
    let response = send(setup.auth.clone(), &[&format!("Bearer {token}")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-subject"], "ada");
    assert_eq!(setup.issuer.questions(), 1);
}

#[tokio::test]
async fn scopes_may_be_a_list_and_issuer_may_be_absent() {
    let setup = setup_with(|builder| builder.issuer("https://issuer.example"));
    let token = setup.issuer.issue(json!({"sub": "1", "aud": "orders", "scope": ["a", "b"]}));
    let caller = setup.auth.verify(&token).await.unwrap();
    assert_eq!(caller.principal().scopes().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(caller.principal().issuer(), "https://issuer.example");
}

#[tokio::test]
async fn rejects_tokens_with_wrong_claims() {
    let setup = setup_with(|builder| builder.issuer("https://issuer.example"));
    let invalid = "Bearer realm=\"api\", error=\"invalid_token\", \
                   error_description=\"The access token is not valid\"";
    for claims in [
        json!({"sub": "ada", "aud": "billing"}),
        json!({"sub": "ada"}),
        json!({"aud": "orders"}),
        json!({"sub": "", "aud": "orders"}),
        json!({"sub": "ada", "aud": "orders", "iss": "https://other.example"}),
        json!({"sub": "ada", "aud": "orders", "nbf": NOW + 1000}),
        json!({"sub": "ada", "aud": "orders", "exp": "never"}),
        json!({"sub": "ada", "aud": "orders", "cnf": {"jkt": "x"}}),
    ] {
        let token = setup.issuer.issue(claims.clone());
        assert_eq!(setup.check(&token).await, (401, invalid.to_owned()), "{claims}");
    }
    let token = setup.issuer.issue(json!({"sub": "ada", "aud": "orders", "exp": NOW - 61}));
    let (status, challenge) = setup.check(&token).await;
    assert!(status == 401 && challenge.contains("expired"), "{challenge}");
    assert_eq!(setup.check("unknown").await, (401, invalid.to_owned()));
}

#[tokio::test]
async fn invalid_requests_are_rejected_without_introspection() {
    let setup = setup();
    let token = setup.issuer.issue(claims());
    let bearer = format!("Bearer {token}");
    let long = format!("Bearer {}", "x".repeat(8 * 1024 + 1));
    for (fields, status, challenge) in [
        (vec![], 401, "Bearer realm=\"api\""),
        (vec!["Basic b3JkZXJz"], 401, "Bearer realm=\"api\""),
        (vec![&*bearer, &*bearer], 400, "Bearer realm=\"api\", error=\"invalid_request\""),
        (vec!["Bearer "], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec!["Bearer a b"], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec!["Bearer a\"b"], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
        (vec![&*long], 401, "Bearer realm=\"api\", error=\"invalid_token\""),
    ] {
        let response = send(setup.auth.clone(), &fields).await;
        assert_eq!(response.status(), status, "{fields:?}");
        let found = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(found.starts_with(challenge), "{found}");
    }
    assert_eq!(setup.issuer.questions(), 0);
}

#[tokio::test]
async fn tokens_of_another_kind_are_rejected() {
    let setup = setup();
    for (member, kind) in [
        ("token_use", "refresh_token"),
        ("token_use", "id"),
        ("typ", "Refresh"),
        ("typ", "Offline"),
        ("typ", "ID"),
        ("token_type", "refresh_token"),
        ("token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("token_type", "DPoP"),
    ] {
        let mut claims = claims();
        claims[member] = kind.into();
        let token = setup.issuer.issue(claims);
        assert_eq!(setup.status(&token).await, 401, "{member} {kind}");
    }
    for (member, kind) in [
        ("token_use", "access"),
        ("token_use", "access_token"),
        ("typ", "Bearer"),
        ("typ", "at+jwt"),
        ("token_type", "Bearer"),
        ("token_type", "bearer"),
    ] {
        let mut claims = claims();
        claims[member] = kind.into();
        let token = setup.issuer.issue(claims);
        assert_eq!(setup.status(&token).await, 200, "{member} {kind}");
    }
}

#[tokio::test]
async fn tokens_are_read_from_configured_places() {
    let setup = setup_with(|builder| {
        builder
            .token_in_authorization("Token")
            .token_in_cookie("token")
            .token_in_header(http::HeaderName::from_static("x-token"))
            .token_in_websocket_protocol("bearer.")
            .insecure_token_in_query("access_token")
    });
    let token = setup.issuer.issue(claims());
    let ask = async |uri: &str, field: &str, value: &str| {
        let service = PolicyLayer::new(setup.auth.clone()).layer(service_fn(
            |request: Request<String>| async move {
                let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                assert!(offered.is_none_or(|offered| offered == "chat"), "the token is hidden");
                Ok::<_, Infallible>(Response::new(String::new()))
            },
        ));
        let request = Request::post(uri).header(field, value).body(String::new()).unwrap();
        service.oneshot(request).await.unwrap()
    };
    for (field, value) in [
        ("authorization", format!("Token {token}")),
        ("x-token", token.clone()),
        ("sec-websocket-protocol", format!("chat, bearer.{token}")),
    ] {
        assert_eq!(ask("/", field, &value).await.status(), 200, "{field}");
    }
    let query = ask(&format!("/?access_token={token}"), "accept", "*/*").await;
    assert_eq!(
        (query.status().as_u16(), &query.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let bearer = ask("/", "authorization", &format!("Bearer {token}")).await;
    assert_eq!(bearer.status(), 401);
    assert_eq!(bearer.headers()["www-authenticate"], "Token realm=\"api\"");
    // A cookie is sent with the requests of any page.
    let cookie = format!("token={token}");
    assert_eq!(ask("/", "cookie", &cookie).await.status(), 403);
    let two = ask(&format!("/?access_token={token}"), "x-token", &token).await;
    assert_eq!(two.status(), 400);
}

#[tokio::test]
async fn custom_check_runs_on_each_request() {
    static ALLOWED: AtomicUsize = AtomicUsize::new(1);
    let setup = setup_with(|builder| {
        builder.validate(|_| match ALLOWED.load(Ordering::SeqCst) {
            1 => Ok(()),
            _ => Err(ApiError::forbidden()),
        })
    });
    let token = setup.issuer.issue(claims());
    assert_eq!(setup.status(&token).await, 200);
    ALLOWED.store(0, Ordering::SeqCst);
    assert_eq!(setup.status(&token).await, 403);
    assert_eq!(setup.issuer.questions(), 1);
}
