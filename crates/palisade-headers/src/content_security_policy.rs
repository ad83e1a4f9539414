use palisade_core::ConfigError;

use crate::sources;

/// `Content-Security-Policy`: what a page may load and run ([CSP 3](https://www.w3.org/TR/CSP3/)).
///
/// Mistakes that browsers pass over in silence do not build: a keyword without its quotes, `'none'` beside something, a
/// directive twice, a nonce that is the same for everybody. Who may frame the page is [`Framing`](crate::Framing).
///
/// ```
/// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
///
/// let csp = ContentSecurityPolicy::default_src(["'self'"])
///     .img_src(["'self'", "data:", "https://images.example.com"])
///     .connect_src(["'self'", "https://api.example.com"]);
/// let security = SecurityHeaders::pages().content_security_policy(csp).build()?;
///
/// let unquoted = ContentSecurityPolicy::default_src(["self"]);
/// let error = SecurityHeaders::pages().content_security_policy(unquoted).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "default_src `self` is not valid: write `'self'`, in lower case and with the quotes"
/// );
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `SecurityHeadersBuilder::content_security_policy`"]
pub struct ContentSecurityPolicy {
    directives: Vec<Directive>,
    upgrade_insecure_requests: bool,
    report_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Directive {
    /// The method's name, for errors.
    setting: &'static str,
    name: &'static str,
    sources: Vec<String>,
}

macro_rules! directives {
    ($($(#[$doc:meta])* $method:ident, $name:literal;)*) => {$(
        $(#[$doc])*
        pub fn $method<I>(self, sources: I) -> Self
        where
            I: IntoIterator<Item: AsRef<str>>,
        {
            self.with(stringify!($method), $name, sources)
        }
    )*};
}

impl ContentSecurityPolicy {
    /// Starts with what holds where no other directive says more: `default-src`. Nothing at all is `["'none'"]`.
    pub fn default_src<I>(sources: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let nothing =
            Self { directives: Vec::new(), upgrade_insecure_requests: false, report_to: None };
        nothing.with("default_src", "default-src", sources)
    }

    directives! {
        /// What `<base>` may be. Not covered by `default-src`.
        base_uri, "base-uri";
        /// What may be asked for by `fetch`, `WebSocket`, `EventSource` and `sendBeacon`.
        connect_src, "connect-src";
        /// Where fonts come from.
        font_src, "font-src";
        /// Where forms may be sent. Not covered by `default-src`.
        form_action, "form-action";
        /// What may be shown in frames.
        frame_src, "frame-src";
        /// Where images come from.
        img_src, "img-src";
        /// Where the application's manifest comes from.
        manifest_src, "manifest-src";
        /// Where audio and video come from.
        media_src, "media-src";
        /// Where plug-ins come from.
        object_src, "object-src";
        /// Where scripts come from.
        script_src, "script-src";
        /// Whether attributes such as `onclick` may hold scripts.
        script_src_attr, "script-src-attr";
        /// Where styles come from.
        style_src, "style-src";
        /// Where workers come from.
        worker_src, "worker-src";
    }

    /// Asks for what the page names by http with https instead. For pages that are served over https only
    /// ([Upgrade Insecure Requests](https://www.w3.org/TR/upgrade-insecure-requests/)).
    pub fn upgrade_insecure_requests(mut self) -> Self {
        self.upgrade_insecure_requests = true;
        self
    }

    /// Reports violations to this endpoint of the response's `Reporting-Endpoints`
    /// ([CSP 3, section 6.5.2](https://www.w3.org/TR/CSP3/#directive-report-to)).
    pub fn report_to(mut self, endpoint: impl Into<String>) -> Self {
        self.report_to = Some(endpoint.into());
        self
    }

    fn with<I>(mut self, setting: &'static str, name: &'static str, sources: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let sources = sources.into_iter().map(|source| source.as_ref().to_owned()).collect();
        self.directives.push(Directive { setting, name, sources });
        self
    }

    /// The header's text, without `frame-ancestors`.
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        let mut parts = Vec::with_capacity(self.directives.len() + 2);
        for (place, Directive { setting, name, sources }) in self.directives.iter().enumerate() {
            sources::check(setting, sources)?;
            if self.directives[..place].iter().any(|other| other.name == *name) {
                return Err(ConfigError::without_value(
                    setting,
                    "say it once; browsers pass over the second (CSP 3, section 2.2.1)",
                ));
            }
            parts.push(format!("{name} {}", sources.join(" ")));
        }
        if self.upgrade_insecure_requests {
            parts.push("upgrade-insecure-requests".to_owned());
        }
        if let Some(endpoint) = &self.report_to {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte);
            if endpoint.is_empty() || !endpoint.bytes().all(fits) {
                return Err(ConfigError::new(
                    "report_to",
                    endpoint,
                    "name an endpoint of `Reporting-Endpoints`, not an address",
                ));
            }
            parts.push(format!("report-to {endpoint}"));
        }
        Ok(parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_written_in_the_order_in_which_they_are_set() {
        let csp = ContentSecurityPolicy::default_src(["'none'"])
            .script_src(["'self'", "https://cdn.example.com"])
            .upgrade_insecure_requests()
            .report_to("csp");
        assert_eq!(
            csp.text().unwrap(),
            "default-src 'none'; script-src 'self' https://cdn.example.com; \
             upgrade-insecure-requests; report-to csp"
        );
    }

    #[test]
    fn a_directive_that_browsers_would_pass_over_does_not_build() {
        let none = || ContentSecurityPolicy::default_src(["'none'"]);
        for (csp, setting) in [
            (none().script_src(["'self'"]).script_src(["*"]), "script_src"),
            (none().img_src([""; 0]), "img_src"),
            (none().style_src(["unsafe-inline"]), "style_src"),
            (none().report_to("https://example.com/csp"), "report_to"),
            (none().report_to("csp; script-src *"), "report_to"),
            (none().report_to(""), "report_to"),
        ] {
            assert_eq!(csp.text().unwrap_err().setting(), setting);
        }
    }
}
