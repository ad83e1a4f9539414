use std::time::Duration;

use palisade_core::{ApiError, Measured, Measurement};

use super::{
    builder::JwksBuilder,
    error::JwksError,
    key_set::KeySet as _,
    remote::{Lookup, RemoteKeys},
    status::JwksStatus,
};
use crate::{jwt::KeySet, measured};

/// The keys that an issuer publishes: fetched, cached, and fetched again when the issuer changes them.
///
/// Requests read a snapshot without a lock.
///
/// | when | what a request does |
/// | --- | --- |
/// | the first keys are not there yet | it waits for them; if the issuer does not answer: 503 with `Retry-After` |
/// | four fifths of [`cache_for`](JwksBuilder::cache_for) have passed | it uses the keys, and starts a refresh in the background |
/// | `cache_for` has passed | it waits for the refresh; while the issuer is failing, it uses the old keys for [`max_stale`](JwksBuilder::max_stale) |
/// | a token names a key that is not there, or its signature is not valid | it waits for a fetch, if the last one for that reason is a [`cool_down`](JwksBuilder::cool_down) ago; else 401 |
///
/// All requests that wait share one fetch. A fetch that fails is repeated after a back-off of 1 to 2 s, which doubles with
/// each failure in a row up to the cool-down, but not beyond 1 min.
///
/// ```
/// use std::time::Duration;
/// use palisade_auth::{Fetch, Fetched, Jwks, StartUp};
/// # use http::Uri;
/// # use palisade_core::{BoxError, BoxFuture};
///
/// # struct MyClient;
/// # impl Fetch for MyClient {
/// #     fn fetch(&self, _: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
/// #         Box::pin(async { Ok(Fetched::new(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"2026-11","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)) })
/// #     }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// // without `fetch` it uses its own client (feature `jwks-http`)
/// let keys = Jwks::url("https://issuer.example/.well-known/jwks.json").fetch(MyClient).build()?;
///
/// // a service that cannot work without keys waits for them before it accepts requests
/// keys.start(StartUp::Wait(Duration::from_secs(30))).await?;
///
/// assert!(keys.knows("2026-11").await?);
/// assert_eq!(keys.status().failures, 0);
/// # Ok(()) })
/// # }
/// ```
///
/// Clones share the keys. Requests must be served in a tokio runtime with its timer enabled: fetches are tasks of it.
#[derive(Clone, Debug)]
pub struct Jwks {
    keys: RemoteKeys<KeySet>,
}

impl Jwks {
    /// Uses the keys that are published at this address, a `jwks_uri`.
    pub fn url(url: impl Into<String>) -> JwksBuilder {
        JwksBuilder::for_key_set(url.into())
    }

    /// Uses the keys of an OpenID issuer, whose address is in `{issuer}/.well-known/openid-configuration` (OpenID Connect
    /// Discovery 1.0, section 4). The `issuer` in that document must equal this one, byte for byte.
    pub fn issuer(issuer: impl Into<String>) -> JwksBuilder {
        JwksBuilder::for_issuer(issuer.into())
    }

    pub(crate) fn keys(&self) -> &RemoteKeys<KeySet> {
        &self.keys
    }

    /// Returns the issuer whose metadata says where the keys are, if this is not by address.
    pub(crate) fn discovered_issuer(&self) -> Option<&str> {
        self.keys.discovered_issuer()
    }

    pub(super) fn new(keys: RemoteKeys<KeySet>) -> Self {
        Self { keys }
    }

    /// Loads the first keys. Call it before the service accepts requests.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no keys afterwards, also if the issuer publishes an empty set. [`StartUp::Lazy`]
    /// never fails.
    pub async fn start(&self, how: StartUp) -> Result<(), JwksError> {
        match how {
            StartUp::Lazy => Ok(()),
            StartUp::Fail => {
                self.reload().await?;
                if self.status().keys > 0 { Ok(()) } else { Err(self.no_keys()) }
            }
            StartUp::Wait(at_most) => self.wait_for_keys(at_most).await,
        }
    }

    /// Fetches the keys now, for an operator who knows that they have changed. The caller decides how often. Waits for a
    /// fetch that is in progress instead of starting another.
    ///
    /// # Errors
    ///
    /// Returns an error if the keys could not be loaded. The old keys stay.
    pub async fn reload(&self) -> Result<(), JwksError> {
        self.keys.load().await.map_err(|failure| failure.error)
    }

    /// Returns true if the issuer has published a key with this id. Fetches the keys if a token with this key id would.
    ///
    /// # Errors
    ///
    /// Returns a 503 if the issuer does not answer.
    pub async fn knows(&self, key_id: &str) -> Result<bool, ApiError> {
        match self.keys.keys_for(Some(key_id)) {
            Lookup::Ready(found) => Ok(found.keys().has_key_id(key_id)),
            Lookup::Wait(found) => Ok(found.await?.keys().has_key_id(key_id)),
            Lookup::Unknown => Ok(false),
            Lookup::Unavailable(error) => Err(error),
        }
    }

    /// Returns the state of the keys, for health checks.
    pub fn status(&self) -> JwksStatus {
        self.keys.status()
    }

    async fn wait_for_keys(&self, at_most: Duration) -> Result<(), JwksError> {
        let mut last = None;
        let retry = async {
            while self.status().keys == 0 {
                let pause = match self.keys.load().await {
                    Ok(()) if self.status().keys > 0 => break,
                    Ok(()) => {
                        last = Some(self.no_keys());
                        Duration::from_secs(1)
                    }
                    Err(failure) => {
                        last = Some(failure.error);
                        failure.retry_after
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        match tokio::time::timeout(at_most, retry).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(last
                    .unwrap_or_else(|| self.keys.error(format!("no answer within {at_most:?}"))))
            }
        }
    }

    fn no_keys(&self) -> JwksError {
        self.keys.error("the issuer publishes no key for signatures")
    }
}

/// Returns the numbers of [`Jwks::status`] as metrics.
impl Measured for Jwks {
    fn measure(&self) -> Vec<Measurement> {
        let status = self.status();
        let usable = f64::from(u8::from(status.keys > 0));
        let age = status.age.map(|age| measured::JWKS_AGE.at(age.as_secs_f64()));
        let mut measurements = vec![
            measured::JWKS_USABLE.at(usable),
            measured::JWKS_FETCHES.at(status.fetches as f64),
            measured::JWKS_FAILURES.at(status.failures as f64),
        ];
        measurements.extend(age);
        measurements
    }
}

/// How to load keys before the first request; see [`Jwks::start`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartUp {
    /// Does nothing. The first request loads the keys, and waits for them.
    #[default]
    Lazy,
    /// Retries until the keys are there, with growing pauses, for at most this time.
    Wait(Duration),
    /// Tries once, and fails if the issuer does not answer.
    Fail,
}
