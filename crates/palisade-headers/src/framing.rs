use http::HeaderValue;
use palisade_core::ConfigError;

use crate::sources;

/// Whose pages may show this one in a frame: `frame-ancestors` in `Content-Security-Policy`
/// ([CSP 3, section 6.4.2](https://www.w3.org/TR/CSP3/#directive-frame-ancestors)), and `X-Frame-Options` for what does
/// not know it ([RFC 7034](https://www.rfc-editor.org/rfc/rfc7034)).
///
/// The two are one setting, because a browser that knows both follows the first: two answers would be one too many.
///
/// ```
/// use palisade_headers::{Framing, SecurityHeaders};
///
/// let security = SecurityHeaders::pages()
///     .framing(Framing::by(["https://portal.example.com"]))
///     .build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing(Ancestors);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ancestors {
    Nobody,
    SameOrigin,
    These(Vec<String>),
}

impl Framing {
    /// No page: `frame-ancestors 'none'`, `X-Frame-Options: DENY`.
    pub fn by_nobody() -> Self {
        Self(Ancestors::Nobody)
    }

    /// Pages of the same origin: `frame-ancestors 'self'`, `X-Frame-Options: SAMEORIGIN`.
    pub fn by_same_origin() -> Self {
        Self(Ancestors::SameOrigin)
    }

    /// Pages of these origins, which may have `https://*.` in front. The same origin is `'self'`.
    ///
    /// There is no `X-Frame-Options` then: it cannot name origins.
    pub fn by<I>(origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Self(Ancestors::These(origins.into_iter().map(|it| it.as_ref().to_owned()).collect()))
    }

    pub(crate) fn x_frame_options(&self) -> Option<HeaderValue> {
        match self.0 {
            Ancestors::Nobody => Some(HeaderValue::from_static("DENY")),
            Ancestors::SameOrigin => Some(HeaderValue::from_static("SAMEORIGIN")),
            Ancestors::These(_) => None,
        }
    }

    pub(crate) fn directive(&self) -> Result<String, ConfigError> {
        Ok(match &self.0 {
            Ancestors::Nobody => "frame-ancestors 'none'".to_owned(),
            Ancestors::SameOrigin => "frame-ancestors 'self'".to_owned(),
            Ancestors::These(origins) => {
                sources::check("framing", origins)?;
                for origin in origins.iter().filter(|origin| *origin != "'self'") {
                    sources::check_origin(origin)
                        .map_err(|remedy| ConfigError::new("framing", origin, remedy))?;
                }
                format!("frame-ancestors {}", origins.join(" "))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_headers_say_the_same() {
        for (framing, directive, x_frame_options) in [
            (Framing::by_nobody(), "frame-ancestors 'none'", Some("DENY")),
            (Framing::by_same_origin(), "frame-ancestors 'self'", Some("SAMEORIGIN")),
            (
                Framing::by(["'self'", "https://*.example.com"]),
                "frame-ancestors 'self' https://*.example.com",
                None,
            ),
        ] {
            assert_eq!(framing.directive().unwrap(), directive);
            let value = framing.x_frame_options();
            assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), x_frame_options);
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origins in [
            &[][..],
            &["*"],
            &["'none'", "https://a.example"],
            &["https://a.example/"],
            &["https://a.example; sandbox"],
            &["self"],
            &["'unsafe-inline'"],
        ] {
            assert_eq!(Framing::by(origins).directive().unwrap_err().setting(), "framing");
        }
    }
}
