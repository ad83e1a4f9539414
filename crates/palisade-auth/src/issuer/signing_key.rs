use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use palisade_core::{ConfigError, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Sha256, Sha384, Sha512};

#[cfg(feature = "_public-keys")]
use super::backend::{Container, Signer};
use super::{error::IssueError, private_jwk::PrivateJwk};
#[cfg(feature = "_public-keys")]
use crate::jwt::PublicKey;
use crate::jwt::{Algorithm, Family, MAX_KID, Unusable, VerifyingKey};

/// A key that signs tokens, for one algorithm.
///
/// RSA, ECDSA and EdDSA need the feature `aws-lc` or `rust-crypto`. RSA and ES512 need `aws-lc`: what the `rsa` crate does with a
/// private key takes a time that depends on the key (RUSTSEC-2023-0071).
///
/// Its id (`kid`) is the [thumbprint](https://www.rfc-editor.org/rfc/rfc7638) of the public key; a secret has none. Clones share
/// the key, and `Debug` shows the algorithm and the id only.
///
/// ```
/// use palisade_auth::{Algorithm, Jwt, Keys, SigningKey};
///
/// let secret = "a signing key of at least thirty-two bytes";
/// let key = SigningKey::secret(Algorithm::Hs256, secret)?;
/// let token = key.sign(&serde_json::json!({ "sub": "ada", "exp": u32::MAX, "aud": "orders" }))?;
/// assert_eq!(token.split('.').count(), 3);
/// assert_eq!(format!("{key:?}"), r#"SigningKey { algorithm: Hs256, id: None, .. }"#);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    algorithm: Algorithm,
    id: Option<Box<str>>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Secret(Secret),
    #[cfg(feature = "_public-keys")]
    Private {
        signer: Arc<Signer>,
        public: PublicKey,
    },
}

impl SigningKey {
    /// Uses a secret that the verifying services share, for HS256 (at least 32 bytes), HS384 (48) or HS512 (64).
    ///
    /// # Errors
    ///
    /// If the secret is too short, or the algorithm is not one of these.
    pub fn secret(algorithm: Algorithm, secret: impl Into<Secret>) -> Result<Self, ConfigError> {
        let secret = secret.into();
        VerifyingKey::secret(algorithm, &secret)?;
        Ok(Self::new(algorithm, None, Material::Secret(secret)))
    }

    /// Generates a key: of 2048 bits for RSA, and of the length of the hash for HMAC.
    ///
    /// The key lives as long as the process. Tokens that it signed cannot be verified after a restart, because its public key is
    /// no longer published then. Services of several machines, or with tokens that live longer, load a key with
    /// [`pem`](Self::pem).
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc", feature = "rust-crypto"))] {
    /// use palisade_auth::{Algorithm, SigningKey};
    ///
    /// let key = SigningKey::generate(Algorithm::EdDsa)?;
    /// assert_eq!(key.public_jwk().unwrap()["crv"], "Ed25519");
    /// # }
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If no enabled backend signs with the algorithm, or the system has no random numbers.
    pub fn generate(algorithm: Algorithm) -> Result<Self, ConfigError> {
        let wrong = |Unusable(why)| ConfigError::new("algorithm", algorithm, why);
        if algorithm.family() == Family::Hmac {
            let secret = random(algorithm.shortest_secret()).map_err(wrong)?;
            return Ok(Self::new(algorithm, None, Material::Secret(secret)));
        }
        #[cfg(feature = "_public-keys")]
        return Signer::generate(algorithm)
            .and_then(|signer| Self::private(algorithm, signer))
            .map_err(wrong);
        #[cfg(not(feature = "_public-keys"))]
        Err(wrong(NO_BACKEND))
    }

    /// Reads a private key in PEM: `BEGIN PRIVATE KEY` (PKCS #8), `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`. Needs the
    /// feature `aws-lc` or `rust-crypto`.
    ///
    /// `openssl genpkey -algorithm ed25519` makes a key for [`EdDsa`](Algorithm::EdDsa), and
    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` one for [`Es256`](Algorithm::Es256).
    ///
    /// # Errors
    ///
    /// If it is encrypted, a public key, or not a key of the type that the algorithm needs; and for RSA keys under 2048 bits.
    #[cfg(feature = "_public-keys")]
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub fn pem(algorithm: Algorithm, pem: impl Into<Secret>) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::without_value("pem", remedy);
        let text = pem.into();
        let blocks = pem::parse_many(text.expose()).unwrap_or_default();
        // OpenSSL writes the parameters of the curve in front of the key.
        let mut keys = blocks.iter().filter(|block| block.tag() != "EC PARAMETERS");
        let key = match (keys.next(), keys.next()) {
            (Some(key), None) => key,
            (None, _) => return Err(wrong("it is not a PEM: a PEM begins with `-----BEGIN`")),
            (Some(_), Some(_)) => {
                return Err(wrong("it contains several keys: use one PEM for each"));
            }
        };
        let container = match key.tag() {
            "PRIVATE KEY" => Container::Pkcs8,
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" if key.headers().get("DEK-Info").is_none() => {
                Container::Own
            }
            "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                return Err(wrong("it is encrypted: decrypt it with `openssl pkey`"));
            }
            tag => {
                let remedy = "a public key verifies and cannot sign: use the private key";
                return Err(ConfigError::new("pem", tag.escape_debug(), remedy));
            }
        };
        Signer::from_der(algorithm, container, &key.contents().into())
            .and_then(|signer| Self::private(algorithm, signer))
            .map_err(|Unusable(why)| wrong(why))
    }

    /// Reads a private or symmetric key as JSON (RFC 7517). Without `alg`, the algorithm is the usual one of its type: RS256, the
    /// ES algorithm of its curve, EdDSA or HS256. Its `kid` becomes the [id](Self::id).
    ///
    /// # Errors
    ///
    /// If it has no private part, is not a key of the type that `alg` needs, or no enabled backend signs with it.
    pub fn jwk(json: impl Into<Secret>) -> Result<Self, ConfigError> {
        let wrong = |Unusable(why)| ConfigError::without_value("jwk", why);
        let jwk = PrivateJwk::read(&json.into()).map_err(wrong)?;
        let algorithm = jwk.algorithm().map_err(wrong)?;
        let key = if jwk.is_symmetric() {
            let k = jwk.k.as_deref().and_then(|k| URL_SAFE_NO_PAD.decode(k).ok());
            Self::secret(algorithm, k.ok_or_else(|| wrong(Unusable("`k` is not base64url")))?)?
        } else {
            Self::from_jwk(algorithm, &jwk).map_err(wrong)?
        };
        match jwk.kid {
            Some(id) => key.with_id(id),
            None => Ok(key),
        }
    }

    #[cfg(feature = "_public-keys")]
    fn from_jwk(algorithm: Algorithm, jwk: &PrivateJwk) -> Result<Self, Unusable> {
        Self::private(algorithm, Signer::from_numbers(algorithm, &jwk.numbers(algorithm)?)?)
    }

    #[cfg(not(feature = "_public-keys"))]
    fn from_jwk(_: Algorithm, _: &PrivateJwk) -> Result<Self, Unusable> {
        Err(NO_BACKEND)
    }

    /// Sets the id (`kid`), by which services find the key. Default: the thumbprint of a public key (RFC 7638), and none for a
    /// secret.
    ///
    /// # Errors
    ///
    /// If it is empty or longer than 256 bytes.
    pub fn with_id(self, id: impl Into<String>) -> Result<Self, ConfigError> {
        let id = id.into();
        if id.is_empty() || id.len() > MAX_KID {
            return Err(ConfigError::new("kid", id.len(), "a key id has 1 to 256 bytes"));
        }
        let Inner { algorithm, material, .. } = &*self.0;
        Ok(Self::new(*algorithm, Some(id.into()), material.clone()))
    }

    /// Returns the id (`kid`) that tokens carry.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// Returns the algorithm that the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Returns the public key as a JWK with `alg`, `use` and `kid`, or `None` for a secret.
    pub fn public_jwk(&self) -> Option<Value> {
        match &self.0.material {
            Material::Secret(_) => None,
            #[cfg(feature = "_public-keys")]
            Material::Private { public, .. } => {
                let mut jwk: Value = serde_json::from_str(&public.to_jwk()).unwrap_or_default();
                jwk["alg"] = self.0.algorithm.name().into();
                jwk["use"] = "sig".into();
                jwk["kid"] = self.id().into();
                Some(jwk)
            }
        }
    }

    /// Returns the key as verifying services need it: the public JWK, or the secret as one.
    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    pub(super) fn verifying_jwk(&self) -> Secret {
        let jwk = match &self.0.material {
            Material::Secret(secret) => {
                let k = URL_SAFE_NO_PAD.encode(secret.expose());
                let mut jwk = json!({ "kty": "oct", "alg": self.0.algorithm.name(), "k": k });
                if let Some(id) = self.id() {
                    jwk["kid"] = id.into();
                }
                jwk
            }
            #[cfg(feature = "_public-keys")]
            Material::Private { .. } => self.public_jwk().unwrap_or_default(),
        };
        jwk.to_string().into()
    }

    /// Signs claims as they are, as a token in the compact form (RFC 7515, section 3.1).
    ///
    /// Nothing is added: a service rejects a token without `exp`. [`TokenIssuer`](crate::TokenIssuer) adds the claims that tokens
    /// need; this is for other uses, such as the assertion that authenticates a client (RFC 7523).
    ///
    /// # Errors
    ///
    /// If the claims cannot be written as JSON, or the backend could not sign.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, IssueError> {
        self.sign_as("JWT", claims)
    }

    /// Signs claims as a token of this type (`typ`: RFC 7519, section 5.1).
    pub(super) fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<String, IssueError> {
        let mut header = Map::new();
        header.insert("alg".into(), self.0.algorithm.name().into());
        header.insert("typ".into(), typ.into());
        if let Some(id) = self.id() {
            header.insert("kid".into(), id.into());
        }
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let claims =
            serde_json::to_vec(claims).map_err(|error| IssueError::Claims(error.into()))?;
        let message =
            format!("{}.{}", encode(Value::from(header).to_string().as_bytes()), encode(&claims));
        let signature = self.signature(message.as_bytes()).ok_or(IssueError::Signature)?;
        Ok(format!("{message}.{}", encode(&signature)))
    }

    #[allow(clippy::disallowed_methods, reason = "the bytes go into the key that is made of them")]
    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        fn hmac<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Option<Vec<u8>> {
            let mac = <M as KeyInit>::new_from_slice(secret).ok()?;
            Some(mac.chain_update(message).finalize().into_bytes().to_vec())
        }
        match &self.0.material {
            Material::Secret(secret) => match self.0.algorithm {
                Algorithm::Hs384 => hmac::<Hmac<Sha384>>(secret.expose(), message),
                Algorithm::Hs512 => hmac::<Hmac<Sha512>>(secret.expose(), message),
                _ => hmac::<Hmac<Sha256>>(secret.expose(), message),
            },
            #[cfg(feature = "_public-keys")]
            Material::Private { signer, .. } => signer.sign(message),
        }
    }

    fn new(algorithm: Algorithm, id: Option<Box<str>>, material: Material) -> Self {
        Self(Arc::new(Inner { algorithm, id, material }))
    }

    #[cfg(feature = "_public-keys")]
    fn private(algorithm: Algorithm, signer: Signer) -> Result<Self, Unusable> {
        let public = signer.public_key()?;
        // A key whose tokens our own services could not verify is of no use.
        VerifyingKey::public(algorithm, &public)?;
        let id = public.thumbprint().into();
        Ok(Self::new(algorithm, Some(id), Material::Private { signer: Arc::new(signer), public }))
    }
}

#[cfg(not(feature = "_public-keys"))]
const NO_BACKEND: Unusable =
    Unusable("no backend signs with it: enable the feature `aws-lc` or `rust-crypto`");

/// Returns so many random bytes of the system.
pub(super) fn random(bytes: usize) -> Result<Secret, Unusable> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|_| Unusable("the system has no random numbers"))?;
    Ok(random.into())
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.0.algorithm)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
