use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};
use palisade_core::{ConfigError, TrustedProxies};

use super::{Csp, Fields, Https, RESOURCE_POLICY, Resource, SecurityHeaders};
use crate::{
    ContentSecurityPolicy, EmbedderPolicy, Framing, Hsts, OpenerPolicy, PermissionsPolicy,
    ReferrerPolicy, ResourcePolicy,
    content_security_policy::{CspText, REPORT_ADDRESS, check_endpoint, is_report_address},
};

/// Builds a [`SecurityHeaders`]. [`build`](SecurityHeadersBuilder::build) reports values that browsers would ignore.
///
/// ```
/// use palisade_headers::{OpenerPolicy, PermissionsPolicy, ReferrerPolicy, SecurityHeaders};
///
/// let security = SecurityHeaders::pages()
///     .always_https()
///     .referrer_policy(ReferrerPolicy::StrictOriginWhenCrossOrigin)
///     .opener_policy(OpenerPolicy::SameOriginAllowPopups)
///     .permissions_policy(PermissionsPolicy::deny(["camera", "microphone", "geolocation"]))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct SecurityHeadersBuilder {
    https: Https,
    hsts: Hsts,
    referrer_policy: ReferrerPolicy,
    framing: Framing,
    csp: ContentSecurityPolicy,
    csp_report_only: Option<ContentSecurityPolicy>,
    resource_policy: ResourcePolicy,
    resource_policy_follows_cors: bool,
    opener_policy: Option<OpenerPolicy>,
    embedder_policy: Option<EmbedderPolicy>,
    permissions_policy: Option<PermissionsPolicy>,
    reporting_endpoints: Vec<(String, String)>,
    legacy: bool,
    further: Vec<(HeaderName, HeaderValue)>,
    for_pages: bool,
    left_out: Vec<HeaderName>,
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const ORIGIN_AGENT_CLUSTER: HeaderName = HeaderName::from_static("origin-agent-cluster");
/// The header of Reporting API v0, which older Chromiums read.
const REPORT_TO: HeaderName = HeaderName::from_static("report-to");
const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");

/// The additional headers of helmet, for old clients.
const LEGACY: [(HeaderName, &str); 3] = [
    (HeaderName::from_static("x-dns-prefetch-control"), "off"),
    (HeaderName::from_static("x-download-options"), "noopen"),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
];

impl SecurityHeadersBuilder {
    pub(super) fn api() -> Self {
        Self {
            https: Https::ByUri,
            hsts: Hsts::default(),
            referrer_policy: ReferrerPolicy::NoReferrer,
            framing: Framing::by_nobody(),
            csp: ContentSecurityPolicy::default_src(["'none'"]),
            csp_report_only: None,
            resource_policy: ResourcePolicy::SameOrigin,
            resource_policy_follows_cors: true,
            opener_policy: None,
            embedder_policy: None,
            permissions_policy: None,
            reporting_endpoints: Vec::new(),
            legacy: false,
            further: Vec::new(),
            for_pages: false,
            left_out: Vec::new(),
        }
    }

    pub(super) fn pages() -> Self {
        Self {
            framing: Framing::by_same_origin(),
            csp: ContentSecurityPolicy::default_src(["'self'"])
                .base_uri(["'self'"])
                .form_action(["'self'"])
                .object_src(["'none'"]),
            opener_policy: Some(OpenerPolicy::SameOrigin),
            for_pages: true,
            ..Self::api()
        }
    }

    /// Declares that clients use https for all requests, also if TLS ends at a proxy.
    pub fn always_https(mut self) -> Self {
        self.https = Https::Always;
        self
    }

    /// Declares that TLS ends at these proxies, which send the client's scheme in `X-Forwarded-Proto`. The header of other
    /// peers is ignored.
    pub fn https_by_proxy(mut self, proxies: &TrustedProxies) -> Self {
        self.https = Https::AsTheProxiesSay(proxies.clone());
        self
    }

    /// Sets `Strict-Transport-Security`.
    pub fn hsts(mut self, hsts: Hsts) -> Self {
        self.hsts = hsts;
        self
    }

    /// Sets `Referrer-Policy`.
    pub fn referrer_policy(mut self, policy: ReferrerPolicy) -> Self {
        self.referrer_policy = policy;
        self
    }

    /// The pages that may show this one in a frame: `frame-ancestors` and `X-Frame-Options`.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sets `Content-Security-Policy`. Replaces that of the preset.
    pub fn content_security_policy(mut self, csp: ContentSecurityPolicy) -> Self {
        self.csp = csp;
        self
    }

    /// Sets `Content-Security-Policy-Report-Only`, in addition to the enforced policy: browsers report violations. It contains
    /// no `frame-ancestors`.
    pub fn content_security_policy_report_only(mut self, csp: ContentSecurityPolicy) -> Self {
        self.csp_report_only = Some(csp);
        self
    }

    /// Sets `Cross-Origin-Resource-Policy` for all responses. The preset's `same-origin` is replaced by `cross-origin` on
    /// responses with `Access-Control-Allow-Origin: *`.
    pub fn resource_policy(mut self, policy: ResourcePolicy) -> Self {
        self.resource_policy = policy;
        self.resource_policy_follows_cors = false;
        self
    }

    /// Sets `Cross-Origin-Opener-Policy`.
    pub fn opener_policy(mut self, policy: OpenerPolicy) -> Self {
        self.opener_policy = Some(policy);
        self
    }

    /// Sets `Cross-Origin-Embedder-Policy`, for isolated pages. Default: none.
    pub fn embedder_policy(mut self, policy: EmbedderPolicy) -> Self {
        self.embedder_policy = Some(policy);
        self
    }

    /// Sets `Permissions-Policy`. Default: none.
    pub fn permissions_policy(mut self, policy: PermissionsPolicy) -> Self {
        self.permissions_policy = Some(policy);
        self
    }

    /// Defines an endpoint that browsers send reports to, in `Reporting-Endpoints`
    /// ([Reporting API, section 3.2](https://www.w3.org/TR/reporting-1/#header)), such as the one that
    /// [`report_to`](ContentSecurityPolicy::report_to) names. The address begins with `https://`, or with `/` for this origin.
    ///
    /// ```
    /// use palisade_headers::{ContentSecurityPolicy, SecurityHeaders};
    ///
    /// let csp = ContentSecurityPolicy::default_src(["'self'"]).report_to("csp");
    /// let security = SecurityHeaders::pages()
    ///     .content_security_policy_report_only(csp)
    ///     .reporting_endpoint("csp", "/reports")
    ///     .build()?;
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn reporting_endpoint(
        mut self,
        name: impl Into<String>,
        address: impl Into<String>,
    ) -> Self {
        self.reporting_endpoints.push((name.into(), address.into()));
        self
    }

    /// Writes three headers that other toolkits write by default: `X-DNS-Prefetch-Control: off`, `X-Download-Options: noopen`
    /// (Internet Explorer) and `X-Permitted-Cross-Domain-Policies: none` (Flash and Acrobat). Off by default.
    pub fn legacy_headers(mut self) -> Self {
        self.legacy = true;
        self
    }

    /// Writes any further header, on each response on which the service has not written it. It replaces the value of a
    /// header of the preset that has no setting of its own here.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.further.push((name, value));
        self
    }

    /// Leaves out one of these headers.
    ///
    /// ```
    /// use http::header;
    /// use palisade_headers::SecurityHeaders;
    ///
    /// // the proxy in front writes it
    /// let security = SecurityHeaders::api().without(header::STRICT_TRANSPORT_SECURITY).build()?;
    ///
    /// assert!(SecurityHeaders::api().without(header::SERVER).build().is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn without(mut self, name: HeaderName) -> Self {
        self.left_out.push(name);
        self
    }

    /// Checks everything, and prepares every header.
    ///
    /// # Errors
    ///
    /// A source, origin, feature or endpoint that browsers would ignore, or that would end its header; a policy that only reports,
    /// and has no address to report to; an HSTS that the
    /// preload list would refuse; a header to leave out that is not there; a further header with a setting of its own;
    /// origins that may frame the page while there is no `Content-Security-Policy` to name them.
    pub fn build(self) -> Result<SecurityHeaders, ConfigError> {
        let csp_text = self.csp.text()?;
        let ancestors = self.framing.directive()?;
        let csp = Csp {
            value: CspText::new(&format!("{csp_text}; {ancestors}"))?,
            without_frame_ancestors: CspText::new(&csp_text)?,
        };
        let report_only =
            self.csp_report_only.as_ref().map(ContentSecurityPolicy::report_only_text);
        let report_only = report_only.transpose()?.map(|text| CspText::new(&text)).transpose()?;
        self.check_report_endpoints()?;
        let permissions = self.permissions_policy.as_ref().map(PermissionsPolicy::value);
        let pages = |text| self.for_pages.then(|| HeaderValue::from_static(text));

        let plain = [
            (header::X_CONTENT_TYPE_OPTIONS, Some(NOSNIFF)),
            (header::REFERRER_POLICY, Some(self.referrer_policy.value())),
            (header::X_FRAME_OPTIONS, self.framing.x_frame_options_value()),
            (OPENER_POLICY, self.opener_policy.map(OpenerPolicy::value)),
            (EMBEDDER_POLICY, self.embedder_policy.map(EmbedderPolicy::value)),
            (PERMISSIONS_POLICY, permissions.transpose()?),
            (REPORTING_ENDPOINTS, reporting_endpoints(&self.reporting_endpoints)?),
            (ORIGIN_AGENT_CLUSTER, pages("?1")),
            (header::X_XSS_PROTECTION, pages("0")),
        ];
        let legacy = LEGACY
            .into_iter()
            .filter(|_| self.legacy)
            .map(|(name, value)| (name, Some(HeaderValue::from_static(value))));
        let mut fields = Fields {
            plain: plain
                .into_iter()
                .chain(legacy)
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            csp: Some(csp),
            csp_report_only: report_only,
            resource_policy: Some(Resource {
                value: self.resource_policy.value(),
                follows_cors: self.resource_policy_follows_cors,
            }),
            hsts: Some(self.hsts.value()?),
            https: self.https,
            alone: Default::default(),
            lengths: 0,
        };
        fields.add(&self.further)?;
        for name in &self.left_out {
            fields.leave_out(name)?;
        }
        if fields.csp.is_none() && self.framing.names_origins() {
            return Err(ConfigError::new(
                "without",
                header::CONTENT_SECURITY_POLICY,
                "X-Frame-Options cannot name origins that may frame a page: remove the origins, or keep `frame-ancestors`",
            ));
        }
        Ok(SecurityHeaders(Arc::new(fields.complete())))
    }
}

impl SecurityHeadersBuilder {
    /// Browsers send no report to an endpoint that no header defines.
    fn check_report_endpoints(&self) -> Result<(), ConfigError> {
        let by_hand = [&REPORTING_ENDPOINTS, &REPORT_TO];
        if self.further.iter().any(|(name, _)| by_hand.contains(&name)) {
            return Ok(());
        }
        let policies = std::iter::once(&self.csp).chain(&self.csp_report_only);
        let undefined = policies
            .filter_map(ContentSecurityPolicy::report_endpoint)
            .find(|named| !self.reporting_endpoints.iter().any(|(name, _)| name == named));
        undefined.map_or(Ok(()), |name| {
            Err(ConfigError::new("report_to", name, "define its address by reporting_endpoint()"))
        })
    }
}

/// A dictionary of strings (RFC 9651, section 3.2).
fn reporting_endpoints(endpoints: &[(String, String)]) -> Result<Option<HeaderValue>, ConfigError> {
    const SETTING: &str = "reporting_endpoint";
    if endpoints.is_empty() {
        return Ok(None);
    }
    for (place, (name, address)) in endpoints.iter().enumerate() {
        check_endpoint(SETTING, name)?;
        if endpoints[..place].iter().any(|(other, _)| other == name) {
            return Err(ConfigError::new(SETTING, name, "define it once"));
        }
        if !is_report_address(address) {
            return Err(ConfigError::new(SETTING, address, REPORT_ADDRESS));
        }
    }
    let members = endpoints.iter().map(|(name, address)| format!("{name}=\"{address}\""));
    let text = members.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text.as_str())
        .map(Some)
        .map_err(|_| ConfigError::new(SETTING, text, "it is no header value"))
}

/// The headers of a message and of its connection: the server and the service write them.
fn is_of_the_message(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

impl Fields {
    /// Adds the further headers, in place of those of the preset.
    fn add(&mut self, further: &[(HeaderName, HeaderValue)]) -> Result<(), ConfigError> {
        for (place, (name, value)) in further.iter().enumerate() {
            let wrong = |remedy: &'static str| Err(ConfigError::new("header", name, remedy));
            let own_setting = [
                (header::CONTENT_SECURITY_POLICY, "call content_security_policy() and framing()"),
                (
                    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
                    "call content_security_policy_report_only()",
                ),
                (header::STRICT_TRANSPORT_SECURITY, "call hsts()"),
                (header::X_FRAME_OPTIONS, "call framing()"),
                (
                    header::VARY,
                    "it would replace what other policies add to it; write it in the service",
                ),
                (RESOURCE_POLICY, "call resource_policy()"),
                (header::CACHE_CONTROL, "use the policy `CacheControl`"),
            ];
            if let Some((_, remedy)) = own_setting.iter().find(|(own, _)| own == name) {
                return wrong(remedy);
            }
            if is_of_the_message(name) {
                return wrong("remove it: it describes one message, and differs between responses");
            }
            if name.as_str().starts_with("access-control-") {
                return wrong("leave it out; CORS headers are written by `Cors`");
            }
            if further[..place].iter().any(|(other, _)| other == name) {
                return wrong("set it once");
            }
            self.plain.retain(|(other, _)| other != name);
            self.plain.push((name.clone(), value.clone()));
        }
        Ok(())
    }

    fn leave_out(&mut self, name: &HeaderName) -> Result<(), ConfigError> {
        let was_there = if name == header::CONTENT_SECURITY_POLICY {
            self.csp.take().is_some()
        } else if name == RESOURCE_POLICY {
            self.resource_policy.take().is_some()
        } else if name == header::CONTENT_SECURITY_POLICY_REPORT_ONLY {
            self.csp_report_only.take().is_some()
        } else if name == header::STRICT_TRANSPORT_SECURITY {
            self.hsts.take().is_some()
        } else {
            let before = self.plain.len();
            self.plain.retain(|(other, _)| other != name);
            self.plain.len() < before
        };
        if was_there {
            return Ok(());
        }
        Err(ConfigError::new("without", name, "remove it: the header would not be written"))
    }
}
