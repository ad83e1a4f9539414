use http::{HeaderMap, header};

/// The cookies of a request: names and values, as they came.
///
/// HTTP/2 may split one `Cookie` field into several (RFC 9113, section 8.2.3), so all of them are read. A name that comes
/// twice is given twice: another path or a parent domain set one of them, and the order does not say who (RFC 6265,
/// section 4.2.2).
///
/// These few lines and not the `cookie` crate, for two reasons. Its parser takes a string, and one cookie with a byte
/// beyond ASCII, from a script of somebody else on the page, would hide all others. And it trims more than RFC 6265 has,
/// so a name that no browser protects becomes one that it does: whoever may set `"\u{2000}__Host-session"` must not set
/// `__Host-session`.
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
    // `cookie-string = cookie-pair *( ";" SP cookie-pair )` (RFC 6265, section 4.2.1). A pair that is none is passed over.
    // There are no quoted strings: a `;` ends a cookie wherever it stands, and a `"` is part of the value, so no cookie
    // can swallow the next one.
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let pair = &pair[blanks..];
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((&pair[..equals], &pair[equals + 1..]))
    })
}
