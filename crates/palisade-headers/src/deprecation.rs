//! `Deprecation` and `Sunset` on responses.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderName, HeaderValue, Uri, header, request, response};
use palisade_core::{Allowed, ConfigError, Decision, Description, Policy, PolicyLayer};

/// Announces that routes are deprecated ([RFC 9745](https://www.rfc-editor.org/rfc/rfc9745)), and when they will be removed
/// ([RFC 8594](https://www.rfc-editor.org/rfc/rfc8594)).
///
/// The headers are hints for clients, and change nothing else: the routes work, also after the announced date. A `Deprecation` or
/// `Sunset` of the service itself is not changed. Pages of other origins see the headers if CORS exposes them.
///
/// ```
/// use http::{Request, Response};
/// use palisade_headers::Deprecation;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let version_1 = Deprecation::since("Tue, 30 Jun 2026 00:00:00 GMT")
///     .sunset("Wed, 30 Jun 2027 00:00:00 GMT")
///     .documented_at("https://api.example.com/docs/from-v1-to-v2")
///     .successor("/v2/orders")
///     .build()?;
/// let service = version_1.layer().layer(service_fn(async |_: Request<String>| {
///     Ok::<_, std::convert::Infallible>(Response::new("[]".to_owned()))
/// }));
///
/// let response = service.oneshot(Request::get("/v1/orders").body(String::new())?).await?;
/// assert_eq!(response.headers()["deprecation"], "@1782777600");
/// assert_eq!(response.headers()["sunset"], "Wed, 30 Jun 2027 00:00:00 GMT");
/// let links: Vec<_> = response.headers().get_all("link").iter().collect();
/// assert_eq!(links, [
///     "<https://api.example.com/docs/from-v1-to-v2>; rel=\"deprecation\"",
///     "</v2/orders>; rel=\"successor-version\"",
/// ]);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Deprecation(Arc<Announcement>);

#[derive(Debug)]
struct Announcement {
    deprecation: HeaderValue,
    sunset: Option<HeaderValue>,
    links: Vec<HeaderValue>,
}

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

impl Deprecation {
    /// Returns a builder with the time since which the routes are deprecated, in the past or in the future, in the format of
    /// HTTP: `Tue, 30 Jun 2026 00:00:00 GMT` (RFC 9110, section 5.6.7).
    pub fn since(date: impl Into<String>) -> DeprecationBuilder {
        DeprecationBuilder { since: date.into(), sunset: None, links: Vec::new() }
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

impl Policy for Deprecation {
    type Grant = ();

    fn allowed((): &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(2 + self.0.links.len())
    }

    /// Rejections are announced too: a client whose token has expired still learns that the route is deprecated.
    fn finish(&self, (): (), response: &mut response::Parts) {
        let headers = &mut response.headers;
        for (name, value) in
            [(DEPRECATION, Some(&self.0.deprecation)), (SUNSET, self.0.sunset.as_ref())]
        {
            if let Some(value) = value
                && !headers.contains_key(&name)
            {
                // A map that is full stays unchanged.
                let _ = headers.try_insert(name, value.clone());
            }
        }
        for link in &self.0.links {
            let _ = headers.try_append(header::LINK, link.clone());
        }
    }
}

/// Makes a [`Deprecation`]. Every mistake is found by [`build`](Self::build).
///
/// ```
/// use palisade_headers::Deprecation;
///
/// let error = Deprecation::since("Tue, 30 Jun 2026 00:00:00 GMT")
///     .sunset("Mon, 01 Jun 2026 00:00:00 GMT")
///     .build()
///     .unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "sunset `Mon, 01 Jun 2026 00:00:00 GMT` is not valid: it must not be earlier than the deprecation, \
///      Tue, 30 Jun 2026 00:00:00 GMT"
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct DeprecationBuilder {
    since: String,
    sunset: Option<String>,
    links: Vec<(&'static str, &'static str, String)>,
}

impl DeprecationBuilder {
    /// Announces the time at which the routes are expected to be removed, in the same format. Default: no time is announced.
    pub fn sunset(mut self, date: impl Into<String>) -> Self {
        self.sunset = Some(date.into());
        self
    }

    /// Links to the documentation of the deprecation, as `rel="deprecation"` (RFC 9745, section 3).
    pub fn documented_at(mut self, uri: impl Into<String>) -> Self {
        self.links.push(("documented_at", "deprecation", uri.into()));
        self
    }

    /// Links to the route that replaces this one, as `rel="successor-version"` (RFC 5829, section 3.5).
    pub fn successor(mut self, uri: impl Into<String>) -> Self {
        self.links.push(("successor", "successor-version", uri.into()));
        self
    }

    /// Returns the policy.
    ///
    /// # Errors
    ///
    /// A date is not an HTTP date, the sunset is earlier than the deprecation (RFC 9745, section 4), or a link is not a URI.
    pub fn build(self) -> Result<Deprecation, ConfigError> {
        let since = parse("since", &self.since)?;
        let sunset = self.sunset.map(|date| Ok((parse("sunset", &date)?, date))).transpose()?;
        if let Some((at, date)) = &sunset
            && *at < since
        {
            let since = httpdate::fmt_http_date(since);
            let remedy = format!("it must not be earlier than the deprecation, {since}");
            return Err(ConfigError::new("sunset", date, remedy));
        }
        // A date of structured fields (RFC 9651, section 3.3.7).
        let seconds =
            since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let links = self.links.into_iter().map(|(setting, relation, uri)| {
            link(relation, &uri).ok_or_else(|| {
                ConfigError::new(
                    setting,
                    uri,
                    "write a URI, such as `https://example.com/docs`, or a path",
                )
            })
        });
        Ok(Deprecation(Arc::new(Announcement {
            deprecation: value(format!("@{seconds}"))?,
            sunset: sunset.map(|(at, _)| value(httpdate::fmt_http_date(at))).transpose()?,
            links: links.collect::<Result<_, _>>()?,
        })))
    }
}

fn parse(setting: &'static str, date: &str) -> Result<SystemTime, ConfigError> {
    httpdate::parse_http_date(date).map_err(|_| {
        ConfigError::new(
            setting,
            date,
            "write an HTTP date, such as `Tue, 30 Jun 2026 00:00:00 GMT`",
        )
    })
}

/// Returns the value of a `Link` (RFC 8288, section 3).
fn link(relation: &str, uri: &str) -> Option<HeaderValue> {
    // `Uri` accepts some characters that would end the link.
    let is_uri = uri.parse::<Uri>().is_ok() && !uri.contains(['<', '>', '"', ' ']);
    is_uri.then(|| format!("<{uri}>; rel=\"{relation}\"").try_into().ok()).flatten()
}

fn value(text: String) -> Result<HeaderValue, ConfigError> {
    text.clone().try_into().map_err(|_| ConfigError::new("date", text, "write an HTTP date"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Response, StatusCode};

    use super::*;

    const SINCE: &str = "Tue, 30 Jun 2026 00:00:00 GMT";

    fn finished(policy: &Deprecation, own: &[(&'static str, &'static str)]) -> HeaderMap {
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = StatusCode::UNAUTHORIZED;
        for (name, value) in own {
            response.headers.append(*name, HeaderValue::from_static(value));
        }
        policy.finish((), &mut response);
        response.headers
    }

    #[test]
    fn rejections_get_deprecation_headers() {
        let policy = Deprecation::since(SINCE).build().unwrap();
        let headers = finished(&policy, &[]);
        assert_eq!(headers["deprecation"], "@1782777600");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn headers_of_the_service_are_unchanged() {
        let policy = Deprecation::since(SINCE).sunset(SINCE).successor("/v2").build().unwrap();
        let headers =
            finished(&policy, &[("deprecation", "@1"), ("link", "</next>; rel=\"next\"")]);
        assert_eq!(headers["deprecation"], "@1");
        assert_eq!(headers["sunset"], SINCE);
        assert_eq!(headers.get_all("link").iter().count(), 2);
    }

    #[test]
    fn invalid_settings_are_config_errors() {
        for (builder, setting) in [
            (Deprecation::since("2026-06-30"), "since"),
            (Deprecation::since(SINCE).sunset("tomorrow"), "sunset"),
            (Deprecation::since(SINCE).sunset("Mon, 29 Jun 2026 23:59:59 GMT"), "sunset"),
            (Deprecation::since(SINCE).successor("/v2>; rel=\"x\""), "successor"),
            (
                Deprecation::since(SINCE).documented_at("https://example.com/a\r\nb"),
                "documented_at",
            ),
        ] {
            assert_eq!(builder.build().unwrap_err().setting(), setting);
        }
    }
}
