//! What it costs to know who is calling, beside `jsonwebtoken::decode`: `cargo bench --bench auth`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::{collections::HashSet, hint::black_box, time::Instant};

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
use palisade_benches::{Counting, compare, doing, is_measured};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// One algorithm, with what both sides need.
struct Contender {
    name: &'static str,
    theirs: Theirs,
    signs: EncodingKey,
    decodes: DecodingKey,
    keys: Keys,
}

fn contenders() -> Vec<Contender> {
    let secret = "a signing key of at least thirty-two bytes";
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key pair");
    let rsa_pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).expect("DER");
    let rsa_public = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public_key());
    let rsa_der = AsDer::<PublicKeyX509Der<'_>>::as_der(rsa.public_key()).expect("DER");
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
    let ec_der = AsDer::<PublicKeyX509Der<'_>>::as_der(ec.public_key()).expect("DER");
    let ed = Ed25519KeyPair::generate().expect("a key pair");
    let ed_der = AsDer::<PublicKeyX509Der<'_>>::as_der(ed.public_key()).expect("DER");
    vec![
        Contender {
            name: "HS256",
            theirs: Theirs::HS256,
            signs: EncodingKey::from_secret(secret.as_bytes()),
            decodes: DecodingKey::from_secret(secret.as_bytes()),
            keys: Keys::secret(Algorithm::Hs256, secret),
        },
        Contender {
            name: "RS256",
            theirs: Theirs::RS256,
            // the RSAPrivateKey alone, without the 26 bytes of PKCS #8 around it
            signs: EncodingKey::from_rsa_der(&rsa_pkcs8.as_ref()[26..]),
            decodes: DecodingKey::from_rsa_raw_components(&rsa_public.n, &rsa_public.e),
            keys: Keys::der(Algorithm::Rs256, rsa_der.as_ref()),
        },
        Contender {
            name: "ES256",
            theirs: Theirs::ES256,
            signs: EncodingKey::from_ec_der(ec.to_pkcs8v1().expect("DER").as_ref()),
            decodes: DecodingKey::from_ec_der(ec.public_key().as_ref()),
            keys: Keys::der(Algorithm::Es256, ec_der.as_ref()),
        },
        Contender {
            name: "EdDSA",
            theirs: Theirs::EdDSA,
            signs: EncodingKey::from_ed_der(ed.to_pkcs8v1().expect("DER").as_ref()),
            decodes: DecodingKey::from_ed_der(ed.public_key().as_ref()),
            keys: Keys::der(Algorithm::EdDsa, ed_der.as_ref()),
        },
    ]
}

fn auth(keys: &Keys, cache_bytes: usize) -> Jwt<Claims> {
    Jwt::with_keys(keys.clone())
        .issuer("https://issuer.example")
        .audience("https://api.example")
        .cache_bytes(cache_bytes)
        .build()
        .expect("settings that are right")
}

fn head(token: &str) -> request::Parts {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).expect("a request").into_parts().0
}

fn passes(auth: &Jwt<Claims>, head: &request::Parts) -> bool {
    matches!(black_box(auth.authenticate(black_box(head))), Attempt::Now(Ok(_)))
}

fn main() {
    // With two backends in the build jsonwebtoken has no default provider.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let quick = !is_measured();
    for Contender { name, theirs, signs, decodes, keys } in contenders() {
        let token =
            jsonwebtoken::encode(&Header::new(theirs), &claims(0), &signs).expect("a token");
        let good = head(&token);
        let bad = head(&format!("{}AAAA{}", &token[..token.len() - 8], &token[token.len() - 4..]));
        let mut validation = Validation::new(theirs);
        validation.set_issuer(&["https://issuer.example"]);
        validation.set_audience(&["https://api.example"]);
        let (verifies, remembers) = (auth(&keys, 0), auth(&keys, 8 << 20));
        let known_bad = auth(&keys, 0);
        compare(
            &format!("{name}, a token of {} bytes", token.len()),
            &mut [
                doing("jsonwebtoken::decode", || {
                    jsonwebtoken::decode::<Claims>(black_box(&token), &decodes, &validation)
                        .expect("a good token")
                }),
                doing("Jwt, first sight", || assert!(passes(&verifies, &good))),
                doing("Jwt, seen before", || assert!(passes(&remembers, &good))),
                doing("Jwt, a bad one again", || assert!(!passes(&known_bad, &bad))),
            ],
        );
        if name == "HS256" {
            cold(&keys, &signs, theirs);
            two_threads(&remembers, &good, if quick { 1_000 } else { 2_000_000 });
        }
    }
    many_roles();
}

/// 10,000 tokens, in an order that no cache line foresees.
fn cold(keys: &Keys, signs: &EncodingKey, theirs: Theirs) {
    let heads: Vec<_> = (0..10_000)
        .map(|subject| {
            let token = jsonwebtoken::encode(&Header::new(theirs), &claims(subject), signs);
            head(&token.expect("a token"))
        })
        .collect();
    let remembers = auth(keys, 64 << 20);
    for head in &heads {
        assert!(passes(&remembers, head));
    }
    let (mut at, mut same) = (0_usize, 0_usize);
    compare(
        "HS256, 10,000 tokens at random",
        &mut [
            doing("seen before, always the same", || {
                same = (same + 7_919) % heads.len();
                black_box(&heads[same].uri);
                assert!(passes(&remembers, &heads[0]));
            }),
            doing("seen before, at random", || {
                at = (at + 7_919) % heads.len();
                assert!(passes(&remembers, &heads[at]));
            }),
        ],
    );
}

/// A rule that asks for many roles, of a caller who has as many others. `tower-http` and axum have no such rule: the peer is
/// the set that users write.
fn many_roles() {
    let names = |start: usize, count: usize| (start..start + count).map(|n| format!("role-{n:04}"));
    for count in [1, 8, 64] {
        let rule = any_role::<str, _>(names(0, count));
        let caller = Identity::new((), Principal::new("ada").with_roles(names(500, count)));
        let (asked, held): (HashSet<_>, Vec<_>) =
            (names(0, count).collect(), names(500, count).collect());
        compare(
            &format!("{count} roles asked, {count} others held"),
            &mut [
                doing("a HashSet", || assert!(!held.iter().any(|role| asked.contains(role)))),
                doing("any_role", || assert!(!caller.may(&rule, "a resource"))),
            ],
        );
    }
}

/// Both threads on one token.
fn two_threads(remembers: &Jwt<Claims>, head: &request::Parts, times: u32) {
    let nanos = |threads: usize| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..times {
                        assert!(passes(remembers, head));
                    }
                });
            }
        });
        start.elapsed().as_nanos() as f64 / f64::from(times)
    };
    println!("## HS256, one token seen before, ns per request and thread\n");
    println!("one thread: {:.0}, two threads: {:.0}\n", nanos(1), nanos(2));
}
