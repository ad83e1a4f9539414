//! Opaque tokens whose binding the issuer's answer names (RFC 9449, section 6.2; RFC 8705, section 3.2).

use palisade_auth::{Introspection, IntrospectionBuilder, testing::OpaqueIssuer};

use super::*;

fn issuer() -> OpaqueIssuer {
    OpaqueIssuer::new("orders-api", "secret")
}

fn builder(issuer: &OpaqueIssuer) -> IntrospectionBuilder<Value> {
    Introspection::endpoint("https://issuer.example/introspect")
        .client_secret_basic("orders-api", "secret")
        .audience("orders")
        .fetch(issuer.clone())
        .clock(Arc::new(ManualClock::at(Duration::from_secs(NOW))))
}

fn dpop(issuer: &OpaqueIssuer) -> Introspection<Value> {
    builder(issuer).dpop(Dpop::new("https://api.example.com")).build().unwrap()
}

fn issue(issuer: &OpaqueIssuer, cnf: &Value) -> String {
    issuer.issue(json!({"sub": "ada", "aud": "orders", "cnf": cnf}))
}

#[tokio::test]
async fn opaque_tokens_need_a_proof_of_their_key() {
    let (issuer, client, other) = (issuer(), Client::new(), Client::new());
    let auth = dpop(&issuer);
    let token = issue(&issuer, &json!({"jkt": client.thumbprint()}));
    // The first request asks the issuer. The others use the stored answer.
    for jti in ["a", "b"] {
        assert!(accepts(&auth, &token, &client.proof(&token, "jti", jti)).await, "{jti}");
        assert!(!accepts(&auth, &token, &client.proof(&token, "jti", jti)).await, "{jti} again");
    }
    assert_eq!(issuer.questions(), 1);

    for cached in [true, false] {
        let forget = || {
            if !cached {
                auth.clear();
            }
        };
        forget();
        let (status, headers) = ask(&auth, get("Bearer", &token)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "without the scheme");
        assert!(challenges(&headers).contains("DPoP realm=\"api\", error=\"invalid_token\""));
        forget();
        let (status, headers) = ask(&auth, get("DPoP", &token)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "without a proof");
        assert!(challenges(&headers).contains("error=\"invalid_dpop_proof\""));
        forget();
        assert!(!accepts(&auth, &token, &other.proof(&token, "jti", "c")).await, "another key");
        forget();
        let for_another = client.proof("another-token", "jti", "d");
        assert!(!accepts(&auth, &token, &for_another).await, "another token");
    }
    assert!(auth.verify(&token).await.is_err(), "without a request");

    let (_, headers) = ask(&auth, Request::get("/items")).await;
    let said = challenges(&headers);
    assert!(said.contains("Bearer realm=") && said.contains("DPoP realm="), "{said}");
    let two = get("DPoP", &token).header(header::AUTHORIZATION, format!("Bearer {token}"));
    assert_eq!(ask(&auth, two).await.0, StatusCode::BAD_REQUEST);
    issuer.revoke(&token);
    auth.clear();
    assert!(!accepts(&auth, &token, &client.proof(&token, "jti", "e")).await, "revoked");
}

#[tokio::test]
async fn unbound_opaque_tokens_are_bearer_tokens() {
    let (issuer, client) = (issuer(), Client::new());
    let unbound = issue(&issuer, &Value::Null);
    let auth = dpop(&issuer);
    assert_eq!(ask(&auth, get("Bearer", &unbound)).await.0, StatusCode::OK);
    assert!(!accepts(&auth, &unbound, &client.proof(&unbound, "jti", "a")).await);
    let required = Dpop::new("https://api.example.com").required();
    let required = builder(&issuer).dpop(required).build().unwrap();
    assert_eq!(ask(&required, get("Bearer", &unbound)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn opaque_tokens_need_the_certificate_of_their_client() {
    let issuer = issuer();
    let auth = builder(&issuer).build().unwrap();
    let [own, other] = [b"own", b"oth"].map(|der| PeerCertificate::from_der(der));
    let token = issue(&issuer, &json!({"x5t#S256": own.thumbprint()}));
    for cached in [false, true] {
        let request = || get("Bearer", &token);
        assert_eq!(ask(&auth, request().extension(own.clone())).await.0, StatusCode::OK);
        for wrong in [request(), request().extension(other.clone())] {
            if !cached {
                auth.clear();
            }
            let (status, headers) = ask(&auth, wrong).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(challenges(&headers).contains("error=\"invalid_token\""));
        }
    }

    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    let headers = ClientCertificates::forwarded_client_cert_header(&proxies);
    let auth = builder(&issuer).client_certificates(headers).build().unwrap();
    let hash: String = Sha256::digest(b"own").iter().map(|byte| format!("{byte:02x}")).collect();
    for (peer, expected) in [([10, 0, 0, 1], 200), ([203, 0, 113, 7], 401)] {
        let request = get("Bearer", &token)
            .extension(PeerAddr((peer, 4000).into()))
            .header("x-forwarded-client-cert", format!("Hash={hash}"));
        assert_eq!(ask(&auth, request).await.0.as_u16(), expected, "{peer:?}");
    }
}

#[tokio::test]
async fn bound_opaque_tokens_are_rejected_by_default() {
    let issuer = issuer();
    let plain = builder(&issuer).build().unwrap();
    let insecure = builder(&issuer).insecure_accept_bound_tokens_as_bearer().build().unwrap();
    for cnf in [json!({"jkt": "a"}), json!({"x5t#S256": "a"}), json!({"kid": "a"}), json!({})] {
        let token = issue(&issuer, &cnf);
        for _ in 0..2 {
            // the second time out of the cache
            let (status, headers) = ask(&plain, get("Bearer", &token)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{cnf}");
            assert!(challenges(&headers).contains("error=\"invalid_token\""));
        }
        assert_eq!(ask(&plain, get("DPoP", &token)).await.0, StatusCode::UNAUTHORIZED, "{cnf}");
        assert_eq!(ask(&insecure, get("Bearer", &token)).await.0, StatusCode::OK, "{cnf}");
        assert!(plain.verify(&token).await.is_err() && insecure.verify(&token).await.is_ok());
    }
    for cnf in [json!("a"), json!({"jkt": 7}), json!([])] {
        let token = issue(&issuer, &cnf);
        assert_eq!(
            ask(&insecure, get("Bearer", &token)).await.0,
            StatusCode::UNAUTHORIZED,
            "{cnf}"
        );
    }
}

#[tokio::test]
async fn nonces_are_sent_with_responses_to_opaque_tokens() {
    let (issuer, client) = (issuer(), Client::new());
    let nonces = Dpop::new("https://api.example.com").nonces(SECRET, Duration::from_secs(30));
    let auth = builder(&issuer).dpop(nonces).build().unwrap();
    let token = issue(&issuer, &json!({"jkt": client.thumbprint()}));
    let first = get("DPoP", &token).header("dpop", client.proof(&token, "jti", "a"));
    let (status, headers) = ask(&auth, first).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenges(&headers).contains("error=\"use_dpop_nonce\""));
    let nonce = headers["dpop-nonce"].to_str().unwrap();
    let second = get("DPoP", &token).header("dpop", client.proof(&token, "nonce", nonce));
    let (status, headers) = ask(&auth, second).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers.contains_key("dpop-nonce"));
}

#[test]
fn dpop_settings_that_cannot_work_are_errors() {
    let wrong = builder(&issuer()).dpop(Dpop::new("api.example.com"));
    assert_eq!(wrong.build().map(|_| ()).unwrap_err().setting(), "dpop");
}
