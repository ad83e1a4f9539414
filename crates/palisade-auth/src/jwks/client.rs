use std::time::Duration;

use palisade_core::{ApiError, Measured, Measurement};

use super::{
    builder::JwksBuilder,
    error::JwksError,
    remote::{KeySet as _, Lookup, RemoteKeys},
};
use crate::{jwt::KeySet, measured};

/// The keys of an issuer, by the address where it publishes them: loaded, kept, and renewed when it changes them.
///
/// Requests are answered from a snapshot. It is refreshed in the background before it expires, and while the issuer is
/// down the old keys go on working. A token that names a key which is not there sends one request to the issuer, shared
/// by all tokens that arrive meanwhile, and then none for a cool-down, whatever key ids are made up. As long as no keys
/// were ever loaded the answer is 503 with `Retry-After`: the token may be good and nobody can tell.
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
/// // without `fetch` it brings its own client (feature `jwks-http`)
/// let keys = Jwks::url("https://issuer.example/.well-known/jwks.json").fetch(MyClient).build()?;
///
/// // a service that is of no use without keys waits for them before it takes requests
/// keys.start(StartUp::Wait(Duration::from_secs(30))).await?;
///
/// assert!(keys.knows("2026-11").await?);
/// assert_eq!(keys.status().failures, 0);
/// # Ok(()) })
/// # }
/// ```
///
/// Clones share the keys. Requests must be served in a tokio runtime with its timer on, since fetches run on tasks of it.
#[derive(Clone, Debug)]
pub struct Jwks {
    keys: RemoteKeys<KeySet>,
}

impl Jwks {
    /// The keys that are published at this address, a `jwks_uri`.
    pub fn url(url: impl Into<String>) -> JwksBuilder {
        JwksBuilder::of_key_set(url.into())
    }

    /// The keys of an OpenID issuer: `{issuer}/.well-known/openid-configuration` says where they are (OpenID Connect
    /// Discovery 1.0, section 4). Its `issuer` must be this one, to the letter.
    pub fn issuer(issuer: impl Into<String>) -> JwksBuilder {
        JwksBuilder::of_issuer(issuer.into())
    }

    /// The engine that the tokens ask.
    pub(crate) fn keys(&self) -> &RemoteKeys<KeySet> {
        &self.keys
    }

    pub(super) fn new(keys: RemoteKeys<KeySet>) -> Self {
        Self { keys }
    }

    /// Loads the first keys in the way that was chosen. Call it before the service takes requests.
    ///
    /// # Errors
    ///
    /// If there are no keys at the end of it. [`StartUp::Lazy`] never fails.
    pub async fn start(&self, how: StartUp) -> Result<(), JwksError> {
        match how {
            StartUp::Lazy => Ok(()),
            StartUp::Fail => self.reload().await,
            StartUp::Wait(at_most) => self.wait_for_keys(at_most).await,
        }
    }

    /// Fetches the keys now: for an operator who knows that they have changed. Who calls this decides how often; a fetch
    /// that is under way is waited for, and not doubled.
    ///
    /// # Errors
    ///
    /// If they could not be loaded. The keys that there are stay.
    pub async fn reload(&self) -> Result<(), JwksError> {
        self.keys.load().await.map_err(|failure| failure.error)
    }

    /// Whether the issuer has a key of this id. It is asked for as a token that names the key would ask.
    ///
    /// # Errors
    ///
    /// 503 if nobody can tell.
    pub async fn knows(&self, key_id: &str) -> Result<bool, ApiError> {
        match self.keys.keys_for(Some(key_id)) {
            Lookup::Ready(keys) => Ok(keys.has_key_id(key_id)),
            Lookup::Wait(keys) => Ok(keys.await?.has_key_id(key_id)),
            Lookup::Unknown => Ok(false),
            Lookup::Unavailable(error) => Err(error),
        }
    }

    /// How the keys are doing: for a health check.
    pub fn status(&self) -> JwksStatus {
        self.keys.status()
    }

    async fn wait_for_keys(&self, at_most: Duration) -> Result<(), JwksError> {
        let mut last = None;
        let try_again_and_again = async {
            while self.keys.current().is_none() {
                match self.keys.load().await {
                    Ok(()) => break,
                    Err(failure) => {
                        last = Some(failure.error);
                        tokio::time::sleep(failure.retry_after).await;
                    }
                }
            }
        };
        match tokio::time::timeout(at_most, try_again_and_again).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(last
                    .unwrap_or_else(|| self.keys.error(format!("no answer within {at_most:?}"))))
            }
        }
    }
}

/// The same as [`Jwks::status`], for metrics.
impl Measured for Jwks {
    fn measure(&self) -> Vec<Measurement> {
        let status = self.status();
        let usable = f64::from(u8::from(status.generation > 0));
        let age = status.age.map(|age| measured::JWKS_AGE.at(age.as_secs_f64()));
        let mut told = vec![
            measured::JWKS_USABLE.at(usable),
            measured::JWKS_FETCHES.at(status.fetches as f64),
            measured::JWKS_FAILURES.at(status.failures as f64),
        ];
        told.extend(age);
        told
    }
}

/// What to do about keys before the first request; see [`Jwks::start`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartUp {
    /// Nothing: the first request loads them, and waits meanwhile.
    #[default]
    Lazy,
    /// Try until they are there, with growing pauses, for this long at the most.
    Wait(Duration),
    /// Try once, and fail if that does: whoever started the service sees it at once.
    Fail,
}

/// How the keys of an issuer are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksStatus {
    /// A number that changes whenever the keys do; 0 while there are none that may be used.
    pub generation: u64,
    /// Since when the issuer has not confirmed the keys; nothing if it never has.
    pub age: Option<Duration>,
    /// How many fetches were started.
    pub fetches: u64,
    /// How many of them failed.
    pub failures: u64,
}
