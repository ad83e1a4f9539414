use std::time::Duration;

use http::HeaderValue;
use palisade_core::ConfigError;

/// A year, which [the preload list](https://hstspreload.org/#submission-requirements) requires.
const YEAR: Duration = Duration::from_secs(31_536_000);

/// `Strict-Transport-Security`: how long browsers use only https for this host ([RFC
/// 6797](https://www.rfc-editor.org/rfc/rfc6797#section-6.1)).
///
/// Default: a year, including subdomains. Browsers that have seen it keep it for this time, so begin with days if a subdomain
/// may still need http.
///
/// ```
/// use std::time::Duration;
/// use palisade_headers::{Hsts, SecurityHeaders};
///
/// let week = Duration::from_secs(7 * 24 * 60 * 60);
/// let security = SecurityHeaders::pages().hsts(Hsts::max_age(week).this_host_only()).build()?;
///
/// let error = SecurityHeaders::pages().hsts(Hsts::max_age(week).preload()).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "hsts `max-age=604800; includeSubDomains; preload` is not valid: \
///      preloading requires a max-age of at least a year (31536000 seconds)"
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `SecurityHeadersBuilder::hsts`"]
pub struct Hsts {
    max_age: Duration,
    subdomains: bool,
    preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self::max_age(YEAR)
    }
}

impl Hsts {
    /// Sets the time, in whole seconds, including subdomains. Zero revokes an earlier value.
    pub fn max_age(age: Duration) -> Self {
        Self { max_age: age, subdomains: true, preload: false }
    }

    /// Leaves out `includeSubDomains`. A subdomain that is left to http can set the cookies of this host.
    pub fn this_host_only(mut self) -> Self {
        self.subdomains = false;
        self
    }

    /// Allows the domain to be added to the preload list of browsers, which requires a year and subdomains. Removal from the
    /// list takes months.
    pub fn preload(mut self) -> Self {
        self.preload = true;
        self
    }

    pub(crate) fn value(self) -> Result<HeaderValue, ConfigError> {
        let mut text = format!("max-age={}", self.max_age.as_secs());
        for (directive, wanted) in
            [("; includeSubDomains", self.subdomains), ("; preload", self.preload)]
        {
            if wanted {
                text.push_str(directive);
            }
        }
        let remedy = if self.max_age.subsec_nanos() > 0 {
            "max-age is in whole seconds (RFC 6797, section 6.1.1)"
        } else if self.preload && self.max_age < YEAR {
            "preloading requires a max-age of at least a year (31536000 seconds)"
        } else if self.preload && !self.subdomains {
            "preloading requires the subdomains: remove `this_host_only`"
        } else {
            return HeaderValue::try_from(text.as_str())
                .map_err(|_| ConfigError::new("hsts", text, "it is no header value"));
        };
        Err(ConfigError::new("hsts", text, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_with_subdomains_is_the_default() {
        assert_eq!(Hsts::default().value().unwrap(), "max-age=31536000; includeSubDomains");
    }

    #[test]
    fn valid_settings_follow_rfc_6797() {
        for (hsts, expected) in [
            (Hsts::max_age(Duration::ZERO), "max-age=0; includeSubDomains"),
            (Hsts::max_age(Duration::from_secs(60)).this_host_only(), "max-age=60"),
            (Hsts::default().preload(), "max-age=31536000; includeSubDomains; preload"),
            (Hsts::max_age(YEAR * 2).preload(), "max-age=63072000; includeSubDomains; preload"),
        ] {
            assert_eq!(hsts.value().unwrap(), expected);
        }
    }

    #[test]
    fn settings_that_the_preload_list_rejects_are_config_errors() {
        for (hsts, remedy) in [
            (Hsts::max_age(YEAR - Duration::from_secs(1)).preload(), "a year"),
            (Hsts::max_age(Duration::ZERO).preload(), "a year"),
            (Hsts::default().this_host_only().preload(), "requires the subdomains"),
            (Hsts::default().preload().this_host_only(), "requires the subdomains"),
            (Hsts::max_age(Duration::from_millis(1500)), "whole seconds"),
        ] {
            let error = hsts.value().unwrap_err();
            assert_eq!(error.setting(), "hsts");
            assert!(error.to_string().contains(remedy), "{error}");
        }
    }
}
