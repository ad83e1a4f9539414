use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use palisade_core::BoxError;
use serde::Deserialize;

use super::client::ReadyAuthentication;

/// The longest answer that is accepted. Real ones have a few hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Returns the request about a token (RFC 7662, section 2.1).
pub(super) fn request(
    endpoint: &Uri,
    authentication: &ReadyAuthentication,
    token: &str,
) -> Request<Bytes> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token).append_pair("token_type_hint", "access_token");
    let mut form = form.finish();
    for (name, value) in authentication.form() {
        form.push('&');
        form.push_str(name);
        form.push('=');
        form.extend(form_urlencoded::byte_serialize(value));
    }
    let mut request = Request::new(Bytes::from(form));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.clone();
    let headers = request.headers_mut();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(value) = authentication.header() {
        headers.insert(header::AUTHORIZATION, value.clone());
    }
    request
}

/// Returns true if the answer says that the token is active (section 2.2). Without a boolean `active` it is not an answer: the
/// token may be valid.
pub(super) fn read(body: &[u8]) -> Result<bool, BoxError> {
    #[derive(Deserialize)]
    struct Members {
        active: bool,
    }
    if body.len() > MAX_ANSWER {
        return Err(format!("the answer has more than {MAX_ANSWER} bytes").into());
    }
    let members: Members = serde_json::from_slice(body)
        .map_err(|error| format!("the answer cannot be read: {error}"))?;
    Ok(members.active)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::client::ClientAuthentication;

    #[test]
    fn the_token_is_sent_as_a_form() {
        let endpoint = Uri::from_static("https://issuer.example/introspect");
        let bearer = ClientAuthentication::Bearer("own".into()).build().unwrap();
        let asked = request(&endpoint, &bearer, "a+/=b");
        assert_eq!(asked.method(), Method::POST);
        assert_eq!(*asked.body(), "token=a%2B%2F%3Db&token_type_hint=access_token");
        assert_eq!(asked.headers()[header::AUTHORIZATION], "Bearer own");
        let post = ClientAuthentication::Post { id: "a&b".into(), secret: "s=c".into() };
        let asked = request(&endpoint, &post.build().unwrap(), "t");
        assert_eq!(
            *asked.body(),
            "token=t&token_type_hint=access_token&client_id=a%26b&client_secret=s%3Dc"
        );
        assert!(!asked.headers().contains_key(header::AUTHORIZATION));
    }

    #[test]
    fn only_a_boolean_is_an_answer() {
        assert!(read(br#"{"active":true,"sub":"a"}"#).unwrap());
        assert!(!read(br#"{"active":false,"sub":"a"}"#).unwrap());
        for body in [
            "",
            "{}",
            "true",
            "<html>",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true} x"#,
            r#"{"error":"invalid_client"}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(MAX_ANSWER));
        assert!(read(long.as_bytes()).is_err());
    }
}
