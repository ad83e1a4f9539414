use std::{borrow::Cow, time::Duration};

#[cfg(feature = "ed25519")]
use aws_lc_rs::signature::Ed25519KeyPair;
#[cfg(feature = "ed25519")]
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, Method, Uri, request};
use palisade_core::{ConfigError, Secret};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Presented, Scheme, is_id, required},
    sign::{Headers, unix_seconds},
    signature::{Kind, MOST, Signature, to_base64},
    timestamp::Timestamp,
};

/// [HTTP Message Signatures](https://www.rfc-editor.org/rfc/rfc9421) (RFC 9421), over a digest of the body
/// ([RFC 9530](https://www.rfc-editor.org/rfc/rfc9530)).
///
/// The sender chooses which parts of a message it signs, so the receiver says which it must have:
/// `@method`, `@target-uri` and `content-digest` unless [more](HttpSignatures::require) is said. `created` must be there
/// and near now, `expires` not over if it is there, `keyid` the name of a secret of yours; a `nonce` is
/// [`Verified::id`](crate::Verified::id). The algorithm is that of your key: what `alg` says may agree with it, and is
/// never followed. The address is yours to configure, as `Host` is the client's to choose.
///
/// Components with parameters (`;sf`, `;bs`, `;key`, `;req`, `;tr`), components and parameters that are not known, and
/// fields that are there more than once in lines of their own are refused. So is a message with several signatures,
/// unless [`tag`](HttpSignatures::tag) says which is meant.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{HttpSignatures, Webhook};
///
/// let partner = HttpSignatures::hmac_sha256("https://hooks.example.com")?.tag("partner");
/// let secret = "a secret that the partner and we share";
///
/// // what the partner sends
/// let headers = partner.sign(secret, "key-1", &http::Method::POST, "/events", Duration::from_secs(1_618_884_473), b"{}")?;
/// assert_eq!(
///     headers["signature-input"],
///     "sig=(\"@method\" \"@target-uri\" \"content-digest\");created=1618884473;keyid=\"key-1\";tag=\"partner\"",
/// );
///
/// let layer = Webhook::http_signatures(partner, secret).key_id("key-1").build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpSignatures {
    scheme: &'static str,
    authority: String,
    /// What the path of a request is appended to: empty, or a path that a proxy takes away.
    path: String,
    algorithm: Signs,
    required: Vec<String>,
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signs {
    HmacSha256,
    #[cfg(feature = "ed25519")]
    Ed25519,
}

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";
const DIGEST: &str = "content-digest";

/// The most components of a signature: each is looked up and copied before it is known who signed.
const MOST_COMPONENTS: usize = 32;

impl HttpSignatures {
    /// Signatures of `hmac-sha256`. The address is what senders call, up to where the path begins that your service
    /// sees, such as `https://hooks.example.com`.
    ///
    /// # Errors
    ///
    /// For an address that is none.
    pub fn hmac_sha256(public_url: &str) -> Result<Self, ConfigError> {
        Self::new(public_url, Signs::HmacSha256)
    }

    /// Signatures of `ed25519`. Secrets are public keys then: 32 bytes in base64.
    ///
    /// # Errors
    ///
    /// For an address that is none.
    #[cfg(feature = "ed25519")]
    pub fn ed25519(public_url: &str) -> Result<Self, ConfigError> {
        Self::new(public_url, Signs::Ed25519)
    }

    fn new(public_url: &str, algorithm: Signs) -> Result<Self, ConfigError> {
        let wrong = |remedy| ConfigError::new("public_url", public_url.escape_debug(), remedy);
        let uri: Uri = public_url.parse().map_err(|_| {
            wrong("write it as senders call it, such as `https://hooks.example.com`")
        })?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => ("https", 443),
            Some("http") => ("http", 80),
            _ => return Err(wrong("begin with `https://` or `http://`")),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("name the public host, and no user"))?;
        if public_url.contains(['?', '#']) {
            return Err(wrong("leave out the query: it is taken from each request"));
        }
        // RFC 9421, section 2.2.3: in lower case, and without the default port.
        let host = authority.host().to_ascii_lowercase();
        let authority = match authority.port_u16().filter(|port| *port != default_port) {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        Ok(Self {
            scheme,
            authority,
            path: uri.path().trim_end_matches('/').to_owned(),
            algorithm,
            required: ["@method", "@target-uri", DIGEST].map(str::to_owned).into(),
            tag: None,
        })
    }

    /// Wants these components signed as well: `@authority`, `@scheme`, `@path`, `@query`, or names of header fields.
    #[must_use]
    pub fn require<C: Into<String>>(mut self, components: impl IntoIterator<Item = C>) -> Self {
        self.required.extend(components.into_iter().map(Into::into));
        self
    }

    /// Looks at the signature with this tag, and at no other.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// The headers of a request without other header fields to sign, created at this time since the Unix epoch. The
    /// target is path and query, as your service sees them. The secret of `ed25519` is the seed of the private key:
    /// 32 bytes in base64.
    ///
    /// # Errors
    ///
    /// For a secret that is refused by the layer; for a key id or a tag that is not visible ASCII; for a target that is
    /// none; for required components that are fields other than `content-digest`.
    pub fn sign(
        &self,
        secret: impl Into<Secret>,
        key_id: &str,
        method: &Method,
        target: &str,
        created: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        self.check()?;
        if !is_id(key_id) || key_id.contains(['"', '\\']) {
            let remedy = "use visible ASCII without quotes";
            return Err(ConfigError::new("key_id", key_id.escape_debug(), remedy));
        }
        let uri: Uri = target.parse().map_err(|_| {
            ConfigError::new(
                "target",
                target.escape_debug(),
                "use a path and a query, such as `/events`",
            )
        })?;
        let mut head = http::Request::new(()).into_parts().0;
        (head.method, head.uri) = (method.clone(), uri);
        let digest = format!("sha-256=:{}:", to_base64(&Sha256::digest(body)));
        head.headers.extend(Headers::new().with(DIGEST, digest.clone()).done());

        let components: Vec<_> = self.required.iter().map(|name| format!("\"{name}\"")).collect();
        let tag = self.tag.as_ref().map(|tag| format!(";tag=\"{tag}\"")).unwrap_or_default();
        let created = unix_seconds(created);
        let params =
            format!("({});created={created};keyid=\"{key_id}\"{tag}", components.join(" "));
        let names = self.required.iter().map(String::as_str).collect();
        let base =
            self.base(&Input { components: names, text: &params, ..Input::default() }, &head);
        let base = base.map_err(|_| {
            ConfigError::without_value(
                "require",
                "only `content-digest` is there to be signed of the header fields",
            )
        })?;
        let signature = match self.algorithm {
            Signs::HmacSha256 => {
                Key::of_text(Algorithm::Sha256, &secret.into())?.tag_of(&vec![Cow::Borrowed(&base)])
            }
            #[cfg(feature = "ed25519")]
            #[allow(
                clippy::disallowed_methods,
                reason = "the bytes go into the key that is made of them"
            )]
            Signs::Ed25519 => {
                let seed = STANDARD.decode(secret.into().expose()).map(Secret::from);
                let pair = seed
                    .ok()
                    .and_then(|seed| Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok());
                let wrong = || {
                    ConfigError::without_value(
                        "secret",
                        "use the seed of an Ed25519 key, 32 bytes in base64",
                    )
                };
                pair.ok_or_else(wrong)?.sign(&base).as_ref().to_vec()
            }
        };
        Ok(Headers::new()
            .with(DIGEST, digest)
            .with(INPUT, format!("sig={params}"))
            .with(SIGNATURE, format!("sig=:{}:", to_base64(&signature)))
            .done())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for name in &self.required {
            let is_derived = DERIVED.contains(&&**name);
            let is_field =
                HeaderName::from_bytes(name.as_bytes()).is_ok_and(|field| field.as_str() == name);
            if !is_derived && !is_field {
                let remedy = "use `@method`, `@target-uri`, `@authority`, `@scheme`, `@path`, `@query`, or the name of a header field in lower case";
                return Err(ConfigError::new("require", name.escape_debug(), remedy));
            }
        }
        match &self.tag {
            Some(tag) if !is_id(tag) || tag.contains(['"', '\\']) => {
                Err(ConfigError::new("tag", tag.escape_debug(), "use visible ASCII without quotes"))
            }
            _ => Ok(()),
        }
    }

    /// The signature base (RFC 9421, section 2.5).
    fn base(&self, input: &Input<'_>, head: &request::Parts) -> Result<Vec<u8>, Fault> {
        let mut base = Vec::new();
        for name in &input.components {
            let value = self.component(name, head)?;
            base.extend_from_slice(format!("\"{name}\": {value}\n").as_bytes());
        }
        base.extend_from_slice(format!("\"@signature-params\": {}", input.text).as_bytes());
        Ok(base)
    }

    fn component<'r>(&self, name: &str, head: &'r request::Parts) -> Result<Cow<'r, str>, Fault> {
        let path = || format!("{}{}", self.path, head.uri.path());
        Ok(match name {
            "@method" => Cow::Borrowed(head.method.as_str()),
            "@scheme" => Cow::Borrowed(self.scheme),
            "@authority" => Cow::Owned(self.authority.clone()),
            "@path" => Cow::Owned(path()),
            "@query" => Cow::Owned(format!("?{}", head.uri.query().unwrap_or_default())),
            "@target-uri" => {
                let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                Cow::Owned(format!("{}://{}{}{query}", self.scheme, self.authority, path()))
            }
            field => {
                let value = crate::scheme::sole(head.headers.get_all(field).iter());
                let value = value.ok().flatten().ok_or(Fault::Malformed("components"))?;
                Cow::Borrowed(value.trim_matches([' ', '\t']))
            }
        })
    }
}

const DERIVED: [&str; 6] = ["@method", "@target-uri", "@authority", "@scheme", "@path", "@query"];

impl Scheme for HttpSignatures {
    fn name(&self) -> &str {
        "http-signatures"
    }

    fn is_dated(&self) -> bool {
        true
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        match self.algorithm {
            Signs::HmacSha256 => Key::of_text(Algorithm::Sha256, secret),
            #[cfg(feature = "ed25519")]
            #[allow(clippy::disallowed_methods, reason = "the bytes of a public key")]
            Signs::Ed25519 => match STANDARD.decode(secret.expose()) {
                Ok(public) => Key::ed25519(&public),
                Err(_) => Err(ConfigError::without_value(
                    "secret",
                    "use an Ed25519 public key, 32 bytes in base64",
                )),
            },
        }
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<Presented<'r>, Fault> {
        let input = self.input(head)?;
        if self.required.iter().any(|name| !input.components.contains(&&**name)) {
            return Err(Fault::Missing("components"));
        }
        let kind = match self.algorithm {
            Signs::HmacSha256 => ("hmac-sha256", Kind::Mac),
            #[cfg(feature = "ed25519")]
            Signs::Ed25519 => ("ed25519", Kind::Ed25519),
        };
        if input.alg.is_some_and(|alg| alg != kind.0) {
            return Err(Fault::Mismatch);
        }
        let signatures = required(&head.headers, SIGNATURE)?;
        let signature = byte_sequences(signatures)
            .ok_or(Fault::Malformed(SIGNATURE))?
            .into_iter()
            .find(|(label, _)| *label == input.label)
            .ok_or(Fault::Missing(SIGNATURE))?;
        let signature = Signature::base64(signature.1).ok_or(Fault::Malformed(SIGNATURE))?;
        let created = input.created.ok_or(Fault::Missing("created"))?;
        let mut presented = Presented::only(signature.of_kind(kind.1)).named(input.nonce);
        presented.timestamp = Some(Timestamp::in_seconds(created, "created")?);
        presented.expires =
            input.expires.map(|expires| Timestamp::in_seconds(expires, "expires")).transpose()?;
        presented.key_id = Some(input.keyid.ok_or(Fault::Missing("keyid"))?);
        Ok(presented)
    }

    fn messages<'r>(
        &'r self,
        _: &Presented<'r>,
        head: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        check_digest(required(&head.headers, DIGEST)?, body)?;
        Ok(vec![vec![Cow::Owned(self.base(&self.input(head)?, head)?)]])
    }
}

impl HttpSignatures {
    /// The one member of `Signature-Input` that counts.
    fn input<'r>(&self, head: &'r request::Parts) -> Result<Input<'r>, Fault> {
        let inputs = inputs(required(&head.headers, INPUT)?).ok_or(Fault::Malformed(INPUT))?;
        let mut meant = inputs
            .into_iter()
            .filter(|input| self.tag.as_deref().is_none_or(|tag| input.tag == Some(tag)));
        let input = meant.next().ok_or(Fault::Missing("tag"))?;
        if meant.next().is_some() {
            return Err(Fault::Malformed(INPUT));
        }
        Ok(input)
    }
}

/// `Content-Digest` (RFC 9530, section 2): all digests that are known must be right, and one must be known.
fn check_digest(value: &str, body: &[u8]) -> Result<(), Fault> {
    let mut known = false;
    for (name, base64) in byte_sequences(value).ok_or(Fault::Malformed(DIGEST))? {
        let digest: &[u8] = match name {
            "sha-256" => &Sha256::digest(body),
            "sha-512" => &Sha512::digest(body),
            _ => continue,
        };
        let sent = Signature::base64(base64).ok_or(Fault::Malformed(DIGEST))?;
        if !bool::from(digest.ct_eq(sent.bytes())) {
            return Err(Fault::Mismatch);
        }
        known = true;
    }
    if known { Ok(()) } else { Err(Fault::Mismatch) }
}

/// What was signed, and how, as one member of `Signature-Input` says (RFC 9421, section 4.1).
#[derive(Debug, Default)]
struct Input<'r> {
    label: &'r str,
    components: Vec<&'r str>,
    created: Option<&'r str>,
    expires: Option<&'r str>,
    keyid: Option<&'r str>,
    alg: Option<&'r str>,
    nonce: Option<&'r str>,
    tag: Option<&'r str>,
    /// The list and its parameters as they came. They are read strictly, so that there is one way to write them.
    text: &'r str,
}

/// The part of structured fields (RFC 9651) that is needed here, and not one space more.
fn inputs(value: &str) -> Option<Vec<Input<'_>>> {
    let mut rest = value;
    let mut inputs: Vec<Input<'_>> = Vec::new();
    loop {
        let mut input = Input::default();
        (input.label, rest) = key(rest)?;
        rest = rest.strip_prefix('=')?;
        let start = rest;
        rest = rest.strip_prefix('(')?;
        while !rest.starts_with(')') {
            if !input.components.is_empty() {
                rest = rest.strip_prefix(' ')?;
            }
            let name;
            (name, rest) = string(rest)?;
            let is_known = DERIVED.contains(&name)
                || HeaderName::from_bytes(name.as_bytes())
                    .is_ok_and(|field| field.as_str() == name);
            // A name with a parameter (`;req`, `;bs`, `;sf`, `;key`) is followed by neither a space nor the end.
            if !is_known
                || input.components.contains(&name)
                || input.components.len() == MOST_COMPONENTS
            {
                return None;
            }
            input.components.push(name);
        }
        rest = rest.strip_prefix(')')?;
        while let Some(after) = rest.strip_prefix(';') {
            let (name, after) = key(after)?;
            let after = after.strip_prefix('=')?;
            let (value, after) = match name {
                "created" | "expires" => digits(after)?,
                _ => string(after)?,
            };
            let place = match name {
                "created" => &mut input.created,
                "expires" => &mut input.expires,
                "keyid" => &mut input.keyid,
                "alg" => &mut input.alg,
                "nonce" => &mut input.nonce,
                "tag" => &mut input.tag,
                _ => return None,
            };
            if place.replace(value).is_some() || (name == "nonce" && !is_id(value)) {
                return None;
            }
            rest = after;
        }
        input.text = &start[..start.len() - rest.len()];
        let is_new = inputs.iter().all(|other| other.label != input.label);
        if !is_new || inputs.len() == MOST {
            return None;
        }
        inputs.push(input);
        if rest.is_empty() {
            return Some(inputs);
        }
        rest = rest.strip_prefix(',')?.trim_start_matches(' ');
    }
}

/// A dictionary of byte sequences: `label=:base64:, other=:base64:`.
fn byte_sequences(value: &str) -> Option<Vec<(&str, &str)>> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for (at, member) in value.split(',').enumerate() {
        let member = if at == 0 { member } else { member.trim_start_matches(' ') };
        let (label, rest) = key(member)?;
        let base64 = rest.strip_prefix("=:")?.strip_suffix(':')?;
        if members.len() == MOST || members.iter().any(|(other, _)| *other == label) {
            return None;
        }
        members.push((label, base64));
    }
    Some(members)
}

fn key(text: &str) -> Option<(&str, &str)> {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
    let other =
        |byte: u8| first(byte) || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    let end = text.bytes().position(|byte| !other(byte)).unwrap_or(text.len());
    text.bytes().next().filter(|byte| first(*byte)).map(|_| text.split_at(end))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A string without escapes, which nothing here needs.
fn string(text: &str) -> Option<(&str, &str)> {
    let (string, rest) = text.strip_prefix('"')?.split_once('"')?;
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\\';
    string.bytes().all(is_plain).then_some((string, rest))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    /// The request of RFC 9421, appendix B.2.
    fn request() -> request::Parts {
        let request = Request::post("/foo?param=Value&Pet=dog")
            .header("host", "evil.example")
            .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
            .header("content-type", "application/json")
            .header("content-length", "18")
            .body(());
        request.unwrap().into_parts().0
    }

    fn example() -> HttpSignatures {
        HttpSignatures::hmac_sha256("https://example.com").unwrap()
    }

    fn verifies(key: &Key, kind: Kind, input: &str, signature: &str) -> bool {
        let input = inputs(input).unwrap().remove(0);
        let base = example().base(&input, &request()).unwrap();
        let signature = Signature::base64(signature).unwrap().of_kind(kind);
        let keys = crate::key::Keys::new(vec![(input.keyid.unwrap().into(), key.clone())]).unwrap();
        keys.which_signed(&[vec![Cow::Owned(base)]], &Presented::only(signature)).is_some()
    }

    #[test]
    fn the_hmac_of_rfc_9421_appendix_b_2_5() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let secret = Secret::from(STANDARD.decode(secret).unwrap());
        let key = Key::of_bytes(Algorithm::Sha256, &secret).unwrap();
        let input = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
        let base = example().base(&inputs(input).unwrap()[0], &request()).unwrap();
        assert_eq!(
            String::from_utf8(base).unwrap(),
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n\
             \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
        );
        assert!(verifies(&key, Kind::Mac, input, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="));
        let other = input.replace("1618884473", "1618884474");
        assert!(!verifies(&key, Kind::Mac, &other, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="));
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn the_ed25519_of_rfc_9421_appendix_b_2_6() {
        let key = STANDARD.decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=").unwrap();
        let key = Key::ed25519(&key).unwrap();
        let input = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
        let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        assert!(verifies(&key, Kind::Ed25519, input, signature));
        let other = input.replace("@path", "@query");
        assert!(!verifies(&key, Kind::Ed25519, &other, signature));
    }

    #[test]
    fn the_digest_of_rfc_9530() {
        let body = br#"{"hello": "world"}"#;
        let sha256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
        assert_eq!(check_digest(sha256, body), Ok(()));
        assert_eq!(check_digest(sha256, b"{}"), Err(Fault::Mismatch));
        assert_eq!(check_digest(&format!("md5=:AA==:, {sha256}"), body), Ok(()));
        let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!(check_digest(empty, b""), Ok(()));
        let one_wrong = format!("{sha256},sha-512=:{}:", to_base64(&[0; 64]));
        for mismatch in [&*one_wrong, "md5=:AA==:"] {
            assert_eq!(check_digest(mismatch, body), Err(Fault::Mismatch), "{mismatch}");
        }
        for wrong in [
            "",
            "sha-256",
            "sha-256=X",
            "sha-256=:!:",
            "SHA-256=:AA==:",
            &format!("{sha256},{sha256}"),
        ] {
            assert_eq!(check_digest(wrong, body), Err(Fault::Malformed(DIGEST)), "{wrong}");
        }
    }

    #[test]
    fn derived_components_are_what_was_configured_and_what_was_asked_for() {
        let of = |public: &str, uri: &str, name: &str| {
            let head = Request::get(uri).body(()).unwrap().into_parts().0;
            HttpSignatures::hmac_sha256(public)
                .unwrap()
                .component(name, &head)
                .unwrap()
                .into_owned()
        };
        assert_eq!(of("https://Example.COM:443", "/a?b", "@authority"), "example.com");
        assert_eq!(of("http://example.com:443", "/a?b", "@authority"), "example.com:443");
        assert_eq!(
            of("https://example.com/v2/", "/a?b", "@target-uri"),
            "https://example.com/v2/a?b"
        );
        assert_eq!(
            of("https://example.com", "https://evil.example/", "@target-uri"),
            "https://example.com/"
        );
        assert_eq!(of("https://example.com/v2", "/a?b", "@path"), "/v2/a");
        assert_eq!(
            (of("https://a.example", "/a?b", "@query"), of("https://a.example", "/a", "@query")),
            ("?b".into(), "?".into())
        );
        assert_eq!(
            (&*of("https://a.example", "/", "@scheme"), &*of("https://a.example", "/", "@method")),
            ("https", "GET")
        );
    }

    #[test]
    fn what_is_not_known_is_malformed() {
        for wrong in [
            "",
            "sig",
            "sig=",
            "sig=(",
            "sig=()x",
            "sig=(\"@method\"",
            "SIG=()",
            "sig=() ",
            " sig=()",
            "sig=(),",
            "sig=( \"@method\")",
            "sig=(\"@method\"  \"@path\")",
            "sig=(\"@method\"\"@path\")",
            "sig=(@method)",
            "sig=(\"@status\")",
            "sig=(\"@query-param\";name=\"a\")",
            "sig=(\"@method\";req)",
            "sig=(\"date\";bs)",
            "sig=(\"date\";sf)",
            "sig=(\"date\";key=\"a\")",
            "sig=(\"Date\")",
            "sig=(\"\")",
            "sig=(\"@method\" \"@method\")",
            "sig=();created",
            "sig=();created=",
            "sig=();created=\"1\"",
            "sig=();created=-1",
            "sig=();created=1.5",
            "sig=();created=1;created=1",
            "sig=();keyid=a",
            "sig=();keyid=\"a",
            "sig=();keyid=\"a\\\"b\"",
            "sig=();other=1",
            "sig=();nonce=\"\"",
            "sig=();nonce=\"a b\"",
            "sig=(); created=1",
            "sig=(), sig=()",
        ] {
            assert!(inputs(wrong).is_none(), "{wrong}");
        }
        let many = |count| {
            format!(
                "sig=({})",
                (0..count).map(|n| format!("\"x-{n}\"")).collect::<Vec<_>>().join(" ")
            )
        };
        assert!(inputs(&many(32)).is_some() && inputs(&many(33)).is_none());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for wrong in
            ["", "example.com", "ftp://a.example", "https://a.example?b", "https://u:p@a.example"]
        {
            assert_eq!(HttpSignatures::hmac_sha256(wrong).unwrap_err().setting(), "public_url");
        }
        for wrong in ["@status", "Date", "a b", ""] {
            assert_eq!(example().require([wrong]).check().unwrap_err().setting(), "require");
        }
        assert_eq!(example().tag("a\"b").check().unwrap_err().setting(), "tag");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(
            text in "(sig|=|\\(|\\)|\"|@method|@path|date|;|created|keyid|[0-9]|,| |:|.){0,40}",
        ) {
            let _ = (inputs(&text), byte_sequences(&text), check_digest(&text, b""));
        }
    }
}
