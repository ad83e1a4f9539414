use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{NOW, URL, token};

/// A client with a key of its own.
pub(crate) struct Client {
    pair: EcdsaKeyPair,
    pub(crate) jwk: Value,
}

impl Client {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": B64.encode(x), "y": B64.encode(y)});
        Self { pair, jwk }
    }

    /// RFC 7638, of a key whose members are in order.
    pub(crate) fn thumbprint(&self) -> String {
        let [x, y] = ["x", "y"].map(|member| self.jwk[member].as_str().unwrap());
        let json = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        B64.encode(Sha256::digest(json))
    }

    pub(crate) fn token(&self) -> String {
        token(&json!({"jkt": self.thumbprint()}))
    }

    pub(crate) fn claims(&self, token: &str) -> Value {
        let ath = B64.encode(Sha256::digest(token));
        json!({"jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "ath": ath})
    }

    pub(crate) fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| B64.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", B64.encode(signature))
    }

    /// A proof whose claims differ in one place.
    pub(crate) fn proof(&self, token: &str, member: &str, value: impl Into<Value>) -> String {
        let mut claims = self.claims(token);
        claims[member] = value.into();
        self.sign(&self.header(), &claims)
    }
}
