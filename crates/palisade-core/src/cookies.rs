use http::{HeaderMap, header};

/// Returns the names and values of a request's cookies, unchanged.
///
/// All `Cookie` fields are read, because HTTP/2 may split one into several (RFC 9113, section 8.2.3). A duplicate name is
/// returned twice: another path or a parent domain has set one of them, and the order does not tell which (RFC 6265, section
/// 4.2.2).
///
/// The `cookie` crate is not used, for two reasons. Its parser requires a string, so that one cookie with a non-ASCII byte, set
/// by another script on the page, would hide all others. And it trims more characters than RFC 6265, so that a cookie
/// `"\u{2000}__Host-session"`, which browsers do not protect, would be read as `__Host-session`.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::COOKIE};
/// use palisade_core::cookies;
///
/// let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("theme=dark; lang=de"))]);
/// let cookies: Vec<_> = cookies(&headers).collect();
/// assert_eq!(cookies, [(&b"theme"[..], &b"dark"[..]), (b"lang", b"de")]);
/// ```
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    // `cookie-string = cookie-pair *( ";" SP cookie-pair )` (RFC 6265, section 4.2.1). Invalid pairs are skipped. There are no
    // quoted strings: a `;` always ends a cookie, and a `"` is part of the value, so a cookie cannot swallow the next one.
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let pair = &pair[blanks..];
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..]))
    })
}
