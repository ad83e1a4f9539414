use http::HeaderValue;
use palisade_core::ConfigError;

use crate::sources;

/// `Permissions-Policy`: which of the browser's features a page and its frames may use
/// ([Permissions Policy, section 5](https://www.w3.org/TR/permissions-policy/#permissions-policy-http-header-field)).
///
/// ```
/// use palisade_headers::{PermissionsPolicy, SecurityHeaders};
///
/// let permissions = PermissionsPolicy::deny(["camera", "microphone"])
///     .allow_self("geolocation")
///     .allow("payment", ["self", "https://pay.example.com"]);
/// let security = SecurityHeaders::pages().permissions_policy(permissions).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `SecurityHeadersBuilder::permissions_policy`"]
pub struct PermissionsPolicy {
    features: Vec<(String, Vec<String>)>,
}

impl PermissionsPolicy {
    /// Nobody uses these features, the page itself included.
    pub fn deny<I>(features: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let features = features.into_iter();
        Self { features: features.map(|it| (it.as_ref().to_owned(), Vec::new())).collect() }
    }

    /// The page uses this feature, and its frames of the same origin.
    pub fn allow_self(self, feature: impl AsRef<str>) -> Self {
        self.allow(feature, ["self"])
    }

    /// Pages of these origins use this feature. The page itself is `self`.
    pub fn allow<I>(mut self, feature: impl AsRef<str>, origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let origins = origins.into_iter().map(|origin| origin.as_ref().to_owned()).collect();
        self.features.push((feature.as_ref().to_owned(), origins));
        self
    }

    pub(crate) fn value(&self) -> Result<HeaderValue, ConfigError> {
        const SETTING: &str = "permissions_policy";
        let mut members: Vec<String> = Vec::with_capacity(self.features.len());
        for (place, (feature, origins)) in self.features.iter().enumerate() {
            let wrong = |remedy: &'static str| ConfigError::new(SETTING, feature, remedy);
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !feature.starts_with(|first: char| first.is_ascii_lowercase())
                || !feature.bytes().all(fits)
            {
                return Err(wrong("name a feature in lower case, as in `display-capture`"));
            }
            if self.features[..place].iter().any(|(other, _)| other == feature) {
                return Err(wrong("name it once"));
            }
            for origin in origins.iter().filter(|origin| *origin != "self") {
                if origin.trim_matches('\'') == "self" {
                    let remedy = "write `self`; quotes are for CSP";
                    return Err(ConfigError::new(SETTING, origin, remedy));
                }
                sources::check_origin(origin)
                    .map_err(|remedy| ConfigError::new(SETTING, origin, remedy))?;
            }
            // RFC 8941: an inner list of the token `self` and of strings.
            let list: Vec<String> = origins
                .iter()
                .map(
                    |origin| {
                        if origin == "self" { origin.clone() } else { format!("\"{origin}\"") }
                    },
                )
                .collect();
            members.push(format!("{feature}=({})", list.join(" ")));
        }
        if members.is_empty() {
            return Err(ConfigError::without_value(SETTING, "name a feature, or leave it out"));
        }
        let text = members.join(", ");
        HeaderValue::try_from(text.as_str())
            .map_err(|_| ConfigError::new(SETTING, text, "it is no header value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_members_of_a_dictionary() {
        let policy = PermissionsPolicy::deny(["camera"])
            .allow_self("geolocation")
            .allow("payment", ["self", "https://pay.example.com"]);
        assert_eq!(
            policy.value().unwrap(),
            "camera=(), geolocation=(self), payment=(self \"https://pay.example.com\")"
        );
    }

    #[test]
    fn what_would_be_misread_does_not_build() {
        let none = || PermissionsPolicy::deny(["camera"]);
        for policy in [
            PermissionsPolicy::deny([""; 0]),
            PermissionsPolicy::deny([""]),
            PermissionsPolicy::deny(["Camera"]),
            PermissionsPolicy::deny(["camera=*, geolocation"]),
            PermissionsPolicy::deny(["camera", "camera"]),
            none().allow_self("camera"),
            none().allow("usb", ["'self'"]),
            none().allow("usb", ["*"]),
            none().allow("usb", ["https://a.example\" *"]),
            none().allow("usb", ["https://a.example/\r\nx: y"]),
        ] {
            assert_eq!(policy.value().unwrap_err().setting(), "permissions_policy");
        }
    }
}
