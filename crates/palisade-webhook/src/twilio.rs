use std::borrow::Cow;

use http::{HeaderMap, header, request};
use palisade_core::{
    ConfigError, PublicUrl, Secret,
    syntax::{LowerHex, PercentByte, percent_decode},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    key::{Algorithm, Key},
    scheme::{Fault, Message, Scheme, SignatureHeaders, id_field, required, sole},
    sign::Headers,
    signature::{Signature, to_base64},
};

/// [Twilio](https://www.twilio.com/docs/usage/security#validating-requests):
/// `X-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=`.
///
/// The HMAC-SHA-1, in base64, of the address that Twilio called. Form parameters follow it, sorted by name, name and
/// value without a separator. A JSON body is not signed itself: its SHA-256 is in the address, as `bodySHA256`. The signature does
/// not cover other bodies, so they are rejected. The key is the account's auth token.
///
/// Configure the address, because a client can choose the `Host` of its request. Give the part of the URL before the path that
/// your service sees: `https://api.example.com`, or `https://api.example.com/v2` if a proxy or a nested router removes `/v2`. Twilio signs it with or without the
/// port, depending on the product, so both are tried.
///
/// The scheme has no timestamp and no id. `I-Twilio-Idempotency-Token`, which is the same for all attempts,
/// is [`Verified::id`](crate::Verified::id), and is not signed; see
/// [`Replays::by_content`](crate::Replays::by_content). Nor is the method, nor where in the parameters a name ends and
/// a value begins.
///
/// ```
/// use palisade_webhook::{Twilio, Webhook};
///
/// let layer = Webhook::twilio("0123456789abcdef0123456789abcdef", "https://api.example.com").build()?;
///
/// // a request of Twilio
/// let token = "0123456789abcdef0123456789abcdef";
/// let form = Twilio::sign_form(token, "https://api.example.com/calls", b"CallSid=CA12&From=%2B14158675309")?;
/// assert_eq!(form["x-twilio-signature"].len(), 28);
///
/// let (url, json) = Twilio::sign_json(token, "https://api.example.com/events", br#"{"type":"sms"}"#)?;
/// assert!(url.starts_with("https://api.example.com/events?bodySHA256="));
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Twilio {
    /// The configured address, with and without its port.
    bases: [String; 2],
}

const SIGNATURE: &str = "x-twilio-signature";
const IDEMPOTENCY_TOKEN: &str = "i-twilio-idempotency-token";
const BODY_HASH: &str = "bodySHA256";

/// Twilio sends some dozens. They are sorted before the signature is verified.
const MOST_PARAMETERS: usize = 1000;

impl Twilio {
    pub(crate) fn new(public_url: &str) -> Result<Self, ConfigError> {
        let url = PublicUrl::parse("public_url", public_url)?;
        let (scheme, host, path) = (url.scheme(), url.host(), url.path());
        let port = url.port().unwrap_or(url.default_port());
        Ok(Self {
            bases: [format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")],
        })
    }

    /// Returns the header that Twilio would send to `url` with this form.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::twilio`](crate::Webhook::twilio) refuses; for a form with more than 1,000
    /// parameters.
    pub fn sign_form(
        secret: impl Into<Secret>,
        url: &str,
        form: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        let parameters = parameters(form).map_err(|_| {
            ConfigError::without_value("form", "it is not a form of at most 1,000 parameters")
        })?;
        let mut message = vec![Cow::Borrowed(url.as_bytes())];
        message.extend(parameters);
        Ok(signed(&key(&secret.into())?, &message))
    }

    /// Returns the address that Twilio would call instead of `url` with this JSON body, and the header.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::twilio`](crate::Webhook::twilio) refuses.
    pub fn sign_json(
        secret: impl Into<Secret>,
        url: &str,
        json: &[u8],
    ) -> Result<(String, HeaderMap), ConfigError> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}{BODY_HASH}={}", LowerHex(&Sha256::digest(json)));
        let headers = signed(&key(&secret.into())?, &vec![Cow::Borrowed(url.as_bytes())]);
        Ok((url, headers))
    }
}

fn key(secret: &Secret) -> Result<Key, ConfigError> {
    Key::of_token(Algorithm::Sha1, secret)
}

fn signed(key: &Key, message: &Message<'_>) -> HeaderMap {
    Headers::new().with(SIGNATURE, to_base64(&key.tag_of(message))).done()
}

impl Scheme for Twilio {
    fn name(&self) -> &str {
        "twilio"
    }

    fn is_dated(&self) -> bool {
        false
    }

    fn key(&self, secret: &Secret) -> Result<Key, ConfigError> {
        key(secret)
    }

    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault> {
        let signature = Signature::base64(required(&head.headers, SIGNATURE)?)
            .ok_or(Fault::Malformed(SIGNATURE))?;
        Ok(SignatureHeaders::only(signature).named(id_field(&head.headers, IDEMPOTENCY_TOKEN)?))
    }

    fn messages<'r>(
        &'r self,
        _: &SignatureHeaders<'r>,
        head: &'r request::Parts,
        body: &'r [u8],
    ) -> Result<Vec<Message<'r>>, Fault> {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed_of_body = if let Some(hash) = body_hash(head.uri.query().unwrap_or_default())? {
            if !bool::from(Sha256::digest(body).as_slice().ct_eq(hash.bytes())) {
                return Err(Fault::Mismatch);
            }
            Vec::new()
        } else if body.is_empty() {
            Vec::new()
        } else if is_form(&head.headers)? {
            parameters(body)?
        } else {
            return Err(Fault::Mismatch);
        };
        let message = |base: &'r String| {
            let mut message =
                vec![Cow::Borrowed(base.as_bytes()), Cow::Borrowed(target.as_bytes())];
            message.extend(signed_of_body.iter().cloned());
            message
        };
        Ok(self.bases.iter().map(message).collect())
    }
}

/// Returns the hash of the body that the address contains.
fn body_hash(query: &str) -> Result<Option<Signature>, Fault> {
    let malformed = Fault::Malformed(BODY_HASH);
    let mut hashes = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == BODY_HASH).then_some(value)
    });
    let Some(hash) = hashes.next() else { return Ok(None) };
    if hashes.next().is_some() || hash.len() != 64 {
        return Err(malformed);
    }
    Signature::hex(hash).map(Some).ok_or(malformed)
}

fn is_form(headers: &HeaderMap) -> Result<bool, Fault> {
    let media_type = sole(headers.get_all(header::CONTENT_TYPE).iter())
        .map_err(|()| Fault::Malformed("content-type"))?
        .and_then(|value| value.split(';').next());
    Ok(media_type.is_some_and(|media_type| {
        media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }))
}

/// Returns names and values in signing order: by name, then by value, each pair once.
fn parameters(form: &[u8]) -> Result<Vec<Cow<'static, [u8]>>, Fault> {
    let malformed = Fault::Malformed("form");
    let mut pairs = Vec::new();
    for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == MOST_PARAMETERS {
            return Err(malformed);
        }
        let middle = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(middle);
        let value = value.strip_prefix(b"=").unwrap_or(value);
        pairs.push((decoded(name).ok_or(malformed)?, decoded(value).ok_or(malformed)?));
    }
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs.into_iter().flat_map(|(name, value)| [Cow::Owned(name), Cow::Owned(value)]).collect())
}

/// Decodes the escapes of a form to bytes. Not to text: a decoder that replaces invalid UTF-8 by U+FFFD would give two bodies
/// one signature.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let decoded = percent_decode(text).map(|byte| match byte {
        PercentByte::Plain(b'+') => Some(b' '),
        PercentByte::Plain(byte) | PercentByte::Encoded(byte) => Some(byte),
        PercentByte::Invalid => None,
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const FORM: &[u8] = b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";

    /// Twilio's own example has a token of five characters, which the layer rejects.
    fn short_key() -> Key {
        Key::from_bytes(Algorithm::Sha1, &Secret::from("12345")).unwrap()
    }

    fn messages_of(
        base: &str,
        uri: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let request = Request::post(uri).header("content-type", content_type).body(()).unwrap();
        let head = request.into_parts().0;
        let presented = SignatureHeaders::only(Signature::hex("00").unwrap());
        let twilio = Twilio::new(base).unwrap();
        let messages = twilio.messages(&presented, &head, body)?;
        Ok(messages.into_iter().map(|message| message.concat()).collect())
    }

    fn messages(base: &str, uri: &str, body: &[u8]) -> Vec<String> {
        let messages = messages_of(base, uri, "application/x-www-form-urlencoded", body).unwrap();
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn documented_twilio_example_has_its_signature() {
        let message = &messages("https://mycompany.com", "/myapp.php?foo=1&bar=2", FORM)[0];
        assert_eq!(
            message,
            "https://mycompany.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675309\
             Digits1234From+14158675309To+18005551212"
        );
        let tag = short_key().tag_of(&vec![Cow::Borrowed(message.as_bytes())]);
        assert_eq!(to_base64(&tag), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn address_is_signed_with_or_without_its_port() {
        for base in ["https://a.example", "https://a.example:443", "https://a.example/"] {
            assert_eq!(
                messages(base, "/x", b""),
                ["https://a.example/x", "https://a.example:443/x"]
            );
        }
        assert_eq!(messages("http://a.example", "/x", b"")[1], "http://a.example:80/x");
        assert_eq!(
            messages("https://a.example:8443/v2/", "/x?y", b""),
            ["https://a.example/v2/x?y", "https://a.example:8443/v2/x?y"]
        );
    }

    #[test]
    fn host_of_the_request_target_is_ignored() {
        let other = "https://evil.example/x?y=1";
        assert_eq!(messages("https://a.example", other, b"")[0], "https://a.example/x?y=1");
    }

    #[test]
    fn parameters_are_sorted_and_duplicate_pairs_removed() {
        let message = |form: &[u8]| messages("https://a.example", "/", form)[0].clone();
        assert_eq!(message(b"b=2&a=9&b=1&b=2&&c&d="), "https://a.example/a9b1b2cd");
        assert_eq!(message(b"a=x+y&B=%C3%A9%26"), "https://a.example/B\u{e9}&ax y");
    }

    #[test]
    fn undecodable_form_is_malformed() {
        let many = "a=1&".repeat(1001);
        for wrong in [&b"a=%"[..], b"a=%4", b"a=%zz", b"%=1", b"a=%+1", many.as_bytes()] {
            let form = "application/x-www-form-urlencoded";
            assert_eq!(
                messages_of("https://a.example", "/", form, wrong),
                Err(Fault::Malformed("form"))
            );
        }
    }

    #[test]
    fn body_outside_the_signature_is_rejected() {
        for content_type in ["application/json", "text/plain", "multipart/form-data", "x"] {
            let messages = messages_of("https://a.example", "/", content_type, b"{}");
            assert_eq!(messages, Err(Fault::Mismatch));
        }
        let form = "Application/X-WWW-Form-URLEncoded; charset=utf-8";
        assert!(messages_of("https://a.example", "/", form, b"a=1").is_ok());
    }

    #[test]
    fn address_contains_the_body_hash_once() {
        let hash = LowerHex(&Sha256::digest(b"{}")).to_string();
        let of = |query: &str| {
            messages_of("https://a.example", &format!("/?{query}"), "application/json", b"{}")
        };
        assert_eq!(
            of(&format!("a=1&bodySHA256={hash}")).unwrap()[0],
            format!("https://a.example/?a=1&bodySHA256={hash}").as_bytes()
        );
        assert_eq!(of(&format!("bodySHA256={}", "0".repeat(64))), Err(Fault::Mismatch));
        for wrong in [
            format!("bodySHA256={hash}&bodySHA256={hash}"),
            format!("bodySHA256={}", hash.to_uppercase()),
            format!("bodySHA256={}", &hash[..62]),
            "bodySHA256".to_owned(),
        ] {
            assert_eq!(of(&wrong), Err(Fault::Malformed(BODY_HASH)), "{wrong}");
        }
    }
}
