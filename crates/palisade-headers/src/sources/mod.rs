//! The sources of a directive. Sources that browsers would ignore are errors.

mod host;

use palisade_core::ConfigError;

pub(crate) use host::check_origin;

/// Stands for the nonce of each response.
pub(crate) const NONCE: &str = "'nonce'";

/// The keywords that any directive with sources may have.
const EVERYWHERE: [&str; 2] = ["'none'", "'self'"];

/// The keywords about code inside of a page. They mean something where scripts or styles are allowed
/// ([CSP 3, keyword-source](https://www.w3.org/TR/CSP3/#grammardef-keyword-source)).
const INLINE: [&str; 3] = ["'unsafe-inline'", "'unsafe-hashes'", "'report-sample'"];

/// The keywords about scripts.
const SCRIPTS: [&str; 8] = [
    "'unsafe-eval'",
    "'wasm-unsafe-eval'",
    "'trusted-types-eval'",
    "'strict-dynamic'",
    "'inline-speculation-rules'",
    "'report-sha256'",
    "'report-sha384'",
    "'report-sha512'",
];

/// The algorithms of hashes, and how many characters a hash has in base64 without its padding.
const HASHES: [(&str, usize); 3] = [("'sha256-", 43), ("'sha384-", 64), ("'sha512-", 86)];

/// The type of a directive, which determines its valid sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// `default-src`, which stands for directives of all kinds.
    Everything,
    Scripts,
    Styles,
    /// Resources that are loaded by URL and cannot be inline.
    Places,
}

/// Checks the sources of one directive: that browsers understand each, and that they do not contradict each other.
pub(crate) fn check(
    setting: &'static str,
    about: About,
    sources: &[String],
) -> Result<(), ConfigError> {
    if sources.is_empty() {
        return Err(ConfigError::without_value(
            setting,
            "the list is empty: write `'none'` for nothing, or leave the directive out",
        ));
    }
    for source in sources {
        check_source(source, about).map_err(|remedy| ConfigError::new(setting, source, remedy))?;
    }
    let has = |wanted: &str| sources.iter().any(|source| source == wanted);
    let has_hash = sources.iter().any(|source| is_hash(source));
    let contradiction = |value: &str, remedy: &'static str| {
        Err(ConfigError::new(setting, value.to_owned(), remedy))
    };
    if has("'none'") && sources.len() > 1 {
        return contradiction("'none'", "remove it: it has an effect only if it is alone");
    }
    if has("'unsafe-inline'") && (has_hash || has(NONCE)) {
        let remedy = "leave it out; a hash or a nonce beside it turns it off";
        return contradiction("'unsafe-inline'", remedy);
    }
    if has("'strict-dynamic'") {
        if !has_hash && !has(NONCE) {
            return contradiction(
                "'strict-dynamic'",
                "list the hash of a script or a nonce beside it; without one, no script may be loaded at all",
            );
        }
        let is_turned_off = |source: &&String| !source.starts_with('\'') || *source == "'self'";
        if about == About::Scripts
            && let Some(place) = sources.iter().find(is_turned_off)
        {
            return contradiction(place, "leave it out; 'strict-dynamic' beside it turns it off");
        }
    }
    let repeated = |(place, source): &(usize, &String)| {
        sources[..*place].iter().any(|other| other.eq_ignore_ascii_case(source) && !is_hash(source))
            || sources[..*place].contains(source)
    };
    if let Some((_, twice)) = sources.iter().enumerate().find(repeated) {
        return contradiction(twice, "list it once");
    }
    Ok(())
}

fn is_hash(source: &str) -> bool {
    HASHES.iter().any(|(prefix, _)| source.starts_with(prefix))
}

fn keywords() -> impl Iterator<Item = &'static str> {
    EVERYWHERE.into_iter().chain(INLINE).chain(SCRIPTS)
}

fn check_source(source: &str, about: About) -> Result<(), String> {
    // Any other byte could end the directive, the policy or the header field.
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
    if source.is_empty() || !source.bytes().all(fits) {
        return Err(
            "a source has no white space, no `;`, no `,` and only ASCII; list each by itself"
                .into(),
        );
    }
    if source == NONCE || keywords().any(|keyword| keyword == source) || is_hash(source) {
        return check_quoted(source, about);
    }
    let quoted = format!("'{}'", source.trim_matches(['\'', '"']).to_ascii_lowercase());
    if keywords().any(|keyword| keyword == quoted) {
        return Err(format!("write `{quoted}`, in lower case and with the quotes"));
    }
    if quoted.starts_with("'nonce-") || quoted == NONCE {
        return Err(
            "a nonce must be different in each response (CSP 3, section 7.1): list `ContentSecurityPolicy::NONCE`"
                .into(),
        );
    }
    if source.starts_with('\'') {
        return Err("it is neither a keyword nor a hash of CSP".into());
    }
    host::check(source).map_err(str::to_owned)
}

/// Checks a quoted source: a keyword, a hash or the nonce.
fn check_quoted(source: &str, about: About) -> Result<(), String> {
    if let Some((prefix, length)) = HASHES.iter().find(|(prefix, _)| source.starts_with(prefix)) {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
        let hash = source[prefix.len()..]
            .strip_suffix('\'')
            .ok_or("it is neither a keyword nor a hash of CSP")?;
        let digits = hash.trim_end_matches('=');
        if digits.is_empty() || !digits.bytes().all(is_base64) {
            return Err("it is neither a keyword nor a hash of CSP".into());
        }
        if digits.len() != *length || hash.len() - digits.len() > 2 {
            return Err(format!(
                "a hash of this algorithm has {length} characters in base64; this one matches nothing"
            ));
        }
    }
    let is_about_scripts = SCRIPTS.contains(&source);
    let fits = match about {
        About::Everything | About::Scripts => true,
        About::Styles => !is_about_scripts,
        About::Places => EVERYWHERE.contains(&source),
    };
    if fits { Ok(()) } else { Err("remove it: it has no effect in this directive".into()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(sources: &[&str]) -> Vec<String> {
        sources.iter().map(|source| (*source).to_owned()).collect()
    }

    fn checked(sources: &[&str]) -> Result<(), String> {
        check("script_src", About::Scripts, &owned(sources)).map_err(|error| error.to_string())
    }

    const HASH: &str = "'sha256-B2yPHKaXnvFWtRChIbabYmUBFZdVfKKXHbWtWidDVF8='";

    #[test]
    fn accepts_sources_that_browsers_understand() {
        let sha384 = format!("'sha384-{}'", "A".repeat(64));
        let sha512 = format!("'sha512-{}=='", "A".repeat(86));
        for sources in [
            &["'none'"][..],
            &["'self'"],
            &["*"],
            &["https:", "data:", "wss:"],
            &["https://cdn.example.com", "*.example.com:443", "cdn.example.com/js/"],
            &["'self'", "'unsafe-inline'"],
            &["'self'", "'wasm-unsafe-eval'", "'report-sample'"],
            &["'strict-dynamic'", HASH],
            &["'strict-dynamic'", NONCE],
            &[NONCE, "'self'", HASH, &sha384, &sha512],
        ] {
            assert_eq!(checked(sources), Ok(()), "{sources:?}");
        }
    }

    #[test]
    fn rejects_sources_that_browsers_misread() {
        for (sources, remedy) in [
            (&[][..], "the list is empty"),
            (&[""], "no white space"),
            (&["self"], "write `'self'`"),
            (&["none"], "write `'none'`"),
            (&["\"self\""], "write `'self'`"),
            (&["'SELF'"], "write `'self'`"),
            (&["unsafe-inline"], "write `'unsafe-inline'`"),
            (&["'none'", "'self'"], "only if it is alone"),
            (&["'self'", "'none'"], "only if it is alone"),
            (&["'self'", "'self'"], "list it once"),
            (&["https://a.example", "https://A.example"], "list it once"),
            (&["https://a.example https://b.example"], "list each by itself"),
            (&["'nonce-abc'"], "ContentSecurityPolicy::NONCE"),
            (&["nonce-abc"], "ContentSecurityPolicy::NONCE"),
            (&["'self"], "write `'self'`"),
            (&["'selfish'"], "neither a keyword nor a hash"),
            (&["'sha256-'"], "neither a keyword nor a hash"),
            (&["'sha256-AAAA'"], "has 43 characters"),
            (
                &["'sha256-B2yPHKaXnvFWtRChIbabYmUBFZdVfKKXHbWtWidDVF8"],
                "neither a keyword nor a hash",
            ),
            (&["'md5-AAAA'"], "neither a keyword nor a hash"),
            (&["'unsafe-inline'", HASH], "turns it off"),
            (&["'unsafe-inline'", NONCE], "turns it off"),
            (&["'self'", "'strict-dynamic'"], "the hash of a script"),
            (&["https://a.example", NONCE, "'strict-dynamic'"], "turns it off"),
            (&["'self'", NONCE, "'strict-dynamic'"], "turns it off"),
            (&["https:/x"], "write a"),
            (&["*.*.example.com"], "only once"),
            (&["//cdn.example.com"], "a host in front of it"),
            (&["https://user@example.com"], "write a"),
        ] {
            let error = checked(sources).expect_err(remedy);
            assert!(error.starts_with("script_src "), "{error}");
            assert!(error.contains(remedy), "{sources:?}: {error}");
        }
    }

    #[test]
    fn sources_that_chromium_ignores_are_rejected_everywhere() {
        for about in [About::Everything, About::Scripts, About::Styles, About::Places] {
            for source in host::IGNORED.lines() {
                assert!(check("img_src", about, &owned(&[source])).is_err(), "{source}");
            }
        }
    }

    #[test]
    fn keyword_without_effect_in_its_directive_is_rejected() {
        let fits = |about, source: &str| check("x", about, &owned(&[source])).is_ok();
        for keyword in INLINE.into_iter().chain([HASH, NONCE]) {
            assert!(!fits(About::Places, keyword), "{keyword}");
            assert!(fits(About::Styles, keyword) && fits(About::Everything, keyword), "{keyword}");
        }
        for keyword in ["'unsafe-eval'", "'wasm-unsafe-eval'", "'inline-speculation-rules'"] {
            assert!(!fits(About::Places, keyword) && !fits(About::Styles, keyword), "{keyword}");
            assert!(fits(About::Scripts, keyword) && fits(About::Everything, keyword), "{keyword}");
        }
    }

    #[test]
    fn rejects_sources_that_end_a_directive_or_field() {
        for injected in [
            "https://a.example; script-src *",
            "https://a.example;script-src",
            "'self', default-src",
            "https://a.example,",
            "https://a.example\r\nset-cookie:a=b",
            "https://a.example\n",
            "https://a.example\0",
            "https://ex\u{e4}mple.com",
            "https://a.example\t*",
        ] {
            assert!(checked(&[injected]).is_err(), "{injected:?}");
        }
    }

    proptest! {
        #[test]
        fn accepted_source_never_leaves_its_directive(source in any::<String>()) {
            if check("script_src", About::Scripts, std::slice::from_ref(&source)).is_ok() {
                prop_assert!(source.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!source.contains([';', ',']));
            }
        }
    }
}
