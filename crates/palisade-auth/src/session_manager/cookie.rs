use std::time::Duration;

use http::HeaderValue;

/// Which requests from other sites carry the session cookie
/// ([RFC 6265bis, section 4.1.2.7](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.2.7)).
///
/// There is no `None`: a page of another site would then act with the session of its visitor.
///
/// ```
/// use palisade_auth::SameSite;
///
/// assert_eq!(SameSite::default(), SameSite::Lax);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// Only links and other navigations by GET, so that a visitor who follows a link is logged in.
    #[default]
    Lax,
    /// None.
    Strict,
}

/// The `Set-Cookie` fields of one cookie.
#[derive(Debug)]
pub(super) struct SessionCookie {
    pub(super) name: Box<str>,
    pub(super) same_site: SameSite,
}

impl SessionCookie {
    /// The field that gives the browser this token for this time.
    pub(super) fn set(&self, token: &str, max_age: Duration) -> Option<HeaderValue> {
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        };
        let (name, seconds) = (&self.name, max_age.as_secs());
        let field = format!(
            "{name}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite={same_site}"
        );
        let mut field = HeaderValue::try_from(field).ok()?;
        field.set_sensitive(true);
        Some(field)
    }

    /// The field that makes the browser forget the token.
    pub(super) fn remove(&self) -> Option<HeaderValue> {
        self.set("", Duration::ZERO)
    }
}
