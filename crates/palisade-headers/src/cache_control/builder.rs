use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use palisade_core::ConfigError;

use super::{CacheControl, CacheScope, Declared, Rules};

/// Builds a [`CacheControl`]. [`build`](CacheControlBuilder::build) reports contradictions.
///
/// ```
/// use std::time::Duration;
/// use palisade_headers::CacheControl;
///
/// let year = Duration::from_secs(31_536_000);
/// let assets = CacheControl::public().max_age(year).immutable().build()?;
///
/// let error = CacheControl::no_store().max_age(year).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "no_store is not valid: remove it or max_age: a response that is not stored has no age"
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct CacheControlBuilder {
    public: bool,
    private: bool,
    no_cache: bool,
    no_store: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    no_transform: bool,
    immutable: bool,
    max_age: Option<Duration>,
    s_maxage: Option<Duration>,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    share_authenticated: bool,
}

impl CacheControlBuilder {
    /// Any cache may keep it.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Only the caller's own cache may keep it.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Caches ask each time whether it is still right.
    pub fn no_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// Forbids all caches to store the response.
    pub fn no_store(mut self) -> Self {
        self.no_store = true;
        self
    }

    /// Sets how long the response is fresh, in whole seconds ([RFC 9111, section
    /// 5.2.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.1)).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets how long the response is fresh in shared caches, in whole seconds ([RFC 9111, section
    /// 5.2.2.10](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.10)).
    pub fn s_maxage(mut self, age: Duration) -> Self {
        self.s_maxage = Some(age);
        self
    }

    /// Sets how long a cache may serve the stale response while it revalidates ([RFC 5861, section
    /// 3](https://www.rfc-editor.org/rfc/rfc5861#section-3)).
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// Sets how long a cache may serve the stale response if the service fails ([RFC 5861, section
    /// 4](https://www.rfc-editor.org/rfc/rfc5861#section-4)).
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Forbids caches to serve the stale response without revalidation ([RFC 9111, section
    /// 5.2.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.2)).
    pub fn must_revalidate(mut self) -> Self {
        self.must_revalidate = true;
        self
    }

    /// Once it is stale, no shared cache serves it without asking
    /// ([RFC 9111, section 5.2.2.8](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.8)).
    pub fn proxy_revalidate(mut self) -> Self {
        self.proxy_revalidate = true;
        self
    }

    /// Forbids intermediaries to change the body ([RFC 9111, section
    /// 5.2.2.6](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.6)).
    pub fn no_transform(mut self) -> Self {
        self.no_transform = true;
        self
    }

    /// It will never be another one, so that a reload need not ask
    /// ([RFC 8246](https://www.rfc-editor.org/rfc/rfc8246)). For addresses that have a hash in them.
    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    /// Allows shared caches to store responses to authenticated requests and responses with `Set-Cookie`, and to serve them to
    /// any client. For public resources that are the same for all callers.
    pub fn insecure_share_authenticated(mut self) -> Self {
        self.share_authenticated = true;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// If directives contradict each other, if a time is not in whole seconds or exceeds 2^31 seconds (RFC 9111, section
    /// 1.2.2), or if there are no directives.
    pub fn build(self) -> Result<CacheControl, ConfigError> {
        self.check()?;
        let text = self.text()?;
        if text.is_empty() {
            return Err(ConfigError::without_value(
                "cache_control",
                "add a directive, or use `CacheControl::new`",
            ));
        }
        let value = HeaderValue::try_from(text.as_str())
            .map_err(|_| ConfigError::new("cache_control", text, "it is no header value"))?;
        let kept_by = if self.private || self.no_store {
            CacheScope::Private
        } else if self.share_authenticated {
            CacheScope::SharedForAll
        } else {
            CacheScope::Shared
        };
        Ok(CacheControl(Arc::new(Rules { declared: Some(Declared { value, kept_by }) })))
    }

    fn times(&self) -> [(&'static str, &'static str, Option<Duration>); 4] {
        [
            ("max_age", "max-age", self.max_age),
            ("s_maxage", "s-maxage", self.s_maxage),
            ("stale_while_revalidate", "stale-while-revalidate", self.stale_while_revalidate),
            ("stale_if_error", "stale-if-error", self.stale_if_error),
        ]
    }

    fn check(&self) -> Result<(), ConfigError> {
        let is_set = |time: Option<Duration>| time.is_some();
        let is_stale_served = is_set(self.stale_while_revalidate) || is_set(self.stale_if_error);
        let is_timed = is_set(self.max_age) || is_set(self.s_maxage);
        let lasts = |time: Option<Duration>| time.is_some_and(|time| !time.is_zero());
        let contradictions = [
            (self.public && self.private, "public", "leave it out, or private"),
            (
                self.no_store && is_set(self.max_age),
                "no_store",
                "remove it or max_age: a response that is not stored has no age",
            ),
            (
                self.no_store && (is_set(self.s_maxage) || is_stale_served || self.immutable),
                "no_store",
                "remove it or the times: a response that is not stored has no age",
            ),
            (
                self.no_store && self.public,
                "no_store",
                "remove it or public: they contradict each other",
            ),
            (
                self.no_store && (self.no_cache || self.must_revalidate || self.proxy_revalidate),
                "no_store",
                "remove the directives about revalidation: a response that is not stored is never validated",
            ),
            (
                self.private && is_set(self.s_maxage),
                "s_maxage",
                "leave it out, or private: s-maxage is for shared caches",
            ),
            (
                self.private && self.proxy_revalidate,
                "proxy_revalidate",
                "use must_revalidate: with private, no shared cache stores it",
            ),
            (
                self.no_cache && (lasts(self.max_age) || lasts(self.s_maxage)),
                "no_cache",
                "remove it or the times: a response that is validated each time is never fresh",
            ),
            (
                self.immutable && !lasts(self.max_age),
                "immutable",
                "add max_age: it applies while the response is fresh (RFC 8246, section 2)",
            ),
            (
                self.immutable && self.no_cache,
                "immutable",
                "remove it or no_cache: they contradict each other",
            ),
            (
                is_stale_served && (self.must_revalidate || self.no_cache),
                "stale",
                "remove it, or the directive that forbids stale responses (RFC 9111, section 4.2.4)",
            ),
            (
                is_stale_served && !is_timed,
                "stale",
                "add max_age or s_maxage: only a response that was fresh becomes stale",
            ),
            (
                (self.must_revalidate || self.proxy_revalidate) && !is_timed && !self.no_cache,
                "must_revalidate",
                "add max_age: it applies to responses that are no longer fresh",
            ),
            (
                self.share_authenticated && (self.private || self.no_store),
                "insecure_share_authenticated",
                "remove it: no shared cache stores the response",
            ),
        ];
        match contradictions.into_iter().find(|(holds, ..)| *holds) {
            Some((_, setting, remedy)) => Err(ConfigError::without_value(setting, remedy)),
            None => Ok(()),
        }
    }

    fn text(&self) -> Result<String, ConfigError> {
        let flags = [
            ("public", self.public),
            ("private", self.private),
            ("no-cache", self.no_cache),
            ("no-store", self.no_store),
        ];
        let mut parts: Vec<String> =
            flags.into_iter().filter(|flag| flag.1).map(|flag| flag.0.to_owned()).collect();
        for (setting, directive, time) in self.times() {
            let Some(time) = time else { continue };
            // RFC 9111, section 1.2.2: more than this is this.
            if time.subsec_nanos() > 0 || time.as_secs() > 1 << 31 {
                let remedy = "use whole seconds, at most 2147483648";
                return Err(ConfigError::new(setting, format!("{time:?}"), remedy));
            }
            parts.push(format!("{directive}={}", time.as_secs()));
        }
        let flags = [
            ("must-revalidate", self.must_revalidate),
            ("proxy-revalidate", self.proxy_revalidate),
            ("no-transform", self.no_transform),
            ("immutable", self.immutable),
        ];
        parts.extend(flags.into_iter().filter(|flag| flag.1).map(|flag| flag.0.to_owned()));
        Ok(parts.join(", "))
    }
}
