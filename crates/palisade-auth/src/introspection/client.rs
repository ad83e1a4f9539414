use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use palisade_core::{ConfigError, Secret};

/// How the service authenticates to the issuer (RFC 7662, section 2.1).
pub(super) enum ClientAuthentication {
    /// `client_secret_basic` (RFC 6749, section 2.3.1).
    Basic { id: String, secret: Secret },
    /// `client_secret_post` (the same section).
    Post { id: String, secret: Secret },
    /// An access token of the service itself (RFC 6750).
    Bearer(Secret),
}

/// Client authentication as it is sent.
pub(super) enum ReadyAuthentication {
    Header(HeaderValue),
    Form { id: String, secret: Secret },
}

impl ClientAuthentication {
    pub(super) fn build(self) -> Result<ReadyAuthentication, ConfigError> {
        let (setting, value) = match self {
            Self::Basic { id, secret } => {
                check("client_secret_basic", &id, &secret)?;
                // Both are form-encoded first, so that an id may contain a colon (RFC 6749, section 2.3.1).
                let pair = format!("{}:{}", encode(id.as_bytes()), encode(bytes(&secret)));
                ("client_secret_basic", format!("Basic {}", STANDARD.encode(pair)))
            }
            Self::Post { id, secret } => {
                check("client_secret_post", &id, &secret)?;
                return Ok(ReadyAuthentication::Form { id, secret });
            }
            Self::Bearer(token) => {
                check("bearer_token", "-", &token)?;
                ("bearer_token", format!("Bearer {}", String::from_utf8_lossy(bytes(&token))))
            }
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            ConfigError::without_value(setting, "use characters that a header can contain")
        })?;
        value.set_sensitive(true);
        Ok(ReadyAuthentication::Header(value))
    }
}

impl ReadyAuthentication {
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        match self {
            Self::Header(value) => Some(value),
            Self::Form { .. } => None,
        }
    }

    /// Returns the fields to add to the form.
    pub(super) fn form(&self) -> Vec<(&'static str, &[u8])> {
        match self {
            Self::Header(_) => Vec::new(),
            Self::Form { id, secret } => {
                vec![("client_id", id.as_bytes()), ("client_secret", bytes(secret))]
            }
        }
    }
}

fn check(setting: &'static str, id: &str, secret: &Secret) -> Result<(), ConfigError> {
    if id.is_empty() || secret.is_empty() {
        return Err(ConfigError::without_value(
            setting,
            "it is empty: write the id and the secret that the issuer has registered",
        ));
    }
    Ok(())
}

fn encode(bytes: &[u8]) -> String {
    form_urlencoded::byte_serialize(bytes).collect()
}

#[allow(clippy::disallowed_methods, reason = "the secret goes into the request to the issuer")]
fn bytes(secret: &Secret) -> &[u8] {
    secret.expose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(authentication: ClientAuthentication) -> String {
        let ready = authentication.build().unwrap();
        let value = ready.header().unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn basic_encodes_id_and_secret_as_forms() {
        let basic = ClientAuthentication::Basic { id: "a:b c".into(), secret: "p%w/ü".into() };
        let expected = STANDARD.encode("a%3Ab+c:p%25w%2F%C3%BC");
        assert_eq!(header(basic), format!("Basic {expected}"));
        let plain = ClientAuthentication::Basic { id: "orders".into(), secret: "s3cr-t_".into() };
        assert_eq!(header(plain), format!("Basic {}", STANDARD.encode("orders:s3cr-t_")));
    }

    #[test]
    fn rejects_empty_credentials_and_line_breaks() {
        for (authentication, setting) in [
            (
                ClientAuthentication::Basic { id: String::new(), secret: "s".into() },
                "client_secret_basic",
            ),
            (
                ClientAuthentication::Post { id: "a".into(), secret: "".into() },
                "client_secret_post",
            ),
            (ClientAuthentication::Bearer("".into()), "bearer_token"),
            (ClientAuthentication::Bearer("a\r\nb".into()), "bearer_token"),
        ] {
            let Err(error) = authentication.build() else { panic!("{setting}") };
            assert_eq!(error.setting(), setting);
        }
    }
}
