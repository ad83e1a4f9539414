use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, request};
use palisade_core::{ApiError, Clock, PolicyLayer};
use subtle::ConstantTimeEq;

use super::{
    builder::ApiKeysBuilder,
    format::Presented,
    record::{ApiKey, ApiKeyRecord},
    store::{ApiKeyLookup, ApiKeyStore},
};
use crate::{
    Attempt, Authenticate, Identity,
    authenticate::{Pending, policy_of},
    authorization::Authorization,
    scheme::Scheme,
};

/// Authenticates by API keys.
///
/// A key is `prefix_id.secret`: a prefix for secret scanners, the id of the [record](ApiKeyRecord), and a secret of which only
/// a hash is stored. It is read from the header `x-api-key` or [another one](ApiKeysBuilder::header), and from `Authorization:
/// ApiKey <key>` or [another scheme](ApiKeysBuilder::scheme), but not from the query, which is often logged. A request with two
/// keys gets 400.
///
/// An accepted request has an [`Identity<ApiKey>`](Identity) and the owner of the key as
/// [`Principal`](palisade_core::Principal) in its extensions. A rejected one gets 401 with `WWW-Authenticate: ApiKey
/// realm="api"`. The scheme is not registered, but a 401 must name one (RFC 9110, section 15.5.2), and clients ignore unknown
/// schemes.
///
/// Secrets are compared in constant time. An unknown key takes the same work and gets the same response as a wrong secret,
/// except for the time of the store's lookup.
///
/// ```
/// use palisade_auth::{ApiKey, ApiKeys, InMemoryApiKeys};
/// use palisade_core::{Decision, Policy, Principal};
///
/// let key = ApiKey::generate("acme", Principal::new("billing").with_roles(["service"]))?;
/// let plaintext = key.plaintext().to_owned();
///
/// let store = InMemoryApiKeys::from_iter([key.into_record()]);
/// let auth = ApiKeys::builder("acme", store).build()?;
///
/// let request = http::Request::get("/").header("x-api-key", plaintext).body(()).unwrap();
/// assert!(matches!(auth.decide(&request.into_parts().0), Decision::Now(Ok(_))));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
pub struct ApiKeys<S> {
    rules: Arc<Rules<S>>,
}

pub(super) struct Rules<S> {
    pub(super) prefix: Box<str>,
    pub(super) store: S,
    pub(super) header: HeaderName,
    /// The scheme of `Authorization`.
    pub(super) scheme_name: Box<str>,
    pub(super) scheme: Scheme,
    pub(super) clock: Arc<dyn Clock>,
}

impl<S: ApiKeyStore> ApiKeys<S> {
    /// Keys that begin with `prefix` and an underscore, and have their records in `store`.
    pub fn builder(prefix: impl Into<String>, store: S) -> ApiKeysBuilder<S> {
        ApiKeysBuilder::new(prefix.into(), store)
    }

    pub(super) fn from_rules(rules: Rules<S>) -> Self {
        Self { rules: Arc::new(rules) }
    }

    /// Returns this policy as a tower layer.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    /// Verifies a key that does not come with a request, such as one in the first message of a WebSocket.
    ///
    /// # Errors
    ///
    /// 401 if the key is not valid; 503 if the store fails.
    pub async fn verify(&self, key: &str) -> Result<Identity<ApiKey>, ApiError> {
        self.verify_credential(key).outcome().await
    }

    fn verify_key(&self, key: &[u8]) -> Attempt<ApiKey> {
        let rules = &*self.rules;
        let Some(presented) = Presented::parse(key, &rules.prefix) else {
            return Attempt::Now(Err(rules.refusal(Fault::Malformed)));
        };
        let hash = presented.hash;
        match rules.store.find(presented.id) {
            ApiKeyLookup::Now(record) => Attempt::Now(rules.check(record, &hash)),
            ApiKeyLookup::Later(record) => {
                let rules = Arc::clone(&self.rules);
                Attempt::Later(Pending::new(async move {
                    match record.await {
                        Ok(record) => rules.check(record, &hash),
                        Err(error) => Err(ApiError::unavailable().with_source(error)),
                    }
                }))
            }
        }
    }
}

impl<S: ApiKeyStore> Authenticate for ApiKeys<S> {
    type Claims = ApiKey;

    fn authenticate(&self, request: &request::Parts) -> Attempt<ApiKey> {
        let rules = &*self.rules;
        match KeySent::read(&request.headers, &rules.header, &rules.scheme_name) {
            KeySent::No => Attempt::Absent(rules.scheme.missing()),
            KeySent::Two => Attempt::Now(Err(rules.scheme.reject_two())),
            KeySent::One(key) => self.verify_key(key),
        }
    }

    fn verify_credential(&self, key: &str) -> Attempt<ApiKey> {
        self.verify_key(key.as_bytes())
    }

    fn invalid(&self) -> ApiError {
        self.rules.scheme.invalid("the API key is not valid")
    }

    fn fields(&self) -> Vec<HeaderName> {
        vec![self.rules.header.clone(), http::header::AUTHORIZATION]
    }
}

policy_of!([S] ApiKeys<S>);

impl<S> Rules<S> {
    fn check(
        &self,
        record: Option<ApiKeyRecord>,
        hash: &[u8; 32],
    ) -> Result<Identity<ApiKey>, ApiError> {
        verified(record, hash, self.clock.unix())
            .map(|record| record.into_identity().authenticated_by("api_key"))
            .map_err(|fault| self.refusal(fault))
    }

    fn refusal(&self, fault: Fault) -> ApiError {
        log_rejection!(?fault, "an API key was refused");
        self.scheme.invalid(match fault {
            // Only who has the secret gets to hear this.
            Fault::Expired => "the API key expired",
            Fault::Malformed | Fault::UnknownOrWrong => "the API key is not valid",
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Malformed,
    UnknownOrWrong,
    Expired,
}

fn verified(
    record: Option<ApiKeyRecord>,
    hash: &[u8; 32],
    now: Duration,
) -> Result<ApiKeyRecord, Fault> {
    // An unknown key is compared with zeros, so that the response time does not reveal which ids exist.
    let is_right = match &record {
        Some(record) => record.has_secret_of(hash),
        None => [0; 32].as_slice().ct_eq(hash),
    };
    match record {
        Some(record) if is_right.into() => {
            if record.expires().is_none_or(|expires| now < expires) {
                Ok(record)
            } else {
                Err(Fault::Expired)
            }
        }
        _ => Err(Fault::UnknownOrWrong),
    }
}

/// The keys of a request.
enum KeySent<'a> {
    No,
    Two,
    One(&'a [u8]),
}

impl<'a> KeySent<'a> {
    fn read(headers: &'a HeaderMap, name: &HeaderName, scheme: &str) -> Self {
        let mut fields = headers.get_all(name).iter();
        let (first, second) = (fields.next(), fields.next());
        match (first, Authorization::read(headers, scheme)) {
            (None, Authorization::Absent) => Self::No,
            (None, Authorization::Credentials(key)) => Self::One(key),
            (Some(key), Authorization::Absent) if second.is_none() => Self::One(key.as_bytes()),
            _ => Self::Two,
        }
    }
}

impl<S> Clone for ApiKeys<S> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules) }
    }
}

impl<S> fmt::Debug for ApiKeys<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("prefix", &self.rules.prefix)
            .field("header", &self.rules.header)
            .finish_non_exhaustive()
    }
}
