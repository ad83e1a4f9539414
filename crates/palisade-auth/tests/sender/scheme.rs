//! What callers with proofs are told, and the algorithms of their keys.

use std::sync::Mutex;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use palisade_auth::{
    Identity, LoginContext, StepUp,
    rules::{Authorize, scope},
};

use super::*;

#[tokio::test]
async fn inner_challenges_use_the_scheme_of_the_request() {
    let client = Client::new();
    let jkt = json!({"jkt": client.thumbprint()});
    let (bound, unbound) = (token(&jkt), token(&Value::Null));
    let auth = dpop();
    let write = Authorize::new(scope("write"));
    let step_up = StepUp::new(|_: &Value| LoginContext::default()).max_age(Duration::from_secs(60));
    let step_up = step_up.build().unwrap();
    let with_proof = |jti: &str| {
        let proof = client.proof(&bound, "jti", jti);
        get("DPoP", &bound).header("dpop", proof)
    };
    let algs = "algs=\"ES256 ES384 ";

    let (status, headers) = ask(&auth.clone().then(write.clone()), with_proof("a")).await;
    let said = challenges(&headers);
    assert_eq!(status, StatusCode::FORBIDDEN);
    let start = "DPoP error=\"insufficient_scope\", scope=\"write\", ";
    assert!(said.starts_with(&format!("{start}{algs}")), "{said}");
    let (status, headers) = ask(&auth.clone().optional().then(step_up), with_proof("b")).await;
    let said = challenges(&headers);
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(said.starts_with("DPoP error=\"insufficient_user_authentication\""), "{said}");
    assert!(said.contains("max_age=\"60\"") && said.contains(algs), "{said}");

    // An error of a handler is named in the same way.
    let service =
        PolicyLayer::new(auth.clone()).layer(service_fn(|request: Request<()>| async move {
            let identity = Identity::<Value>::from_extensions(request.extensions()).unwrap();
            let error = identity.require(&scope("admin"), "any resource").unwrap_err();
            let mut response = http::Response::new(String::new());
            *response.headers_mut() = error.headers().clone();
            Ok::<_, std::convert::Infallible>(response)
        }));
    let response = service.oneshot(with_proof("c").body(()).unwrap()).await.unwrap();
    let said = challenges(response.headers());
    assert!(said.starts_with("DPoP error=\"insufficient_scope\", scope=\"admin\""), "{said}");

    // A token without a key is a bearer token.
    let (_, headers) = ask(&auth.then(write), get("Bearer", &unbound)).await;
    assert_eq!(challenges(&headers), "Bearer error=\"insufficient_scope\", scope=\"write\"");
}

#[tokio::test]
async fn challenge_in_a_full_response_names_the_scheme() {
    let client = Client::new();
    let bound = token(&json!({"jkt": client.thumbprint()}));
    for room in [0, 1] {
        let service =
            PolicyLayer::new(dpop()).layer(service_fn(move |_: Request<()>| async move {
                let mut response = http::Response::new(String::new());
                let value = http::HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, value.clone());
                for number in 1..24_576 - room {
                    let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                    response.headers_mut().insert(name, value.clone());
                }
                Ok::<_, std::convert::Infallible>(response)
            }));
        let proof = client.proof(&bound, "jti", room.to_string());
        let request = get("DPoP", &bound).header("dpop", proof).body(()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{room}");
        let said = challenges(response.headers());
        assert!(said.starts_with("DPoP error=\"insufficient_scope\", algs="), "{said}");
    }
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key in a proof, and its signatures.
struct Signer {
    alg: &'static str,
    jwk: Value,
    /// RFC 7638: the required members in lexicographic order.
    canonical: String,
    sign: Sign,
}

fn ed25519(alg: &'static str) -> Signer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = B64.encode(pair.public_key().as_ref());
    Signer {
        alg,
        jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
        canonical: format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
    }
}

fn es512() -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let [x, y] = [&point[..66], &point[66..]].map(|half| B64.encode(half));
    Signer {
        alg: "ES512",
        jwk: json!({"kty": "EC", "crv": "P-521", "x": x, "y": y}),
        canonical: format!(r#"{{"crv":"P-521","kty":"EC","x":"{x}","y":"{y}"}}"#),
        sign: Box::new(move |message| {
            pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        }),
    }
}

#[tokio::test]
async fn accepts_proofs_of_every_algorithm_of_the_backend() {
    let auth = dpop();
    let (_, headers) = ask(&auth, Request::get("/items")).await;
    let said = challenges(&headers);
    for signer in [ed25519("EdDSA"), ed25519("Ed25519"), es512()] {
        let jkt = B64.encode(Sha256::digest(&signer.canonical));
        let token = token(&json!({"jkt": jkt}));
        let claims = Client::new().claims(&token);
        let header = json!({"typ": "dpop+jwt", "alg": signer.alg, "jwk": signer.jwk});
        let [header, claims] = [header, claims].map(|part| B64.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let proof = format!("{message}.{}", B64.encode((signer.sign)(message.as_bytes())));
        // The backend `rust-crypto` does not verify ES512.
        let is_accepted = signer.alg != "ES512" || cfg!(feature = "aws-lc");
        assert_eq!(accepts(&auth, &token, &proof).await, is_accepted, "{}", signer.alg);
        let is_listed = said.split(['"', ' ']).any(|alg| alg == signer.alg);
        assert_eq!(is_listed, is_accepted, "{said}");
    }
}

#[tokio::test]
async fn proofs_are_stored_for_their_remaining_time() {
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<Duration>>>);
    impl DpopReplays for Recorder {
        fn insert(&self, id: &str, keep_for: Duration) -> BoxFuture<Result<bool, BoxError>> {
            assert_eq!(id.len(), 43);
            self.0.lock().unwrap().push(keep_for);
            Box::pin(async { Ok(true) })
        }
    }
    let recorder = Recorder::default();
    let auth = |dpop: Dpop| builder().dpop(dpop.replays(recorder.clone())).build().unwrap();
    let plain = auth(Dpop::new("https://api.example.com"));
    let client = Client::new();
    let token = client.token();
    for iat in [NOW - 60, NOW, NOW + 60] {
        assert!(accepts(&plain, &token, &client.proof(&token, "iat", iat)).await);
    }
    let nonces = Dpop::new("https://api.example.com").nonces(SECRET, Duration::from_secs(600));
    let nonces = auth(nonces);
    let request = get("DPoP", &token).header("dpop", client.proof(&token, "jti", "b"));
    let (_, headers) = ask(&nonces, request).await;
    let nonce = headers["dpop-nonce"].to_str().unwrap();
    assert!(accepts(&nonces, &token, &client.proof(&token, "nonce", nonce)).await);
    let stored: Vec<_> = recorder.0.lock().unwrap().iter().map(Duration::as_secs).collect();
    // 5 s are for the clocks of other machines.
    assert_eq!(stored, [5, 65, 125, 606]);
}
