use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use palisade_core::{ApiError, OneTimeUse};

/// The nonce of this response's `Content-Security-Policy`: a script or a style inside of the page runs if its `nonce`
/// attribute has this value ([CSP 3, section 7.1](https://www.w3.org/TR/CSP3/#security-nonces)).
///
/// Where a policy lists [`ContentSecurityPolicy::NONCE`](crate::ContentSecurityPolicy::NONCE), each request has a nonce of 128
/// random bits among its extensions. A handler of axum takes it as a parameter (feature `axum`).
///
/// ```
/// use http::{Request, Response};
/// use palisade_headers::{ContentSecurityPolicy, CspNonce, SecurityHeaders};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let csp = ContentSecurityPolicy::default_src(["'self'"]).script_src([ContentSecurityPolicy::NONCE]);
/// let security = SecurityHeaders::pages().content_security_policy(csp).build()?;
/// let page = service_fn(async |request: Request<String>| {
///     let nonce: &CspNonce = request.extensions().get().expect("the policy left it");
///     let html = format!("<script nonce=\"{nonce}\">start()</script>");
///     Ok::<_, std::convert::Infallible>(Response::new(html))
/// });
///
/// let response = security.layer().layer(page).oneshot(Request::new(String::new())).await?;
/// let csp = response.headers()["content-security-policy"].to_str()?;
/// assert!(csp.starts_with("default-src 'self'; script-src 'nonce-"));
/// # Ok(()) })
/// # }
/// ```
///
/// A response whose handler has read the nonce is not stored by `palisade-cache`.
#[derive(Clone)]
pub struct CspNonce {
    text: Arc<str>,
    pub(crate) used: OneTimeUse,
}

impl PartialEq for CspNonce {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for CspNonce {}

impl CspNonce {
    /// Returns the nonce, which needs no escaping in HTML.
    pub fn as_str(&self) -> &str {
        self.used.record();
        &self.text
    }

    /// Returns the nonce for the header field.
    pub(super) fn for_header(&self) -> &str {
        &self.text
    }

    pub(crate) fn generate() -> Result<Self, ApiError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| ApiError::internal().with_source(format!("no nonce: {error}")))?;
        let text = STANDARD_NO_PAD.encode(random).into();
        Ok(Self { text, used: OneTimeUse::default() })
    }
}

impl fmt::Display for CspNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Hides the nonce: with it a reader of the log could run scripts in an open page.
impl fmt::Debug for CspNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CspNonce(..)")
    }
}

/// Fails with 500 if no policy with a nonce is around the route; the log names the remedy.
#[cfg(feature = "axum")]
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for CspNonce {
    type Rejection = ApiError;

    async fn from_request_parts(
        request: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, ApiError> {
        request.extensions.get().cloned().ok_or_else(|| {
            ApiError::report_misconfiguration(
                &request.extensions,
                "a handler takes a `CspNonce`, and no Content-Security-Policy around its route has a nonce: list \
                 `ContentSecurityPolicy::NONCE` in `script_src` or `style_src`, and add the `SecurityHeaders` outside of \
                 the route",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_random_base64_and_never_shown_by_debug() {
        let nonces: Vec<_> = (0..100).map(|_| CspNonce::generate().unwrap()).collect();
        for (place, nonce) in nonces.iter().enumerate() {
            assert_eq!(nonce.as_str().len(), 22);
            let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
            assert!(nonce.as_str().bytes().all(is_base64), "{nonce}");
            assert!(!nonces[..place].contains(nonce));
            assert!(!format!("{nonce:?}").contains(nonce.as_str()));
        }
    }
}
