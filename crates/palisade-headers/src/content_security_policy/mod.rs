//! `Content-Security-Policy`.

mod nonce;
mod text;
mod tokens;

use palisade_core::ConfigError;

pub use nonce::CspNonce;
pub(crate) use text::CspText;
pub(crate) use tokens::{REPORT_ADDRESS, check_endpoint, is_report_address};

use crate::sources::{self, About};

/// `Content-Security-Policy`: the resources that a page may load and run ([CSP 3](https://www.w3.org/TR/CSP3/)).
///
/// Mistakes that browsers silently ignore are errors at build: a keyword without quotes or in a directive without a meaning for
/// it, a source that does not match the grammar of CSP (`https:/x`, `*.*.example.com`, `//cdn.example.com`), `'none'` with
/// other sources, a duplicate directive, a fixed nonce. [`Framing`](crate::Framing) sets the pages that may frame the page.
///
/// ```
/// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
///
/// let csp = ContentSecurityPolicy::default_src(["'self'"])
///     .script_src([ContentSecurityPolicy::NONCE, "'strict-dynamic'"])
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Directive {
    /// The method's name, for errors.
    setting: &'static str,
    name: &'static str,
    values: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sources(About),
    Sandbox,
    TrustedTypes,
    ReportTo,
    ReportUri,
    /// The directive needs no check.
    Fixed,
}

macro_rules! directives {
    ($about:ident: $($(#[$doc:meta])* $method:ident, $name:literal;)*) => {$(
        $(#[$doc])*
        pub fn $method<I>(self, sources: I) -> Self
        where
            I: IntoIterator<Item: AsRef<str>>,
        {
            self.with(stringify!($method), $name, Kind::Sources(About::$about), sources)
        }
    )*};
}

impl ContentSecurityPolicy {
    /// A source that stands for the nonce of each response: `'nonce-…'`. Handlers read it as [`CspNonce`].
    ///
    /// ```
    /// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
    ///
    /// let csp = ContentSecurityPolicy::default_src(["'self'"])
    ///     .script_src([ContentSecurityPolicy::NONCE])
    ///     .style_src(["'self'", ContentSecurityPolicy::NONCE]);
    /// let security = SecurityHeaders::pages().content_security_policy(csp).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub const NONCE: &str = sources::NONCE;

    /// Creates a policy with `default-src`, the fallback of other directives. Use `["'none'"]` to allow nothing.
    pub fn default_src<I>(sources: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let kind = Kind::Sources(About::Everything);
        Self { directives: Vec::new() }.with("default_src", "default-src", kind, sources)
    }

    directives! { Scripts:
        /// The places scripts come from.
        script_src, "script-src";
        /// Sets whether attributes such as `onclick` may contain scripts. Falls back to `script-src`.
        script_src_attr, "script-src-attr";
        /// The places of `<script>` elements. Falls back to `script-src`.
        script_src_elem, "script-src-elem";
    }

    directives! { Styles:
        /// The places styles come from.
        style_src, "style-src";
        /// Sets whether `style` attributes are applied. Falls back to `style-src`.
        style_src_attr, "style-src-attr";
        /// The places of `<style>` elements and style sheets. Falls back to `style-src`.
        style_src_elem, "style-src-elem";
    }

    directives! { Places:
        /// The URLs that `<base>` may set. Not covered by `default-src`.
        base_uri, "base-uri";
        /// The places of frames and workers. Falls back to `default-src`.
        child_src, "child-src";
        /// The places that `fetch`, `WebSocket`, `EventSource` and `sendBeacon` may connect to.
        connect_src, "connect-src";
        /// The places fonts come from.
        font_src, "font-src";
        /// The places that forms may be sent to. Not covered by `default-src`.
        form_action, "form-action";
        /// The places of frames inside of the page.
        frame_src, "frame-src";
        /// The places images come from.
        img_src, "img-src";
        /// The place of the application's manifest.
        manifest_src, "manifest-src";
        /// The places audio and video come from.
        media_src, "media-src";
        /// The places plug-ins come from.
        object_src, "object-src";
        /// The places workers come from. Falls back to `child-src`, then to `script-src`.
        worker_src, "worker-src";
    }

    /// Treats the page as if it were in a sandboxed frame, except for these flags, such as `allow-scripts`
    /// ([HTML, sandboxing](https://html.spec.whatwg.org/multipage/browsers.html#sandboxing)). No flag forbids everything.
    /// Browsers ignore it in a policy that only reports, where it does not build.
    ///
    /// ```
    /// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
    ///
    /// // uploads of users, which must never run as pages of this origin
    /// let csp = ContentSecurityPolicy::default_src(["'none'"]).sandbox(["allow-downloads"]);
    /// let uploads = SecurityHeaders::api().content_security_policy(csp).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn sandbox<I>(self, flags: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.with("sandbox", "sandbox", Kind::Sandbox, flags)
    }

    /// Requires that strings are made by a policy of [Trusted Types](https://www.w3.org/TR/trusted-types/) before they
    /// reach a sink such as `innerHTML`: `require-trusted-types-for 'script'`.
    pub fn require_trusted_types_for_script(self) -> Self {
        self.with(
            "require_trusted_types_for_script",
            "require-trusted-types-for",
            Kind::Fixed,
            ["'script'"],
        )
    }

    /// Limits the [Trusted Types](https://www.w3.org/TR/trusted-types/) policies that scripts may create to these names. `*`
    /// allows every name, `'allow-duplicates'` a second policy of a name, `'none'` no policy at all.
    ///
    /// ```
    /// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
    ///
    /// let csp = ContentSecurityPolicy::default_src(["'self'"])
    ///     .require_trusted_types_for_script()
    ///     .trusted_types(["default", "dompurify"]);
    /// let security = SecurityHeaders::pages().content_security_policy(csp).build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn trusted_types<I>(self, policies: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.with("trusted_types", "trusted-types", Kind::TrustedTypes, policies)
    }

    /// Makes browsers use https for http URLs of the page. For pages that are served over https only ([Upgrade Insecure
    /// Requests](https://www.w3.org/TR/upgrade-insecure-requests/)). It is an error in a report-only policy, where browsers
    /// ignore it.
    pub fn upgrade_insecure_requests(self) -> Self {
        let nothing: [&str; 0] = [];
        let name = "upgrade-insecure-requests";
        self.with("upgrade_insecure_requests", name, Kind::Fixed, nothing)
    }

    /// Reports violations to this endpoint, which
    /// [`reporting_endpoint`](crate::SecurityHeadersBuilder::reporting_endpoint) defines
    /// ([CSP 3, section 6.5.2](https://www.w3.org/TR/CSP3/#directive-report-to)).
    pub fn report_to(self, endpoint: impl Into<String>) -> Self {
        self.with("report_to", "report-to", Kind::ReportTo, [endpoint.into()])
    }

    /// Reports violations to these addresses, for browsers without [`report_to`](Self::report_to). Other browsers ignore it if
    /// both are present ([CSP 3, section 6.5.1](https://www.w3.org/TR/CSP3/#directive-report-uri)).
    pub fn report_uri<I>(self, addresses: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.with("report_uri", "report-uri", Kind::ReportUri, addresses)
    }

    fn with<I>(mut self, setting: &'static str, name: &'static str, kind: Kind, values: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let values = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
        self.directives.push(Directive { setting, name, values, kind });
        self
    }

    /// Checks the policy and returns the header's text, without `frame-ancestors`.
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        let mut parts = Vec::with_capacity(self.directives.len());
        for (place, directive) in self.directives.iter().enumerate() {
            directive.check()?;
            if self.directives[..place].iter().any(|other| other.name == directive.name) {
                return Err(ConfigError::without_value(
                    directive.setting,
                    "add it once; browsers ignore the second (CSP 3, section 2.2.1)",
                ));
            }
            let words = std::iter::once(directive.name);
            let words = words.chain(directive.values.iter().map(String::as_str));
            parts.push(words.collect::<Vec<_>>().join(" "));
        }
        Ok(parts.join("; "))
    }

    /// Returns the text of a report-only policy.
    pub(crate) fn report_only_text(&self) -> Result<String, ConfigError> {
        let ignored = ["sandbox", "upgrade-insecure-requests"];
        let found = self.directives.iter().find(|directive| ignored.contains(&directive.name));
        if let Some(directive) = found {
            return Err(ConfigError::without_value(
                directive.setting,
                "leave it out; browsers ignore it in a policy that only reports",
            ));
        }
        let text = self.text()?;
        if !self.directives.iter().any(|it| matches!(it.kind, Kind::ReportTo | Kind::ReportUri)) {
            return Err(ConfigError::without_value(
                "content_security_policy_report_only",
                "add report_to() or report_uri(); without them it reports to no address, and browsers ignore it",
            ));
        }
        Ok(text)
    }

    /// Returns the endpoint that [`report_to`](Self::report_to) names.
    pub(crate) fn report_endpoint(&self) -> Option<&str> {
        let directive =
            self.directives.iter().find(|directive| directive.kind == Kind::ReportTo)?;
        directive.values.first().map(String::as_str)
    }
}

impl Directive {
    fn check(&self) -> Result<(), ConfigError> {
        match self.kind {
            Kind::Sources(about) => sources::check(self.setting, about, &self.values),
            Kind::Sandbox => tokens::check_sandbox(&self.values),
            Kind::TrustedTypes => tokens::check_trusted_types(&self.values),
            Kind::ReportTo => {
                self.values.iter().try_for_each(|it| check_endpoint(self.setting, it))
            }
            Kind::ReportUri => tokens::check_report_uri(&self.values),
            Kind::Fixed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_written_in_the_order_of_the_calls() {
        let csp = ContentSecurityPolicy::default_src(["'none'"])
            .script_src(["'self'", "https://cdn.example.com"])
            .script_src_elem(["'self'"])
            .sandbox(["allow-scripts", "allow-forms"])
            .trusted_types(["default", "dompurify#1", "'allow-duplicates'"])
            .require_trusted_types_for_script()
            .upgrade_insecure_requests()
            .report_uri(["/reports", "https://reports.example.com/csp?v=1"])
            .report_to("csp");
        assert_eq!(
            csp.text().unwrap(),
            "default-src 'none'; script-src 'self' https://cdn.example.com; script-src-elem 'self'; \
             sandbox allow-scripts allow-forms; trusted-types default dompurify#1 'allow-duplicates'; \
             require-trusted-types-for 'script'; upgrade-insecure-requests; \
             report-uri /reports https://reports.example.com/csp?v=1; report-to csp"
        );
        let nothing: [&str; 0] = [];
        let csp = ContentSecurityPolicy::default_src(["*"]).sandbox(nothing).trusted_types(nothing);
        assert_eq!(csp.text().unwrap(), "default-src *; sandbox; trusted-types");
    }

    #[test]
    fn directives_that_browsers_ignore_are_config_errors() {
        let none = || ContentSecurityPolicy::default_src(["'none'"]);
        for (csp, setting) in [
            (none().script_src(["'self'"]).script_src(["*"]), "script_src"),
            (none().img_src([""; 0]), "img_src"),
            (none().img_src(["'unsafe-inline'"]), "img_src"),
            (none().style_src(["'unsafe-eval'"]), "style_src"),
            (none().style_src(["unsafe-inline"]), "style_src"),
            (none().connect_src(["https:/x"]), "connect_src"),
            (none().base_uri(["*.*.example.com"]), "base_uri"),
            (none().form_action(["//cdn.example.com"]), "form_action"),
            (none().sandbox(["allow-script"]), "sandbox"),
            (none().sandbox(["allow-scripts; script-src *"]), "sandbox"),
            (none().sandbox(["allow-scripts", "allow-scripts"]), "sandbox"),
            (none().sandbox(["allow-forms"]).sandbox([""; 0]), "sandbox"),
            (none().trusted_types(["my policy"]), "trusted_types"),
            (none().trusted_types(["'none'", "a"]), "trusted_types"),
            (none().trusted_types(["allow-duplicates"]), "trusted_types"),
            (none().trusted_types(["a", "a"]), "trusted_types"),
            (none().report_to("https://example.com/csp"), "report_to"),
            (none().report_to("csp; script-src *"), "report_to"),
            (none().report_to("CSP"), "report_to"),
            (none().report_to(""), "report_to"),
            (none().report_to("a").report_to("b"), "report_to"),
            (none().report_uri([""; 0]), "report_uri"),
            (none().report_uri(["reports csp"]), "report_uri"),
            (none().report_uri(["/a; script-src *"]), "report_uri"),
            (none().report_uri(["ftp://example.com"]), "report_uri"),
        ] {
            assert_eq!(csp.text().unwrap_err().setting(), setting, "{csp:?}");
        }
    }

    #[test]
    fn directives_ignored_in_report_only_are_config_errors() {
        let none = || ContentSecurityPolicy::default_src(["'none'"]);
        assert!(none().report_uri(["/reports"]).report_only_text().is_ok());
        let error = none().report_only_text().unwrap_err();
        assert_eq!(error.setting(), "content_security_policy_report_only");
        for (csp, setting) in [
            (none().sandbox([""; 0]), "sandbox"),
            (none().upgrade_insecure_requests(), "upgrade_insecure_requests"),
        ] {
            assert_eq!(csp.report_only_text().unwrap_err().setting(), setting);
        }
    }
}
