use palisade_core::{ApiError, ErrorCode, IssueCode};

/// One code that clients may meet, and the crate that it comes from.
///
/// ```
/// let entry = palisade::catalogue().find(|entry| entry.code.code == "RATE_LIMITED").unwrap();
/// assert_eq!((entry.from, entry.code.status.as_u16()), ("palisade-core", 429));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogueEntry {
    /// The name of the crate.
    pub from: &'static str,
    /// The code, and what it stands for.
    pub code: ErrorCode,
}

/// Every error code of Palisade's crates, by HTTP status: what `docs/errors.md` lists, and `docs/errors.json` for
/// programs. Yours come from your own [`ErrorCode`]s.
///
/// ```
/// for entry in palisade::catalogue() {
///     println!("{} {}: {}", entry.code.status.as_u16(), entry.code.code, entry.code.message);
/// }
/// ```
pub fn catalogue() -> impl Iterator<Item = CatalogueEntry> {
    let mut entries: Vec<_> = entries_of("palisade-core", ApiError::KINDS).collect();
    #[cfg(feature = "auth")]
    entries.extend(entries_of("palisade-auth", palisade_auth::CODES));
    #[cfg(feature = "body")]
    entries.extend(entries_of("palisade-body", palisade_body::CODES));
    #[cfg(feature = "cache")]
    entries.extend(entries_of("palisade-cache", palisade_cache::CODES));
    #[cfg(feature = "cors")]
    entries.extend(entries_of("palisade-cors", palisade_cors::CODES));
    #[cfg(feature = "headers")]
    entries.extend(entries_of("palisade-headers", palisade_headers::CODES));
    #[cfg(feature = "idempotency")]
    entries.extend(entries_of("palisade-idempotency", palisade_idempotency::CODES));
    #[cfg(feature = "validate")]
    entries.extend(entries_of("palisade-validate", palisade_validate::CODES));
    #[cfg(feature = "webhook")]
    entries.extend(entries_of("palisade-webhook", palisade_webhook::CODES));
    entries.sort_by_key(|entry| entry.code.status);
    entries.into_iter()
}

fn entries_of(
    from: &'static str,
    codes: &'static [ErrorCode],
) -> impl Iterator<Item = CatalogueEntry> {
    codes.iter().map(move |code| CatalogueEntry { from, code: *code })
}

/// One code of an issue that clients may meet, and the crate that finds it.
///
/// ```
/// let entry = palisade::issue_codes().find(|entry| entry.code.code == "too_small").unwrap();
/// assert_eq!(entry.from, "palisade-validate");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssueCatalogueEntry {
    /// The name of the crate.
    pub from: &'static str,
    /// The code, and what it stands for.
    pub code: IssueCode,
}

/// Every code that Palisade's crates give to single issues: the second list of `docs/errors.md` and `docs/errors.json`.
///
/// ```
/// for entry in palisade::issue_codes() {
///     println!("{}: {}", entry.code.code, entry.code.about);
/// }
/// ```
pub fn issue_codes() -> impl Iterator<Item = IssueCatalogueEntry> {
    let lists: &[(&'static str, &'static [IssueCode])] = &[
        #[cfg(feature = "validate")]
        ("palisade-validate", palisade_validate::ISSUE_CODES),
        #[cfg(feature = "rate-limit")]
        ("palisade-rate-limit", palisade_rate_limit::ISSUE_CODES),
    ];
    let entries = |(from, codes): &(&'static str, &'static [IssueCode])| {
        let from = *from;
        codes.iter().map(move |code| IssueCatalogueEntry { from, code: *code })
    };
    lists.iter().flat_map(entries).collect::<Vec<_>>().into_iter()
}
