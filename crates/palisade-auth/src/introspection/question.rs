use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use serde::Deserialize;
use serde_json::Value;

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

/// What an issuer says about a token before its claims are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IntrospectionResponse {
    Inactive,
    /// The token is active, and is not an access token.
    AnotherKind(String),
    Active {
        /// The token is bound to a key by DPoP (RFC 9449, section 5), also if the answer does not contain the key.
        is_dpop: bool,
    },
}

/// Why an answer cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InvalidResponse {
    /// The answer has too many bytes, which may depend on the token.
    TooLong,
    Unreadable(String),
}

/// Reads what the issuer says about a token (section 2.2). Without a boolean `active` it is not an answer: the token may be
/// valid.
pub(super) fn read(body: &[u8]) -> Result<IntrospectionResponse, InvalidResponse> {
    #[derive(Deserialize)]
    struct Members {
        active: bool,
        token_type: Option<Value>,
        token_use: Option<Value>,
        typ: Option<Value>,
    }
    if body.len() > MAX_ANSWER {
        return Err(InvalidResponse::TooLong);
    }
    let members: Members = serde_json::from_slice(body).map_err(|error| {
        InvalidResponse::Unreadable(format!("the answer cannot be read: {error}"))
    })?;
    if !members.active {
        return Ok(IntrospectionResponse::Inactive);
    }
    let kinds = [&members.token_type, &members.token_use, &members.typ];
    let mut kinds = kinds.into_iter().flatten().filter_map(Value::as_str);
    if let Some(kind) = kinds.clone().find(|kind| is_another_kind(kind)) {
        return Ok(IntrospectionResponse::AnotherKind(kind.chars().take(64).collect()));
    }
    Ok(IntrospectionResponse::Active {
        is_dpop: kinds.any(|kind| kind.eq_ignore_ascii_case("DPoP")),
    })
}

/// Returns true if a type of token is not that of an access token. Issuers do not agree on names: Keycloak sends `Refresh`,
/// `Offline` and `ID` in `typ`, Cognito `id` in `token_use`, Ory Hydra `refresh_token` in `token_use`, and others the names of
/// RFC 8693, section 3. A name that is not known is not the name of another kind.
fn is_another_kind(name: &str) -> bool {
    const OTHERS: [&str; 11] = [
        "refresh",
        "refreshtoken",
        "offline",
        "id",
        "idtoken",
        "logout",
        "logouttoken",
        "code",
        "authorizationcode",
        "initialaccesstoken",
        "registrationaccesstoken",
    ];
    let name = name.to_ascii_lowercase();
    name.split(|char: char| !char.is_ascii_alphanumeric()).any(|word| OTHERS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::client::ClientAuthentication;

    #[test]
    fn token_is_sent_as_a_form_parameter() {
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
    fn active_member_must_be_a_boolean() {
        let active = IntrospectionResponse::Active { is_dpop: false };
        assert_eq!(read(br#"{"active":true,"sub":"a"}"#), Ok(active));
        assert_eq!(read(br#"{"active":false,"sub":"a"}"#), Ok(IntrospectionResponse::Inactive));
        for body in [
            "",
            "{}",
            "true",
            "<html>",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true,"token_use":"access","token_use":"refresh"}"#,
            r#"{"active":true} x"#,
            r#"{"error":"invalid_client"}"#,
        ] {
            assert!(matches!(read(body.as_bytes()), Err(InvalidResponse::Unreadable(_))), "{body}");
        }
        let long = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(MAX_ANSWER));
        assert_eq!(read(long.as_bytes()), Err(InvalidResponse::TooLong));
    }

    #[test]
    fn only_access_tokens_are_accepted() {
        for kind in [
            "refresh_token",
            "refresh",
            "Refresh",
            "RefreshToken",
            "Offline",
            "ID",
            "id_token",
            "id",
            "Logout",
            "logout+jwt",
            "authorization_code",
            "RegistrationAccessToken",
            "urn:ietf:params:oauth:token-type:refresh_token",
            "urn:ietf:params:oauth:token-type:id_token",
        ] {
            assert!(is_another_kind(kind), "{kind}");
        }
        for kind in [
            "",
            "Bearer",
            "bearer",
            "DPoP",
            "access",
            "access_token",
            "at+jwt",
            "application/at+jwt",
            "JWT",
            "pop",
            "N_A",
            "urn:ietf:params:oauth:token-type:access_token",
            "urn:ietf:params:oauth:token-type:jwt",
        ] {
            assert!(!is_another_kind(kind), "{kind}");
        }
        for member in ["token_type", "token_use", "typ"] {
            let answer =
                |kind: &str| read(format!(r#"{{"active":true,"{member}":{kind}}}"#).as_bytes());
            assert_eq!(
                answer("\"Refresh\""),
                Ok(IntrospectionResponse::AnotherKind("Refresh".into())),
                "{member}"
            );
            assert_eq!(
                answer("\"dpop\""),
                Ok(IntrospectionResponse::Active { is_dpop: true }),
                "{member}"
            );
            for no_kind in ["null", "7", "[\"refresh\"]"] {
                assert_eq!(
                    answer(no_kind),
                    Ok(IntrospectionResponse::Active { is_dpop: false }),
                    "{no_kind}"
                );
            }
        }
    }
}
