use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Scheme};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use palisade_core::{ConfigError, Secret};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{connector::Connector, http_fetch::HttpFetch};

/// The headers that the client sets itself.
const RESERVED: [HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Builds an [`HttpFetch`]. Created by [`HttpFetch::builder`].
pub struct HttpFetchBuilder {
    certificates: Vec<Vec<u8>>,
    platform_roots: bool,
    proxy: Option<String>,
    proxy_credentials: Option<(String, Secret)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    loopback_http: bool,
}

impl HttpFetchBuilder {
    pub(super) fn new() -> Self {
        Self {
            certificates: Vec::new(),
            platform_roots: false,
            proxy: None,
            proxy_credentials: None,
            headers: Vec::new(),
            loopback_http: false,
        }
    }

    /// Trusts these certificate authorities too, in PEM or DER. A PEM may contain several certificates. May be called
    /// several times.
    #[must_use]
    pub fn add_root_certificates(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.certificates.push(certificates.into());
        self
    }

    /// Trusts the certificate authorities of the platform instead of Mozilla's. They are read once, by
    /// [`build`](Self::build): from the system's store, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[must_use]
    pub fn platform_roots(mut self) -> Self {
        self.platform_roots = true;
        self
    }

    /// Connects through this HTTP proxy, such as `http://proxy.internal:3128`, by `CONNECT`. Default: no proxy; the
    /// environment is not read. Loopback addresses over plain http are never reached through the proxy.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Authenticates to the proxy by user name and password (RFC 7617).
    #[must_use]
    pub fn proxy_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        self.proxy_credentials = Some((user.into(), password.into()));
        self
    }

    /// Sends this header with each request to the issuer. The proxy does not see it. May be called several times.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Accepts plain http from loopback addresses, for tests and for development against a local issuer.
    #[must_use]
    pub fn insecure_allow_loopback_http(mut self) -> Self {
        self.loopback_http = true;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// Returns an error for certificates that cannot be read; if the platform has none; for a proxy that is not
    /// `http://host:port`, and for credentials without a proxy; for a header that the client sets itself; and if the TLS
    /// library cannot be set up.
    pub fn build(self) -> Result<HttpFetch, ConfigError> {
        let headers = self.headers()?;
        let connector = Connector::new(self.proxy_settings()?);
        // Named, and not the provider of the process: with two in the build there is no default, and rustls panics.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::without_value("TLS", format!("no client: {error}")))?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            // Requests are minutes apart. By the next one the issuer has closed an idle connection.
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(64 * 1024)
            .build(connector);
        Ok(HttpFetch { client, headers, loopback_http: self.loopback_http })
    }

    fn roots(&self) -> Result<RootCertStore, ConfigError> {
        const SETTING: &str = "add_root_certificates";
        let mut roots = RootCertStore::empty();
        if self.platform_roots {
            let found = rustls_native_certs::load_native_certs();
            // Stores contain certificates that cannot be used; the platform's own clients skip them too.
            if roots.add_parsable_certificates(found.certs).0 == 0 {
                let remedy = "the platform has no certificate authorities: install `ca-certificates`, or set `SSL_CERT_FILE`";
                return Err(ConfigError::without_value("platform_roots", remedy));
            }
        } else {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for bytes in &self.certificates {
            let added = read_certificates(bytes);
            if added.is_empty() {
                let remedy =
                    "it contains no certificate: pass PEM (`-----BEGIN CERTIFICATE-----`) or DER";
                return Err(ConfigError::without_value(SETTING, remedy));
            }
            for certificate in added {
                roots.add(certificate).map_err(|error| {
                    let remedy = format!("a certificate cannot be read: {error}");
                    ConfigError::without_value(SETTING, remedy)
                })?;
            }
        }
        Ok(roots)
    }

    fn proxy_settings(&self) -> Result<Option<(Uri, Option<HeaderValue>)>, ConfigError> {
        let Some(url) = &self.proxy else {
            return match self.proxy_credentials {
                Some(_) => Err(ConfigError::without_value(
                    "proxy_credentials",
                    "no proxy is set: call `.proxy(…)` first",
                )),
                None => Ok(None),
            };
        };
        if url.contains('@') {
            // The value is not part of the error: it contains a password.
            let remedy = "set the user and password with `.proxy_credentials(…)`";
            return Err(ConfigError::without_value("proxy", remedy));
        }
        let parsed = url.parse().ok().filter(|uri: &Uri| {
            uri.scheme() == Some(&Scheme::HTTP)
                && uri.host().is_some_and(|host| !host.is_empty())
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        let Some(proxy) = parsed else {
            return Err(ConfigError::new("proxy", url, "write it as `http://host:port`"));
        };
        let authorization = self.proxy_credentials.as_ref().map(basic).transpose()?;
        Ok(Some((proxy, authorization)))
    }

    fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if RESERVED.contains(name) {
                return Err(ConfigError::new("header", name, "the client sets this header itself"));
            }
            headers.insert(name, value.clone());
        }
        Ok(headers)
    }
}

/// Reads the certificates of a PEM, or the one certificate of a DER. Returns none if there are errors.
fn read_certificates(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    // A DER certificate is a SEQUENCE.
    if bytes.first() == Some(&0x30) {
        return vec![CertificateDer::from(bytes.to_vec())];
    }
    CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().unwrap_or_default()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the password goes into the header that is made of it"
)]
fn basic((user, password): &(String, Secret)) -> Result<HeaderValue, ConfigError> {
    if user.contains(':') {
        let remedy = "a user name with a colon cannot be sent (RFC 7617, section 2)";
        return Err(ConfigError::new("proxy_credentials", user, remedy));
    }
    let mut credentials = format!("{user}:").into_bytes();
    credentials.extend_from_slice(password.expose());
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))
        .map_err(|_| ConfigError::without_value("proxy_credentials", "they are too long"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Shows no credentials: headers may contain some.
impl fmt::Debug for HttpFetchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetchBuilder")
            .field("certificates", &self.certificates.len())
            .field("platform_roots", &self.platform_roots)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}
