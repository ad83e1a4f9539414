use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::directives::Directives;

/// Reads a targeted field, such as `CDN-Cache-Control`
/// ([RFC 9213, section 2.1](https://www.rfc-editor.org/rfc/rfc9213#section-2.1)).
///
/// Returns `None` if the response has no such field, or one that is empty or not a dictionary of structured fields (RFC 9651):
/// then `Cache-Control` and `Expires` apply. Otherwise they do not.
pub(super) fn directives(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    let dictionary: Dictionary = Parser::new(&text).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut directives = Directives::default();
    for (name, entry) in &dictionary {
        let ListEntry::Item(item) = entry else { continue };
        add(&mut directives, name.as_str(), &item.bare_item);
    }
    Some(directives)
}

/// Adds a directive. A value of another type than the directive has is ignored, unless it restricts the cache.
fn add(directives: &mut Directives, name: &str, value: &BareItem) {
    let number =
        || value.as_integer().and_then(|number| u64::try_from(i64::from(number)).ok()).unwrap_or(0);
    let is_true = !matches!(value, BareItem::Boolean(false));
    match name {
        "max-age" => directives.max_age = Some(number()),
        "s-maxage" => directives.s_maxage = Some(number()),
        "stale-while-revalidate" => directives.stale_while_revalidate = Some(number()),
        "stale-if-error" => directives.stale_if_error = Some(number()),
        "no-store" => directives.no_store = is_true,
        "no-cache" => directives.no_cache = is_true,
        "private" => directives.private = is_true,
        "public" => directives.public = matches!(value, BareItem::Boolean(true)),
        "must-revalidate" => directives.must_revalidate = is_true,
        "proxy-revalidate" => directives.proxy_revalidate = is_true,
        "must-understand" => directives.must_understand = is_true,
        _ => {}
    }
}
