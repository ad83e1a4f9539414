use std::{fmt, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderName, request};
use palisade_core::{TrustedProxies, syntax::decode_hex};
use sha2::{Digest, Sha256};

/// The longest header with a certificate, in bytes.
const MAX_HEADER: usize = 16 * 1024;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The certificate that the client of this connection has authenticated with (mutual TLS).
///
/// A server that terminates TLS inserts it into the extensions of each request, after it has verified the client's
/// possession of the key. [`Jwt`](crate::Jwt) and `Introspection` compare it with tokens that are bound to a certificate (RFC
/// 8705, section 3).
///
/// ```
/// use palisade_auth::PeerCertificate;
///
/// # let der: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x01];
/// // of rustls: `connection.peer_certificates()?.first()?.as_ref()`
/// let certificate = PeerCertificate::from_der(der);
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(certificate);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    sha256: [u8; 32],
}

impl PeerCertificate {
    /// A certificate in DER. Only its hash is kept.
    pub fn from_der(der: &[u8]) -> Self {
        Self { sha256: Sha256::digest(der).into() }
    }

    /// Returns the value that `cnf.x5t#S256` of a bound token has: the SHA-256 hash of the certificate in base64url.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256)
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerCertificate").field(&self.thumbprint()).finish()
    }
}

/// Where the client's certificate comes from, for tokens that are bound to it (RFC 8705).
///
/// Default: [`PeerCertificate`] in the request's extensions. Behind a proxy that terminates TLS the certificate is in a header,
/// which counts only if the request comes from one of the [`TrustedProxies`]; from any other peer the header is ignored. The
/// proxy must remove the header from the requests of clients that present no certificate.
///
/// ```
/// use palisade_auth::{ClientCertificates, Jwt};
/// use palisade_core::{TrustedProxies, syntax::decode_hex};
/// # #[derive(serde::Deserialize)]
/// # struct Claims { sub: String }
///
/// let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build()?;
/// let auth = Jwt::<Claims>::hs256("a signing key of at least thirty-two bytes")
///     .audience("orders")
///     .client_certificates(ClientCertificates::client_cert_header(&proxies))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientCertificates(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    Connection,
    ClientCert(Arc<TrustedProxies>),
    ForwardedClientCert(Arc<TrustedProxies>),
}

impl ClientCertificates {
    /// The header `Client-Cert` of RFC 9440, from these proxies only.
    pub fn client_cert_header(proxies: &TrustedProxies) -> Self {
        Self(Source::ClientCert(Arc::new(proxies.clone())))
    }

    /// The header `X-Forwarded-Client-Cert` of Envoy and Istio, from these proxies only. The last element counts, which the
    /// nearest proxy has written, by its `Hash`.
    pub fn forwarded_client_cert_header(proxies: &TrustedProxies) -> Self {
        Self(Source::ForwardedClientCert(Arc::new(proxies.clone())))
    }

    /// Returns the certificate of a request.
    pub(super) fn find(&self, request: &request::Parts) -> Option<PeerCertificate> {
        let from_proxy = |proxies: &TrustedProxies, name, read: fn(&str) -> Option<_>| {
            if !proxies.trust_peer_of(&request.extensions) {
                return None;
            }
            read(only_field(&request.headers, &name)?)
        };
        match &self.0 {
            Source::Connection => request.extensions.get().cloned(),
            Source::ClientCert(proxies) => from_proxy(proxies, CLIENT_CERT, read_client_cert),
            Source::ForwardedClientCert(proxies) => {
                from_proxy(proxies, FORWARDED_CLIENT_CERT, read_forwarded)
            }
        }
    }
}

/// Two fields are two certificates, and neither counts.
fn only_field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut fields = headers.get_all(name).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    field.to_str().ok().filter(|field| field.len() <= MAX_HEADER)
}

/// A byte sequence of RFC 9651: base64 between colons (RFC 9440, section 2.1).
fn read_client_cert(field: &str) -> Option<PeerCertificate> {
    let base64 = field.trim().strip_prefix(':')?.strip_suffix(':')?;
    STANDARD
        .decode(base64)
        .ok()
        .filter(|der| !der.is_empty())
        .map(|der| PeerCertificate::from_der(&der))
}

/// `Hash` is the SHA-256 hash of the certificate in hexadecimal digits. Elements are separated by commas and pairs by
/// semicolons, both of which may stand in quoted values.
///
/// A proxy that appends writes behind what the client sent. A quote that the client leaves open would swallow the proxy's
/// element, so every element must be well-formed.
fn read_forwarded(field: &str) -> Option<PeerCertificate> {
    let mut pairs =
        split_outside_quotes(field, ',').flat_map(|element| split_outside_quotes(element, ';'));
    if !pairs.all(|pair| pair.split_once('=').is_none_or(|(_, value)| is_value(value.trim()))) {
        return None;
    }
    let element = split_outside_quotes(field, ',').last()?;
    let mut hashes = split_outside_quotes(element, ';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("hash").then_some(value)
    });
    let hash = hashes.next().filter(|_| hashes.next().is_none())?;
    let digits = hash.strip_prefix('"').and_then(|hash| hash.strip_suffix('"')).unwrap_or(hash);
    let mut sha256 = [0; 32];
    decode_hex(digits.as_bytes(), &mut sha256)?;
    Some(PeerCertificate { sha256 })
}

/// Returns true for a value without quotes, and for one quoted string with nothing beside it.
fn is_value(value: &str) -> bool {
    let Some(quoted) = value.strip_prefix('"') else { return !value.contains('"') };
    let mut escaped = false;
    let closing = quoted.bytes().position(|byte| {
        let is_escaped = escaped;
        escaped = byte == b'\\' && !is_escaped;
        byte == b'"' && !is_escaped
    });
    closing.is_some_and(|at| at + 1 == quoted.len())
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char| {
        let is_escaped = escaped;
        escaped = quoted && char == '\\' && !is_escaped;
        quoted ^= char == '"' && !is_escaped;
        char == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use palisade_core::{PeerAddr, syntax::LowerHex};

    use super::*;

    #[test]
    fn forwarded_certificate_is_read_from_the_last_element() {
        let certificate = PeerCertificate::from_der(b"certificate");
        let hex = LowerHex(&certificate.sha256).to_string();
        let zeros = "0".repeat(64);
        // A client that leaves a quote open would make the proxy's element part of its own.
        for bad in [
            format!("Hash={zeros};Subject=\",By=spiffe://a;Hash={hex}", zeros = "0".repeat(64)),
            format!(
                "Hash={zeros};Subject=\",By=spiffe://a;Hash={hex};Subject=\"CN=a\"",
                zeros = "0".repeat(64)
            ),
            format!(
                "Hash={zeros};Subject=\",Hash={hex};Subject=\"CN=\\\"a\"",
                zeros = "0".repeat(64)
            ),
        ] {
            assert!(read_forwarded(&bad).is_none(), "{bad}");
        }
        for good in [
            format!("Hash={hex}"),
            format!("By=spiffe://a;Hash={hex};Subject=\"CN=a,O=\\\"b;c\\\"\";URI=spiffe://b"),
            format!("Hash={zeros};Subject=\"a,Hash={zeros}\",hash={hex}"),
            format!("Hash=\"{}\"", hex.to_uppercase()),
        ] {
            assert_eq!(read_forwarded(&good), Some(certificate.clone()), "{good}");
        }
        for bad in [
            String::new(),
            "Hash=".to_owned(),
            format!("Hash={hex}0"),
            format!("Hash={hex};Hash={zeros}"),
            format!("Hash={hex},By=a"),
            format!("Subject=\"Hash={hex}\""),
            format!("Subject=\"a;Hash={hex}"),
        ] {
            assert_eq!(read_forwarded(&bad), None, "{bad}");
        }
    }

    #[test]
    fn headers_of_untrusted_peers_are_ignored() {
        let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
        let certificates = ClientCertificates::client_cert_header(&proxies);
        let find = |peer: [u8; 4], fields: &[&str]| {
            let mut request = http::Request::new(());
            request.extensions_mut().insert(PeerAddr((peer, 4000).into()));
            for field in fields {
                request.headers_mut().append(CLIENT_CERT, field.parse().unwrap());
            }
            certificates.find(&request.into_parts().0)
        };
        let field = format!(":{}:", STANDARD.encode(b"certificate"));
        let certificate = Some(PeerCertificate::from_der(b"certificate"));
        assert_eq!(find([10, 0, 0, 1], &[&field]), certificate);
        assert_eq!(find([203, 0, 113, 7], &[&field]), None);
        assert_eq!(find([10, 0, 0, 1], &[&field, &field]), None, "two fields");
        for bad in ["", "::", ":a", "Y2VydGlmaWNhdGU=", ":Y2VydGlmaWNhdGU"] {
            assert_eq!(find([10, 0, 0, 1], &[bad]), None, "{bad}");
        }
    }
}
