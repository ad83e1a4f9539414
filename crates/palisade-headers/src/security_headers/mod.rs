//! The headers with which browsers protect a service and those who use it.

mod builder;
mod https;

use std::{mem, ops::BitOr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header, header::Entry, request, response};
use palisade_core::{Allowed, Decision, Description, Policy, PolicyLayer};

use crate::{CspNonce, content_security_policy::CspText};

pub use builder::SecurityHeadersBuilder;
use https::Https;

/// Writes security headers on every response, including rejections.
///
/// | header | [`api`](Self::api) | [`pages`](Self::pages) |
/// | --- | --- | --- |
/// | `Strict-Transport-Security`, over https only | `max-age=31536000; includeSubDomains` | the same |
/// | `X-Content-Type-Options` | `nosniff` | `nosniff` |
/// | `Referrer-Policy` | `no-referrer` | `no-referrer` |
/// | `X-Frame-Options` | `DENY` | `SAMEORIGIN` |
/// | `Content-Security-Policy` | `default-src 'none'; frame-ancestors 'none'` | `default-src 'self'; base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'self'` |
/// | `Cross-Origin-Resource-Policy` | `same-origin`, or `cross-origin` on responses with `Access-Control-Allow-Origin: *` | the same |
/// | `Cross-Origin-Opener-Policy` | | `same-origin` |
/// | `Origin-Agent-Cluster` | | `?1` |
/// | `X-XSS-Protection` | | `0` |
///
/// With [`legacy_headers`](SecurityHeadersBuilder::legacy_headers) there are three more, and any other with
/// [`header`](SecurityHeadersBuilder::header).
///
/// Headers of the service are not changed. This includes framing: if the service has set `X-Frame-Options` and no
/// `Content-Security-Policy`, the policy writes no `frame-ancestors`, because it would override the service's header.
///
/// ```
/// use http::{Request, Response};
/// use palisade_headers::SecurityHeaders;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let security = SecurityHeaders::pages().always_https().build()?;
/// let service = security.layer().layer(service_fn(async |_: Request<String>| {
///     let response = Response::builder().header("referrer-policy", "same-origin");
///     Ok::<_, std::convert::Infallible>(response.body("<h1>hello</h1>".to_owned()).unwrap())
/// }));
///
/// let response = service.oneshot(Request::get("/").body(String::new())?).await?;
/// let headers = response.headers();
/// assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
/// assert_eq!(headers["x-frame-options"], "SAMEORIGIN");
/// assert_eq!(headers["referrer-policy"], "same-origin"); // the service's own
/// # Ok(()) })
/// # }
/// ```
///
/// # Where it goes
///
/// Place it outside all policies that may reject, and outside CORS. In a stack it is the step `security_headers`.
///
/// # Https
///
/// A response over plain http must not have `Strict-Transport-Security` ([RFC 6797, section
/// 7.2](https://www.rfc-editor.org/rfc/rfc6797#section-7.2)), and most servers do not know the scheme: HTTP/1.1 does not
/// contain it, and TLS may end at a proxy. The header is written if the request's URI has the scheme `https`, as in HTTP/2 over
/// TLS. Otherwise use [`always_https`](SecurityHeadersBuilder::always_https) or
/// [`https_by_proxy`](SecurityHeadersBuilder::https_by_proxy).
#[derive(Clone, Debug)]
pub struct SecurityHeaders(Arc<Fields>);

/// The prepared header values.
#[derive(Debug)]
struct Fields {
    /// On every response.
    plain: Vec<(HeaderName, HeaderValue)>,
    csp: Option<Csp>,
    csp_report_only: Option<CspText>,
    resource_policy: Option<Resource>,
    hsts: Option<HeaderValue>,
    https: Https,
    /// All headers of a response that has no others: over http, and over https. Without those that contain a nonce.
    alone: [HeaderMap; 2],
    /// A bit for the length of each name that a response must not have to get all headers of `alone`. The names of a response
    /// are compared in full only if their length is among these, which takes a tenth of a look-up for each.
    lengths: u64,
}

#[derive(Debug)]
struct Csp {
    value: CspText,
    /// The policy for responses on which the service has set `X-Frame-Options`.
    without_frame_ancestors: CspText,
}

#[derive(Debug)]
struct Resource {
    value: HeaderValue,
    /// Responses with `Access-Control-Allow-Origin: *` get `cross-origin`.
    follows_cors: bool,
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

impl SecurityHeaders {
    /// Creates the preset for APIs, whose responses are never shown as pages, framed or embedded.
    pub fn api() -> SecurityHeadersBuilder {
        SecurityHeadersBuilder::api()
    }

    /// Creates the preset for pages in browsers. The `Content-Security-Policy` allows resources of the same origin, and no
    /// inline scripts or styles. Set your own if it is too strict.
    pub fn pages() -> SecurityHeadersBuilder {
        SecurityHeadersBuilder::pages()
    }

    /// A tower layer of this policy.
    pub fn layer(&self) -> PolicyLayer<Self> {
        PolicyLayer::new(self.clone())
    }
}

/// The properties of the request that the headers depend on: https, and the nonce.
///
/// ```
/// use palisade_core::Policy;
/// use palisade_headers::{SecurityHeaders, SecurityHeadersGrant};
///
/// fn same<P: Policy<Grant = SecurityHeadersGrant>>(policy: P) -> P { policy }
/// let security = same(SecurityHeaders::api().build()?);
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct SecurityHeadersGrant {
    is_https: bool,
    nonce: Option<CspNonce>,
}

/// Marks a response with a nonce, which shared caches must not store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HasNonce;

impl Policy for SecurityHeaders {
    type Grant = SecurityHeadersGrant;

    fn allowed(_: &Self::Grant) -> Allowed {
        Allowed::WithoutDecision
    }

    #[inline]
    fn decide(&self, request: &request::Parts) -> Decision<SecurityHeadersGrant> {
        let is_https = self.0.hsts.is_some() && self.0.https.is_of(request);
        if !self.0.has_nonce() {
            return Decision::grant(SecurityHeadersGrant { is_https, nonce: None });
        }
        CspNonce::generate()
            .map(|nonce| SecurityHeadersGrant { is_https, nonce: Some(nonce) })
            .into()
    }

    #[inline]
    fn admit(&self, grant: &mut SecurityHeadersGrant, request: &mut request::Parts) {
        if let Some(nonce) = &grant.nonce {
            request.extensions.insert(nonce.used.clone());
            request.extensions.insert(nonce.clone());
        }
    }

    /// The two policies of CSP, the resource policy and HSTS are not among the plain ones.
    fn describe(&self) -> Description {
        Description::of_type::<Self>().header_fields(self.0.plain.len() + 4)
    }

    #[inline]
    fn finish(&self, grant: SecurityHeadersGrant, response: &mut response::Parts) {
        let SecurityHeadersGrant { is_https, nonce } = grant;
        let headers = &mut response.headers;
        let alone = &self.0.alone[usize::from(is_https)];
        if nonce.is_some() || !self.0.is_simple(headers) {
            self.0.write(headers, is_https, nonce.as_ref());
        } else if headers.capacity() < headers.len() + alone.len() {
            // A copy costs half of writing them one by one, and a response without room for them needs new memory anyway.
            let own = mem::replace(headers, alone.clone());
            if !own.is_empty() {
                headers.extend(own);
            }
        } else {
            for (name, value) in alone {
                let _ = headers.try_append(name, value.clone());
            }
        }
        if nonce.is_some() {
            response.extensions.insert(HasNonce);
        }
    }
}

impl Fields {
    /// Makes the headers of a response that has no others.
    fn complete(mut self) -> Self {
        self.alone = [false, true].map(|is_https| {
            // Copies have room in their index for the headers of most services.
            let mut headers = HeaderMap::with_capacity(20);
            self.write(&mut headers, is_https, None);
            headers
        });
        let [_, over_https] = &self.alone;
        let read = [header::X_FRAME_OPTIONS, header::ACCESS_CONTROL_ALLOW_ORIGIN];
        self.lengths = over_https.keys().chain(&read).map(length_bit).fold(0, u64::bitor);
        self
    }

    /// Returns true for a response whose headers do not change the prepared ones.
    fn is_simple(&self, headers: &HeaderMap) -> bool {
        headers.len() < 64
            && !headers.iter().any(|(name, value)| {
                self.lengths & length_bit(name) != 0 && self.depends_on(name, value)
            })
    }

    /// Returns true if a response with this header does not get all prepared ones.
    fn depends_on(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        let [_, over_https] = &self.alone;
        if name == header::ACCESS_CONTROL_ALLOW_ORIGIN {
            return value == "*";
        }
        name == header::X_FRAME_OPTIONS || over_https.contains_key(name)
    }

    /// Writes the headers that a response does not have.
    fn write(&self, headers: &mut HeaderMap, is_https: bool, nonce: Option<&CspNonce>) {
        let Self { plain, csp, csp_report_only, resource_policy, hsts, .. } = self;
        // One allocation for all of them, and none that is larger: the system's allocator is slower above 1 KiB. A response
        // that has no room for all gets as many as there is room for.
        let count = plain.len()
            + usize::from(csp.is_some())
            + usize::from(csp_report_only.is_some())
            + usize::from(resource_policy.is_some())
            + usize::from(is_https && hsts.is_some());
        let _ = headers.try_reserve(count);
        let frames_of_the_service = is_framed_by_service(headers);
        if let Some(csp) = csp {
            let text =
                if frames_of_the_service { &csp.without_frame_ancestors } else { &csp.value };
            write_csp(headers, &header::CONTENT_SECURITY_POLICY, text, nonce);
        }
        for (name, value) in plain {
            write(headers, name, value);
        }
        if let Some(text) = csp_report_only {
            let name = &header::CONTENT_SECURITY_POLICY_REPORT_ONLY;
            write_csp(headers, name, text, nonce);
        }
        if let Some(Resource { value, follows_cors }) = resource_policy {
            if *follows_cors && is_readable_by_all_origins(headers) {
                write(headers, &RESOURCE_POLICY, &HeaderValue::from_static("cross-origin"));
            } else {
                write(headers, &RESOURCE_POLICY, value);
            }
        }
        if is_https && let Some(hsts) = hsts {
            write(headers, &header::STRICT_TRANSPORT_SECURITY, hsts);
        }
    }

    #[inline]
    fn has_nonce(&self) -> bool {
        let has = |text: &CspText| text.has_nonce();
        self.csp.as_ref().is_some_and(|csp| csp.value.has_nonce())
            || self.csp_report_only.as_ref().is_some_and(has)
    }
}

/// Returns the bit of a name's length. Two lengths with the same bit cost a comparison.
#[inline]
fn length_bit(name: &HeaderName) -> u64 {
    1 << (name.as_str().len() % 64)
}

/// Returns true if the service itself specifies which pages may frame it. Values that browsers ignore, such as `ALLOW-FROM`,
/// `ALLOWALL`, or several fields, must not take the protection of `frame-ancestors` off.
#[inline]
fn is_framed_by_service(headers: &HeaderMap) -> bool {
    let mut own = headers.get_all(header::X_FRAME_OPTIONS).iter();
    let (Some(value), None) = (own.next(), own.next()) else { return false };
    let value = value.as_bytes().trim_ascii();
    value.eq_ignore_ascii_case(b"deny") || value.eq_ignore_ascii_case(b"sameorigin")
}

/// Writes a header that the service did not write, if there is room for it.
#[inline]
fn write(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if let Ok(Entry::Vacant(place)) = headers.try_entry(name) {
        let _ = place.try_insert(value.clone());
    }
}

#[inline]
fn write_csp(headers: &mut HeaderMap, name: &HeaderName, text: &CspText, nonce: Option<&CspNonce>) {
    if let Ok(Entry::Vacant(place)) = headers.try_entry(name)
        && let Some(value) = text.value(nonce)
    {
        let _ = place.try_insert(value);
    }
}

/// Returns true for responses that CORS allows all origins to read. `same-origin` would block them in `<img>` and `<script>`.
fn is_readable_by_all_origins(headers: &HeaderMap) -> bool {
    headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "*")
}

#[cfg(test)]
mod tests;
