//! The signature base of a message.

use std::borrow::Cow;

use http::request;

use super::{HttpSignatures, fields::Input};
use crate::scheme::{Fault, sole};

impl HttpSignatures {
    /// Returns the signature base (RFC 9421, section 2.5).
    pub(super) fn base(&self, input: &Input<'_>, head: &request::Parts) -> Result<Vec<u8>, Fault> {
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
                let value = sole(head.headers.get_all(field).iter());
                let value = value.ok().flatten().ok_or(Fault::Malformed("components"))?;
                Cow::Borrowed(value.trim_matches([' ', '\t']))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use http::Request;
    use palisade_core::Secret;

    use super::*;
    use crate::{
        http_message::fields::inputs,
        key::{Algorithm, Key, Keys},
        scheme::SignatureHeaders,
        signature::{Kind, Signature},
    };

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
        let keys = Keys::new(vec![(input.keyid.unwrap().into(), key.clone())]).unwrap();
        keys.which_signed(&[vec![Cow::Owned(base)]], &SignatureHeaders::only(signature)).is_some()
    }

    #[test]
    fn the_hmac_of_rfc_9421_appendix_b_2_5() {
        let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let secret = Secret::from(STANDARD.decode(secret).unwrap());
        let key = Key::from_bytes(Algorithm::Sha256, &secret).unwrap();
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
    fn derived_components_use_configured_address_and_request() {
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
}
