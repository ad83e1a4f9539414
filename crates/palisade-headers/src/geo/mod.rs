//! From which countries a service may be used.

mod builder;
mod country;

use std::sync::Arc;

use http::{HeaderName, StatusCode, request};
use palisade_core::{ApiError, Decision, ErrorCode, GrpcCode, Policy, PolicyLayer, TrustedProxies};

pub use builder::GeoBuilder;
use country::Countries;
pub use country::Country;

pub(crate) const COUNTRY_NOT_ALLOWED: ErrorCode = ErrorCode::new(
    "COUNTRY_NOT_ALLOWED",
    StatusCode::FORBIDDEN,
    GrpcCode::PermissionDenied,
    "this is not available in your country",
)
.about("The country of the client is not served, or not known. The status may be 451 instead.");

/// Allows or denies clients by their country, from a header of a trusted proxy.
///
/// CDNs write the country of the client into a header: `CF-IPCountry`, `X-Vercel-IP-Country`, `CloudFront-Viewer-Country`.
/// Clients can send it too, so it is accepted only from peers that [`TrustedProxies`] trusts. The country is unknown if the
/// header comes from another peer, is missing, is duplicated or contains no country. Both an allowlist and a denylist reject an
/// unknown country like one that is not allowed: 403 with the code `COUNTRY_NOT_ALLOWED`, which caches do not store.
///
/// ```
/// use http::Request;
/// use palisade_core::{PeerAddr, TrustedProxies};
/// use palisade_headers::{Country, Geo};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// // two of the networks in https://www.cloudflare.com/ips/
/// let cloudflare = TrustedProxies::header("cf-connecting-ip")
///     .networks(["173.245.48.0/20", "103.21.244.0/22"])
///     .build()?;
/// let geo = Geo::allow(["DE", "AT", "CH"]).by_header("cf-ipcountry", &cloudflare).build()?;
/// let service = geo.layer().layer(service_fn(async |request: Request<String>| {
///     let country = Country::from_extensions(request.extensions()).map(|country| country.to_string());
///     Ok::<_, std::convert::Infallible>(http::Response::new(country.unwrap_or_default()))
/// }));
/// let ask = async |peer: &str, country: &str| {
///     let peer = PeerAddr(peer.parse().unwrap());
///     let request = Request::get("/").header("cf-ipcountry", country).extension(peer);
///     service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap().status()
/// };
///
/// assert_eq!(ask("173.245.48.1:4000", "DE").await, 200);
/// assert_eq!(ask("173.245.48.1:4000", "US").await, 403);
/// // A client that bypasses the CDN and sends the header itself.
/// assert_eq!(ask("203.0.113.7:4000", "DE").await, 403);
/// # Ok(()) })
/// # }
/// ```
///
/// # Limits
///
/// The country is that of the client's network or VPN. The proxy must overwrite the header or remove the client's value. A load
/// balancer between the CDN and this server must accept connections from the CDN only. Responses from the cache of the CDN are
/// not checked here.
///
/// Exclude health checks, which have no country: `unless(|request| request.uri.path() == "/health", geo)`.
#[derive(Clone, Debug)]
pub struct Geo(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    countries: Countries,
    /// True if only `countries` are allowed; false if only these are denied.
    is_allowlist: bool,
    unknown_pass: bool,
    header: HeaderName,
    proxies: TrustedProxies,
    status: StatusCode,
}

impl Geo {
    /// Allows only these countries (ISO 3166-1 alpha-2).
    pub fn allow<I>(countries: I) -> GeoBuilder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        GeoBuilder::new(countries, true)
    }

    /// Denies these countries (ISO 3166-1 alpha-2) and allows all others.
    pub fn deny<I>(countries: I) -> GeoBuilder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        GeoBuilder::new(countries, false)
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }

    fn country_of(&self, request: &request::Parts) -> Option<Country> {
        let Rules { header, proxies, .. } = &*self.0;
        let mut lines = request.headers.get_all(header).iter();
        let only = lines.next().filter(|_| lines.next().is_none())?;
        let country = Country::read(only.as_bytes().trim_ascii())?;
        proxies.trust_peer_of(&request.extensions).then_some(country)
    }

    #[cold]
    fn refusal(&self) -> ApiError {
        ApiError::from(COUNTRY_NOT_ALLOWED).with_status(self.0.status)
    }
}

impl Policy for Geo {
    /// `None` if it is not known.
    type Grant = Option<Country>;

    fn decide(&self, request: &request::Parts) -> Decision<Option<Country>> {
        let country = self.country_of(request);
        let passes = match country {
            Some(country) => self.0.countries.contain(country) == self.0.is_allowlist,
            None => self.0.unknown_pass,
        };
        if passes { Decision::grant(country) } else { Decision::refuse(self.refusal()) }
    }

    fn admit(&self, country: &mut Option<Country>, request: &mut request::Parts) {
        match country {
            Some(country) => request.extensions.insert(*country),
            None => request.extensions.remove::<Country>(),
        };
    }
}

#[cfg(test)]
mod tests;
