use std::sync::Arc;

use http::{HeaderName, StatusCode};
use palisade_core::{ConfigError, TrustedProxies};

use super::{Countries, Country, Geo, Rules};

/// Makes a [`Geo`]. Every mistake in it is found by [`build`](GeoBuilder::build).
///
/// ```
/// use palisade_core::TrustedProxies;
/// use palisade_headers::Geo;
///
/// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
/// let geo = Geo::allow(["DE", "FR"])
///     .by_header("x-vercel-ip-country", &proxies)
///     .for_legal_reasons()
///     .build()?;
///
/// let error = Geo::allow(["DE", "UK"]).by_header("cf-ipcountry", &proxies).build().unwrap_err();
/// assert_eq!(error.to_string(), "country `UK` is not valid: write `GB`");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct GeoBuilder {
    countries: Vec<String>,
    is_allowlist: bool,
    unknown_pass: bool,
    source: Option<(String, TrustedProxies)>,
    status: StatusCode,
}

impl GeoBuilder {
    pub(super) fn new<I>(countries: I, is_allowlist: bool) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Self {
            countries: countries.into_iter().map(|code| code.as_ref().to_owned()).collect(),
            is_allowlist,
            unknown_pass: false,
            source: None,
            status: StatusCode::FORBIDDEN,
        }
    }

    /// Sets the header with the country, and the proxies that write it. Headers of other peers are ignored.
    ///
    /// With [`TrustedProxies::hops`] without networks every peer is trusted, so only the proxies may be able to connect to this
    /// server.
    pub fn by_header(mut self, name: impl Into<String>, proxies: &TrustedProxies) -> Self {
        self.source = Some((name.into(), proxies.clone()));
        self
    }

    /// Allows clients of an unknown country, which includes clients that bypass the proxies.
    pub fn insecure_allow_unknown(mut self) -> Self {
        self.unknown_pass = true;
        self
    }

    /// Refuses with 451 instead of 403, for a list that the law asks for
    /// ([RFC 7725](https://www.rfc-editor.org/rfc/rfc7725)).
    pub fn for_legal_reasons(mut self) -> Self {
        self.status = StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    ///
    /// If there is no country, an unknown one (ISO 3166-1 alpha-2) or a duplicate, or if the header is missing or not valid.
    pub fn build(self) -> Result<Geo, ConfigError> {
        if self.countries.is_empty() {
            return Err(ConfigError::without_value("country", "list the countries, as in `DE`"));
        }
        let mut countries: Vec<Country> = Vec::with_capacity(self.countries.len());
        for code in &self.countries {
            let country = code.parse()?;
            if countries.contains(&country) {
                return Err(ConfigError::new("country", code, "list it once"));
            }
            countries.push(country);
        }
        let Some((name, proxies)) = self.source else {
            return Err(ConfigError::without_value(
                "by_header",
                "name the header that contains the country, and the proxies that write it: clients can send it too",
            ));
        };
        let header: HeaderName = name.parse().map_err(|_| {
            ConfigError::new("by_header", &name, "write a header's name, as in `cf-ipcountry`")
        })?;
        Ok(Geo(Arc::new(Rules {
            countries: Countries::from_list(&countries),
            is_allowlist: self.is_allowlist,
            unknown_pass: self.unknown_pass,
            header,
            proxies,
            status: self.status,
        })))
    }
}
