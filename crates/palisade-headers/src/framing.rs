use http::HeaderValue;
use palisade_core::ConfigError;

use crate::sources::{self, About};

/// The pages that may show this one in a frame: `frame-ancestors` in `Content-Security-Policy` ([CSP 3, section
/// 6.4.2](https://www.w3.org/TR/CSP3/#directive-frame-ancestors)), and `X-Frame-Options` for older browsers ([RFC
/// 7034](https://www.rfc-editor.org/rfc/rfc7034)).
///
/// The two are one setting, because browsers ignore `X-Frame-Options` if `frame-ancestors` is present.
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
pub struct Framing {
    ancestors: Ancestors,
    /// Chosen by the user.
    x_frame_options: Option<FrameOptions>,
}

/// The values of `X-Frame-Options`. A third one, `ALLOW-FROM`, is ignored by browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameOptions {
    /// No page.
    ///
    /// `DENY`
    Deny,
    /// Pages of the same origin.
    ///
    /// `SAMEORIGIN`
    SameOrigin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ancestors {
    Nobody,
    SameOrigin,
    These(Vec<String>),
}

impl Framing {
    /// Allows no page: `frame-ancestors 'none'`, `X-Frame-Options: DENY`.
    pub fn by_nobody() -> Self {
        Self::new(Ancestors::Nobody)
    }

    /// Pages of the same origin: `frame-ancestors 'self'`, `X-Frame-Options: SAMEORIGIN`.
    pub fn by_same_origin() -> Self {
        Self::new(Ancestors::SameOrigin)
    }

    /// Pages of these origins, which may begin with `https://*.`. The same origin is `'self'`.
    ///
    /// Without [`x_frame_options`](Self::x_frame_options) there is no `X-Frame-Options` then, because it cannot name
    /// origins.
    pub fn by<I>(origins: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        Self::new(Ancestors::These(origins.into_iter().map(|it| it.as_ref().to_owned()).collect()))
    }

    /// Sets `X-Frame-Options`, for browsers without `frame-ancestors` and for scanners that check the header.
    pub fn x_frame_options(mut self, options: FrameOptions) -> Self {
        self.x_frame_options = Some(options);
        self
    }

    fn new(ancestors: Ancestors) -> Self {
        Self { ancestors, x_frame_options: None }
    }

    /// Returns true if the two headers do not say the same.
    pub(crate) fn names_origins(&self) -> bool {
        matches!(self.ancestors, Ancestors::These(_))
    }

    pub(crate) fn x_frame_options_value(&self) -> Option<HeaderValue> {
        let options = self.x_frame_options.or(match self.ancestors {
            Ancestors::Nobody => Some(FrameOptions::Deny),
            Ancestors::SameOrigin => Some(FrameOptions::SameOrigin),
            Ancestors::These(_) => None,
        })?;
        Some(HeaderValue::from_static(match options {
            FrameOptions::Deny => "DENY",
            FrameOptions::SameOrigin => "SAMEORIGIN",
        }))
    }

    pub(crate) fn directive(&self) -> Result<String, ConfigError> {
        Ok(match &self.ancestors {
            Ancestors::Nobody => "frame-ancestors 'none'".to_owned(),
            Ancestors::SameOrigin => "frame-ancestors 'self'".to_owned(),
            Ancestors::These(origins) => {
                sources::check("framing", About::Places, origins)?;
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
    fn framing_writes_csp_and_x_frame_options() {
        for (framing, directive, x_frame_options) in [
            (Framing::by_nobody(), "frame-ancestors 'none'", Some("DENY")),
            (Framing::by_same_origin(), "frame-ancestors 'self'", Some("SAMEORIGIN")),
            (
                Framing::by(["'self'", "https://*.example.com", "chrome-extension://abcdef"]),
                "frame-ancestors 'self' https://*.example.com chrome-extension://abcdef",
                None,
            ),
            (
                Framing::by(["https://a.example"]).x_frame_options(FrameOptions::SameOrigin),
                "frame-ancestors https://a.example",
                Some("SAMEORIGIN"),
            ),
            (
                Framing::by_same_origin().x_frame_options(FrameOptions::Deny),
                "frame-ancestors 'self'",
                Some("DENY"),
            ),
        ] {
            assert_eq!(framing.directive().unwrap(), directive);
            let value = framing.x_frame_options_value();
            assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), x_frame_options);
        }
    }

    #[test]
    fn rejects_invalid_framing_origins() {
        for origins in [
            &[][..],
            &["*"],
            &["'none'", "https://a.example"],
            &["https://a.example/"],
            &["https://a.example; sandbox"],
            &["self"],
            &["'unsafe-inline'"],
            &["https://*"],
            &["https:"],
            &["https://*.*.example.com"],
            &["https://a.example/portal"],
            &["https://a.example:443:443"],
            &["https://[::1]"],
            &["https://a..example"],
            &["data:"],
        ] {
            assert_eq!(Framing::by(origins).directive().unwrap_err().setting(), "framing");
        }
    }
}
