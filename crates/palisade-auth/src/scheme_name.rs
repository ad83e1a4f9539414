use http::{HeaderMap, HeaderValue, header, response};
use palisade_core::ApiError;

/// The challenges of a response name the scheme of the innermost authentication.
#[derive(Clone)]
struct SchemeNamed;

/// Replaces `Bearer` by the scheme of the authentication in the challenges of inner policies: without parameters, if no caller
/// is authenticated; with `insufficient_scope` (RFC 6750, section 3.1; RFC 9449, section 7.1); or with
/// `insufficient_user_authentication` (RFC 9470). A challenge must not name a scheme that the service rejects.
///
/// `invalid` returns the error of the outer authentication for invalid credentials.
pub(crate) fn name_scheme(
    invalid: impl FnOnce() -> ApiError,
    has_proof: bool,
    response: &mut response::Parts,
) {
    if response.extensions.insert(SchemeNamed).is_some() {
        return;
    }
    #[cfg(feature = "_public-keys")]
    if has_proof {
        let algs = format!(", algs=\"{}\"", crate::sender::dpop::algs());
        rename(&mut response.headers, "DPoP", &algs);
        return;
    }
    let _ = has_proof;
    let invalid = invalid();
    let challenges = invalid.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let schemes: Vec<_> =
        challenges.filter_map(|challenge| challenge.to_str().ok()?.split(' ').next()).collect();
    let accepts_bearer = schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Bearer"));
    if let (Some(scheme), false) = (schemes.first(), accepts_bearer) {
        rename(&mut response.headers, scheme, "");
    }
}

fn rename(headers: &mut HeaderMap, scheme: &str, more_parameters: &str) {
    // `HeaderMap::entry` panics if the response has as many fields as it can have.
    for (_, challenge) in headers.iter_mut().filter(|(name, _)| **name == header::WWW_AUTHENTICATE)
    {
        let renamed = match challenge.to_str().ok().and_then(|text| text.strip_prefix("Bearer")) {
            Some("") if more_parameters.is_empty() => scheme.to_owned(),
            Some(rest) if rest.starts_with(' ') && rest.contains("error=\"insufficient_") => {
                format!("{scheme}{rest}{more_parameters}")
            }
            _ => continue,
        };
        if let Ok(renamed) = HeaderValue::try_from(renamed) {
            *challenge = renamed;
        }
    }
}
