//! Authentication by JWTs, beside `jsonwebtoken::decode`, and rules with many roles.

use std::{collections::HashSet, hint::black_box, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use http::{Request, request};
use jsonwebtoken::{Algorithm as Theirs, DecodingKey, EncodingKey, Header, Validation};
use palisade::{
    Principal,
    auth::{Algorithm, Attempt, Authenticate, Identity, Jwt, Keys, rules::any_role},
};
use palisade_bench::{Comparison, Subject};
use serde::{Deserialize, Serialize};

use crate::{growing, powers_of_ten, stacks::select_backend};

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    iss: String,
    aud: String,
    exp: u64,
    iat: u64,
    scope: String,
    roles: Vec<String>,
}

fn claims(subject: usize) -> Claims {
    Claims {
        sub: format!("user-{subject:08}"),
        iss: "https://issuer.example".into(),
        aud: "https://api.example".into(),
        exp: 4_000_000_000,
        iat: 1_700_000_000,
        scope: "orders:read orders:write profile".into(),
        roles: vec!["user".into(), "editor".into()],
    }
}

/// An algorithm, with the keys of both sides.
struct Signer {
    algorithm: Theirs,
    signs: EncodingKey,
    decodes: DecodingKey,
    keys: Keys,
}

fn hs256() -> Signer {
    select_backend();
    let secret = "a signing key of at least thirty-two bytes";
    Signer {
        algorithm: Theirs::HS256,
        signs: EncodingKey::from_secret(secret.as_bytes()),
        decodes: DecodingKey::from_secret(secret.as_bytes()),
        keys: Keys::secret(Algorithm::Hs256, secret),
    }
}

fn rs256() -> Signer {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair");
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("DER");
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
    Signer {
        algorithm: Theirs::RS256,
        // the RSAPrivateKey alone, without the 26 bytes of PKCS #8 around it
        signs: EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]),
        decodes: DecodingKey::from_rsa_raw_components(&public.n, &public.e),
        keys: Keys::der(Algorithm::Rs256, der.as_ref()),
    }
}

fn es256() -> Signer {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
    Signer {
        algorithm: Theirs::ES256,
        signs: EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("DER").as_ref()),
        decodes: DecodingKey::from_ec_der(pair.public_key().as_ref()),
        keys: Keys::der(Algorithm::Es256, der.as_ref()),
    }
}

fn eddsa() -> Signer {
    let pair = Ed25519KeyPair::generate().expect("a key pair");
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
    Signer {
        algorithm: Theirs::EdDSA,
        signs: EncodingKey::from_ed_der(pair.to_pkcs8v1().expect("DER").as_ref()),
        decodes: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        keys: Keys::der(Algorithm::EdDsa, der.as_ref()),
    }
}

impl Signer {
    fn token(&self, subject: usize) -> String {
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims(subject), &self.signs)
            .expect("a token")
    }

    /// Our policy, which stores tokens that it has verified in so many bytes.
    fn ours(&self, cache_bytes: usize) -> Jwt<Claims> {
        Jwt::with_keys(self.keys.clone())
            .issuer("https://issuer.example")
            .audience("https://api.example")
            .cache_bytes(cache_bytes)
            .build()
            .unwrap()
    }

    fn checks(&self, name: &str, cache_bytes: usize, token: &str, is_valid: bool) -> Subject {
        let (auth, head) = (self.ours(cache_bytes), head(token));
        Subject::work(name, move || assert_eq!(is_allowed(&auth, &head), is_valid))
    }

    fn theirs(&self) -> impl Fn(&str) -> bool + Clone + Send + 'static {
        let mut validation = Validation::new(self.algorithm);
        validation.set_issuer(&["https://issuer.example"]);
        validation.set_audience(&["https://api.example"]);
        let decodes = self.decodes.clone();
        move |token| jsonwebtoken::decode::<Claims>(black_box(token), &decodes, &validation).is_ok()
    }

    fn decodes(&self, token: &str, is_valid: bool) -> Subject {
        let (theirs, token) = (self.theirs(), token.to_owned());
        Subject::work("jsonwebtoken", move || assert_eq!(theirs(&token), is_valid))
    }

    fn contest(&self) -> [Subject; 3] {
        let token = self.token(0);
        [
            self.decodes(&token, true),
            self.checks("Palisade, a new token", 0, &token, true),
            self.checks("Palisade, seen before", 8 << 20, &token, true),
        ]
    }
}

fn head(token: &str) -> request::Parts {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

fn is_allowed(auth: &Jwt<Claims>, head: &request::Parts) -> bool {
    matches!(black_box(auth.authenticate(black_box(head))), Attempt::Now(Ok(_)))
}

/// HS256, and rules.
pub fn compare() -> Comparison {
    let signer = hs256();
    let token = signer.token(0);
    let bad = format!("{}AAAA{}", &token[..token.len() - 8], &token[token.len() - 4..]);
    Comparison::new("auth")
        .set("HS256", signer.contest())
        .set(
            "HS256, a wrong signature",
            [signer.decodes(&bad, false), signer.checks("Palisade", 0, &bad, false)],
        )
        .set("1 role required, 1 other held", roles(1))
        .set("8 roles required, 8 others held", roles(8))
        .set("64 roles required, 64 others held", roles(64))
}

/// RS256, ES256 and EdDSA.
pub fn compare_signatures() -> Comparison {
    select_backend();
    Comparison::new("signatures")
        .set("RS256", rs256().contest())
        .set("ES256", es256().contest())
        .set("EdDSA", eddsa().contest())
}

/// A rule with many roles, and a caller with as many others. tower-http and axum have no such rule: the peer is the set that
/// people write.
fn roles(count: usize) -> [Subject; 2] {
    let names = |start: usize| (start..start + count).map(|n| format!("role-{n:04}"));
    let rule = Arc::new(any_role::<str, _>(names(0)));
    let caller = Identity::new((), Principal::new("ada").with_roles(names(500)));
    let (required, held): (HashSet<_>, Vec<_>) = (names(0).collect(), names(500).collect());
    [
        Subject::work("a HashSet", move || {
            assert!(!held.iter().any(|role| required.contains(role)));
        }),
        Subject::work("Palisade", move || assert!(!caller.may(&rule, "a resource"))),
    ]
}

/// 1 to 100,000 tokens.
pub fn growth() -> Comparison {
    let signer = hs256();
    let subjects = |count: usize| {
        let tokens: Arc<[String]> = (0..count).map(|subject| signer.token(subject)).collect();
        let heads: Arc<[request::Parts]> = tokens.iter().map(|token| head(token)).collect();
        let (auth, theirs) = (signer.ours(256 << 20), signer.theirs());
        assert!(heads.iter().all(|head| is_allowed(&auth, head)));
        // An order in which the next token is not in the processor's cache.
        let next = move |at: &mut usize| {
            *at = (*at + 7919) % count;
            *at
        };
        let (mut at, mut their_at) = (0, 0);
        vec![
            Subject::work("jsonwebtoken", move || assert!(theirs(&tokens[next(&mut their_at)]))),
            Subject::work("Palisade", move || assert!(is_allowed(&auth, &heads[next(&mut at)]))),
        ]
    };
    growing("tokens", powers_of_ten(1, 100_000).map(|count| (count, subjects(count))))
}
