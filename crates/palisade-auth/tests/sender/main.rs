//! Tokens that are bound to a client: by DPoP proofs (RFC 9449) and by certificates (RFC 8705).
#![cfg(any(feature = "aws-lc", feature = "rust-crypto"))]

mod client;
#[cfg(feature = "introspection")]
mod introspected;
#[cfg(feature = "redis")]
mod proofs_in_redis;
mod repeated;
mod scheme;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use http::{HeaderMap, Request, StatusCode, header, request};
use palisade_auth::{
    Authenticate, ClientCertificates, Dpop, DpopReplays, InMemoryDpopReplays, Jwt, JwtBuilder,
    PeerCertificate, testing::sign_hs256,
};
use palisade_core::{
    BoxError, BoxFuture, ManualClock, PeerAddr, Policy, PolicyLayer, Stage, TrustedProxies,
    testing::{Contract, Script},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::{Layer, ServiceExt, service_fn};

use crate::client::Client;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a signing key of at least thirty-two bytes";
const URL: &str = "https://api.example.com/items";

fn token(cnf: &Value) -> String {
    sign_hs256(SECRET, &json!({"sub": "ada", "exp": NOW + 600, "aud": "orders", "cnf": cnf}))
}

fn builder() -> JwtBuilder<Value> {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(NOW)));
    Jwt::hs256(SECRET).audience("orders").clock(clock)
}

fn dpop() -> Jwt<Value> {
    builder().dpop(Dpop::new("https://api.example.com")).build().unwrap()
}

/// The outcome of a request, with the header fields of its response.
async fn ask<A: Stage + Clone>(auth: &A, request: request::Builder) -> (StatusCode, HeaderMap) {
    let service = PolicyLayer::new(auth.clone()).layer(service_fn(|_: Request<()>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    let (head, _) = response.into_parts();
    (head.status, head.headers)
}

fn get(scheme: &str, token: &str) -> request::Builder {
    Request::get("/items?page=2").header(header::AUTHORIZATION, format!("{scheme} {token}"))
}

async fn accepts<A: Stage + Clone>(auth: &A, token: &str, proof: &str) -> bool {
    ask(auth, get("DPoP", token).header("dpop", proof)).await.0 == StatusCode::OK
}

fn challenges(headers: &HeaderMap) -> String {
    let fields = headers.get_all(header::WWW_AUTHENTICATE).iter();
    fields.map(|field| field.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn accepts_bound_tokens_with_a_proof_only() {
    let (auth, client) = (dpop(), Client::new());
    let token = client.token();
    let proof = client.sign(&client.header(), &client.claims(&token));
    assert!(accepts(&auth, &token, &proof).await);

    let (status, headers) = ask(&auth, get("Bearer", &token)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let said = challenges(&headers);
    assert!(said.contains("DPoP ") && said.contains("error=\"invalid_token\""), "{said}");
    assert!(said.contains("algs=\"ES256 "), "{said}");

    let (status, headers) = ask(&auth, get("DPoP", &token)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "no proof");
    assert!(challenges(&headers).contains("error=\"invalid_dpop_proof\""));
    let again = client.proof(&token, "jti", "2");
    let two = get("DPoP", &token).header("dpop", &again).header("dpop", &again);
    assert_eq!(ask(&auth, two).await.0, StatusCode::UNAUTHORIZED, "two proofs");

    let (_, headers) = ask(&auth, Request::get("/items")).await;
    let said = challenges(&headers);
    assert!(
        said.contains("Bearer realm=\"api\"") && said.contains("DPoP realm=\"api\", algs="),
        "{said}"
    );
}

#[tokio::test]
async fn rejects_proofs_with_any_member_wrong() {
    let (auth, client, other) = (dpop(), Client::new(), Client::new());
    let token = client.token();
    let longest = "j".repeat(256);
    for (member, good) in [
        ("jti", json!("a")),
        ("jti", json!(longest)),
        ("htu", json!("https://API.example.com:443/items?x#y")),
        ("iat", json!(NOW - 60)),
        ("iat", json!(NOW + 60)),
        ("more", json!([1])),
    ] {
        let mut claims = client.claims(&token);
        claims["jti"] = format!("{member} {good}").into();
        claims[member] = good.clone();
        let proof = client.sign(&client.header(), &claims);
        assert!(accepts(&auth, &token, &proof).await, "{member} {good}");
    }
    for (member, bad) in [
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!(format!("{longest}j"))),
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htu", json!("https://api.example.com/item")),
        ("htu", json!("http://api.example.com/items")),
        ("htu", json!("/items")),
        ("iat", json!(NOW - 61)),
        ("iat", json!(NOW + 61)),
        ("iat", json!("1800000000")),
        ("ath", Value::Null),
        ("ath", json!(B64.encode(Sha256::digest("another token")))),
    ] {
        let proof = client.proof(&token, member, bad.clone());
        assert!(!accepts(&auth, &token, &proof).await, "{member} {bad}");
    }
    let claims = client.claims(&token);
    let mut private = client.jwk.clone();
    private["d"] = "AAAA".into();
    for (member, bad) in [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
        ("alg", json!("ES384")),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("jwk", private),
        ("jwk", other.jwk.clone()),
        ("jwk", Value::Null),
        ("crit", json!(["exp"])),
    ] {
        let mut header = client.header();
        header[member] = bad.clone();
        assert!(!accepts(&auth, &token, &client.sign(&header, &claims)).await, "{member} {bad}");
    }
    let stolen = other.sign(&other.header(), &other.claims(&token));
    assert!(!accepts(&auth, &token, &stolen).await, "another key");
    let mislabelled = other.sign(&client.header(), &claims);
    assert!(!accepts(&auth, &token, &mislabelled).await, "signed by another key");
    let good = client.sign(&client.header(), &claims);
    for bad in ["", "a.b", "a.b.c", &format!("{good}.a"), &"a".repeat(5000)] {
        assert!(!accepts(&auth, &token, bad).await, "{bad}");
    }
    assert!(accepts(&auth, &token, &good).await, "none of these has used it up");
}

#[tokio::test]
async fn accepts_a_proof_once() {
    let (auth, client) = (dpop(), Client::new());
    let token = client.token();
    let proof = client.proof(&token, "jti", "once");
    assert!(accepts(&auth, &token, &proof).await);
    assert!(!accepts(&auth, &token, &proof).await);
    // Another client may use the same `jti`.
    let other = Client::new();
    let token = other.token();
    assert!(accepts(&auth, &token, &other.proof(&token, "jti", "once")).await);
}

#[tokio::test]
async fn a_store_that_fails_rejects_with_503() {
    struct Broken;
    impl DpopReplays for Broken {
        fn insert(&self, _: &str, _: Duration) -> BoxFuture<Result<bool, BoxError>> {
            Box::pin(async { Err("no connection".into()) })
        }
    }
    for (broken, expected) in [(true, 503), (false, 200)] {
        let dpop = Dpop::new("https://api.example.com");
        let dpop = if broken {
            dpop.replays(Broken)
        } else {
            dpop.replays(InMemoryDpopReplays::new(1).unwrap())
        };
        let (auth, client) = (builder().dpop(dpop).build().unwrap(), Client::new());
        let token = client.token();
        let request = get("DPoP", &token).header("dpop", client.proof(&token, "jti", "a"));
        assert_eq!(ask(&auth, request).await.0.as_u16(), expected);
        let request = get("DPoP", &token).header("dpop", client.proof(&token, "jti", "b"));
        assert_eq!(ask(&auth, request).await.0.as_u16(), 503, "broken, or full");
    }
}

#[tokio::test]
async fn nonces_are_required_and_renewed() {
    let clock = ManualClock::at(Duration::from_secs(NOW));
    let nonces = Dpop::new("https://api.example.com").nonces(SECRET, Duration::from_secs(30));
    let auth = builder().clock(Arc::new(clock.clone())).dpop(nonces).build().unwrap();
    let client = Client::new();
    let token = client.token();
    let send = |jti: &'static str, nonce: Option<String>| {
        let (auth, client, token) = (&auth, &client, &token);
        async move {
            let mut claims = client.claims(token);
            claims["jti"] = jti.into();
            // The client's clock does not count.
            claims["iat"] = 7.into();
            if let Some(nonce) = nonce {
                claims["nonce"] = nonce.into();
            }
            let proof = client.sign(&client.header(), &claims);
            let (status, headers) = ask(auth, get("DPoP", token).header("dpop", proof)).await;
            let nonce = headers.get("dpop-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
            (status.as_u16(), challenges(&headers), nonce)
        }
    };
    let (status, said, nonce) = send("a", None).await;
    assert_eq!(status, 401);
    assert!(said.contains("error=\"use_dpop_nonce\""), "{said}");
    let (status, _, renewed) = send("b", nonce.clone()).await;
    assert_eq!(status, 200);
    assert!(renewed.is_some());
    assert_eq!(send("b", nonce.clone()).await.0, 401, "the same proof");
    assert_eq!(send("c", Some("invented".to_owned())).await.0, 401);
    clock.advance(Duration::from_secs(31));
    let (status, said, newest) = send("d", nonce).await;
    assert_eq!((status, said.contains("use_dpop_nonce")), (401, true));
    assert_eq!(send("e", newest).await.0, 200);
}

#[tokio::test]
async fn unbound_tokens_are_bearer_tokens_unless_proofs_are_required() {
    let client = Client::new();
    let unbound = token(&Value::Null);
    let auth = dpop();
    assert_eq!(ask(&auth, get("Bearer", &unbound)).await.0, StatusCode::OK);
    let proof = client.sign(&client.header(), &client.claims(&unbound));
    assert!(!accepts(&auth, &unbound, &proof).await, "a proof for a token without a key");
    let required = Dpop::new("https://api.example.com").required();
    let required = builder().dpop(required).build().unwrap();
    let (status, headers) = ask(&required, get("Bearer", &unbound)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenges(&headers).starts_with("DPoP "));
    let (_, headers) = ask(&required, Request::get("/items")).await;
    assert!(!challenges(&headers).contains("Bearer"));
}

#[tokio::test]
async fn bound_tokens_are_rejected_as_bearer_tokens() {
    let plain = builder().build().unwrap();
    let insecure = builder().insecure_accept_bound_tokens_as_bearer().build().unwrap();
    for cnf in [json!({"jkt": "a"}), json!({"x5t#S256": "a"}), json!({"kid": "a"}), json!({})] {
        let token = token(&cnf);
        for _ in 0..2 {
            // the second time out of the cache
            let (status, headers) = ask(&plain, get("Bearer", &token)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{cnf}");
            assert!(challenges(&headers).contains("error=\"invalid_token\""));
        }
        assert_eq!(ask(&insecure, get("Bearer", &token)).await.0, StatusCode::OK, "{cnf}");
        assert!(plain.verify(&token).await.is_err() && insecure.verify(&token).await.is_ok());
    }
    for cnf in [json!("a"), json!({"jkt": 7}), json!([])] {
        let token = token(&cnf);
        assert_eq!(
            ask(&insecure, get("Bearer", &token)).await.0,
            StatusCode::UNAUTHORIZED,
            "{cnf}"
        );
    }
}

#[tokio::test]
async fn certificate_must_match_the_token() {
    let auth = builder().build().unwrap();
    let [own, other] = [b"own", b"oth"].map(|der| PeerCertificate::from_der(der));
    let bound = token(&json!({"x5t#S256": own.thumbprint()}));
    assert_eq!(ask(&auth, get("Bearer", &bound).extension(own.clone())).await.0, StatusCode::OK);
    for request in [get("Bearer", &bound), get("Bearer", &bound).extension(other.clone())] {
        assert_eq!(ask(&auth, request).await.0, StatusCode::UNAUTHORIZED);
    }
    let unbound = token(&Value::Null);
    assert_eq!(ask(&auth, get("Bearer", &unbound).extension(other)).await.0, StatusCode::OK);

    let client = Client::new();
    let both = token(&json!({"x5t#S256": own.thumbprint(), "jkt": client.thumbprint()}));
    let auth = dpop();
    let proof = |jti: &str| client.proof(&both, "jti", jti);
    let with_both = get("DPoP", &both).header("dpop", proof("a")).extension(own);
    assert_eq!(ask(&auth, with_both).await.0, StatusCode::OK);
    assert!(!accepts(&auth, &both, &proof("b")).await, "without the certificate");
}

#[tokio::test]
async fn certificate_headers_are_read_from_trusted_proxies_only() {
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    let certificates = ClientCertificates::forwarded_client_cert_header(&proxies);
    let auth = builder().client_certificates(certificates).build().unwrap();
    let bound = token(&json!({"x5t#S256": PeerCertificate::from_der(b"own").thumbprint()}));
    let hash: String = Sha256::digest(b"own").iter().map(|byte| format!("{byte:02x}")).collect();
    let from = |peer: [u8; 4]| {
        get("Bearer", &bound)
            .extension(PeerAddr((peer, 4000).into()))
            .header("x-forwarded-client-cert", format!("By=spiffe://a;Hash={hash}"))
    };
    assert_eq!(ask(&auth, from([10, 0, 0, 1])).await.0, StatusCode::OK);
    assert_eq!(ask(&auth, from([203, 0, 113, 7])).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_tokens_are_400() {
    let (auth, client) = (dpop(), Client::new());
    let token = client.token();
    let proof = client.proof(&token, "jti", "a");
    let request = get("DPoP", &token)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("dpop", &proof);
    assert_eq!(ask(&auth, request).await.0, StatusCode::BAD_REQUEST);
    let cookies = builder().token_in_bearer().token_in_cookie("token");
    let cookies = cookies.dpop(Dpop::new("https://api.example.com")).build().unwrap();
    let request = get("DPoP", &token).header("dpop", &proof);
    assert_eq!(
        ask(&cookies, request.header(header::COOKIE, format!("token={token}"))).await.0,
        StatusCode::BAD_REQUEST
    );
    assert!(accepts(&cookies, &token, &proof).await);
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let build = |dpop| builder().dpop(dpop).build().map(|_| ()).unwrap_err();
    let dpop = || Dpop::new("https://api.example.com");
    assert_eq!(build(Dpop::new("api.example.com")).setting(), "dpop");
    assert_eq!(build(dpop().max_age(Duration::ZERO)).setting(), "max_age");
    assert_eq!(build(dpop().max_age(Duration::from_secs(3600))).setting(), "max_age");
    assert_eq!(build(dpop().nonces("short", Duration::from_secs(60))).setting(), "nonces");
    assert_eq!(build(dpop().nonces(SECRET, Duration::ZERO)).setting(), "nonces");
    for builder in [
        builder().token_in_bearer().token_in_authorization("dpop"),
        builder().token_in_authorization("DPoP"),
    ] {
        let error = builder.dpop(dpop()).build().unwrap_err();
        assert_eq!(error.setting(), "token_in_authorization");
    }
    let header = builder().token_in_header(header::AUTHORIZATION).dpop(dpop());
    assert_eq!(header.build().unwrap_err().setting(), "token_in_header");
    assert!(!format!("{:?}", dpop().nonces(SECRET, Duration::from_secs(60))).contains("signing"));
}

#[test]
fn keeps_the_contract() {
    let client = Client::new();
    let token = client.token();
    let sent = AtomicUsize::new(0);
    let request = move || {
        let jti = sent.fetch_add(1, Ordering::Relaxed).to_string();
        get("DPoP", &token)
            .header("dpop", client.proof(&token, "jti", jti))
            .body(Script::empty())
            .unwrap()
    };
    let contract = Contract::new(request);
    contract.check_policy(dpop);
    contract.check_full_responses(dpop);
}
