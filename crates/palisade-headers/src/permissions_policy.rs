use http::HeaderValue;
use palisade_core::{ConfigError, Origin};

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
    /// Forbids these features, also to the page itself.
    pub fn deny<I>(features: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let features = features.into_iter();
        Self { features: features.map(|it| (it.as_ref().to_owned(), Vec::new())).collect() }
    }

    /// Allows this feature to the page, and to its frames of the same origin.
    pub fn allow_self(self, feature: impl AsRef<str>) -> Self {
        self.allow(feature, ["self"])
    }

    /// Allows this feature for frames of these origins, which may begin with `https://*.`. The page itself is `self`.
    ///
    /// Write origins as browsers send them. Values that browsers would ignore, including unknown features, are an error at
    /// build.
    pub fn allow<I>(mut self, feature: impl AsRef<str>, origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let origins = origins.into_iter().map(|origin| origin.as_ref().to_owned()).collect();
        self.features.push((feature.as_ref().to_owned(), origins));
        self
    }

    pub(crate) fn value(&self) -> Result<HeaderValue, ConfigError> {
        let mut members: Vec<String> = Vec::with_capacity(self.features.len());
        for (place, (feature, origins)) in self.features.iter().enumerate() {
            check_feature(feature)?;
            if self.features[..place].iter().any(|(other, _)| other == feature) {
                return Err(ConfigError::new(SETTING, feature, "name it once"));
            }
            for (place, origin) in origins.iter().enumerate() {
                let wrong = |remedy: String| ConfigError::new(SETTING, origin, remedy);
                check_member(origin).map_err(wrong)?;
                if origins[..place].contains(origin) {
                    return Err(wrong("list it once".to_owned()));
                }
            }
            // RFC 9651: an inner list of the token `self` and of strings.
            let member = |origin: &String| match origin.as_str() {
                "self" => origin.clone(),
                _ => format!("\"{origin}\""),
            };
            let list: Vec<String> = origins.iter().map(member).collect();
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

const SETTING: &str = "permissions_policy";

fn check_feature(feature: &str) -> Result<(), ConfigError> {
    if FEATURES.contains(&feature) {
        return Ok(());
    }
    let lower = feature.to_ascii_lowercase().replace('_', "-");
    Err(if FEATURES.contains(&lower.as_str()) {
        ConfigError::new(SETTING, feature, format!("write `{lower}`"))
    } else {
        ConfigError::new(
            SETTING,
            feature,
            "name a feature that browsers know, such as `camera`; they ignore all others. For one that is newer than this \
             list, write the header yourself: header(\"permissions-policy\", ...)",
        )
    })
}

/// `self`, or an origin whose host may begin with `*.`
/// ([Permissions Policy, section 5.2](https://www.w3.org/TR/permissions-policy/#structured-header-serialization)).
fn check_member(origin: &str) -> Result<(), String> {
    if origin == "self" {
        return Ok(());
    }
    match origin.trim_matches(['\'', '"']) {
        "self" => return Err("write `self`; quotes are for CSP".to_owned()),
        "none" => return Err("call deny() with the feature, or list no origin".to_owned()),
        "*" => {
            return Err(
                "list the origins; a feature for all pages of the web needs no policy".to_owned()
            );
        }
        "src" => {
            return Err("remove it: it has an effect only in the `allow` of a frame".to_owned());
        }
        _ => {}
    }
    let (scheme, host) = origin.split_once("://").unwrap_or(("", origin));
    let exact = host.strip_prefix("*.").map(|host| format!("{scheme}://{host}"));
    Origin::parse(exact.as_deref().unwrap_or(origin)).map(|_| ()).map_err(|error| error.to_string())
}

/// The features that browsers support, including those of Chromium on any platform
/// ([registry](https://github.com/w3c/webappsec-permissions-policy/blob/main/features.md)). Browsers ignore other names, so a
/// feature with a typing error would stay allowed. Names of the registry that no browser supports are omitted.
const FEATURES: &[&str] = &[
    "accelerometer",
    "ambient-light-sensor",
    "aria-notify",
    "attribution-reporting",
    "autoplay",
    "bluetooth",
    "browsing-topics",
    "camera",
    "captured-surface-control",
    "ch-device-memory",
    "ch-downlink",
    "ch-dpr",
    "ch-ect",
    "ch-prefers-color-scheme",
    "ch-prefers-reduced-motion",
    "ch-prefers-reduced-transparency",
    "ch-rtt",
    "ch-save-data",
    "ch-ua",
    "ch-ua-arch",
    "ch-ua-bitness",
    "ch-ua-form-factors",
    "ch-ua-full-version",
    "ch-ua-full-version-list",
    "ch-ua-mobile",
    "ch-ua-model",
    "ch-ua-platform",
    "ch-ua-platform-version",
    "ch-ua-wow64",
    "ch-viewport-height",
    "ch-viewport-width",
    "ch-width",
    "clipboard-read",
    "clipboard-write",
    "compute-pressure",
    "cross-origin-isolated",
    "deferred-fetch",
    "deferred-fetch-minimal",
    "digital-credentials-create",
    "digital-credentials-get",
    "display-capture",
    "document-domain",
    "encrypted-media",
    "focus-without-user-activation",
    "fullscreen",
    "gamepad",
    "geolocation",
    "gyroscope",
    "hid",
    "identity-credentials-get",
    "idle-detection",
    "interest-cohort",
    "join-ad-interest-group",
    "keyboard-map",
    "language-detector",
    "language-model",
    "local-fonts",
    "local-network",
    "local-network-access",
    "loopback-network",
    "magnetometer",
    "microphone",
    "midi",
    "on-device-speech-recognition",
    "otp-credentials",
    "payment",
    "picture-in-picture",
    "private-aggregation",
    "private-state-token-issuance",
    "private-state-token-redemption",
    "publickey-credentials-create",
    "publickey-credentials-get",
    "rewriter",
    "run-ad-auction",
    "screen-wake-lock",
    "serial",
    "shared-storage",
    "shared-storage-select-url",
    "speaker-selection",
    "storage-access",
    "summarizer",
    "sync-xhr",
    "translator",
    "unload",
    "usb",
    "web-app-installation",
    "web-share",
    "window-management",
    "writer",
    "xr-spatial-tracking",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_written_as_a_structured_dictionary() {
        let policy = PermissionsPolicy::deny(["camera"])
            .allow_self("geolocation")
            .allow("payment", ["self", "https://pay.example.com", "https://*.example.org:8443"]);
        assert_eq!(
            policy.value().unwrap(),
            "camera=(), geolocation=(self), payment=(self \"https://pay.example.com\" \
             \"https://*.example.org:8443\")"
        );
    }

    #[test]
    fn features_that_browsers_misread_are_config_errors() {
        let none = || PermissionsPolicy::deny(["camera"]);
        for policy in [
            PermissionsPolicy::deny([""; 0]),
            PermissionsPolicy::deny([""]),
            PermissionsPolicy::deny(["Camera"]),
            PermissionsPolicy::deny(["camera=*, geolocation"]),
            PermissionsPolicy::deny(["camera", "camera"]),
            PermissionsPolicy::deny(["camra"]),
            PermissionsPolicy::deny(["navigation-override"]), // in the registry, and in no browser
            PermissionsPolicy::deny(["display_capture"]),
            none().allow_self("camera"),
            none().allow("usb", ["self", "self"]),
            none().allow("usb", ["none"]),
            none().allow("usb", ["src"]),
            none().allow("usb", ["a.example"]),
            none().allow("usb", ["https:"]),
            none().allow("usb", ["https:/a.example"]),
            none().allow("usb", ["//a.example"]),
            none().allow("usb", ["https://*"]),
            none().allow("usb", ["https://*.*.example.com"]),
            none().allow("usb", ["https://a.*.example.com"]),
            none().allow("usb", ["https://A.example"]),
            none().allow("usb", ["https://a.example:443"]),
            none().allow("usb", ["https://a.example:99999"]),
            none().allow("usb", ["https://a..example"]),
            none().allow("usb", ["'self'"]),
            none().allow("usb", ["*"]),
            none().allow("usb", ["https://a.example\" *"]),
            none().allow("usb", ["https://a.example/\r\nx: y"]),
        ] {
            assert_eq!(policy.value().unwrap_err().setting(), "permissions_policy");
        }
    }
}
