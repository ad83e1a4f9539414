use palisade_core::ConfigError;

/// The keywords that stand in quotes
/// ([CSP 3, keyword-source](https://www.w3.org/TR/CSP3/#grammardef-keyword-source)), and `'none'`.
const KEYWORDS: [&str; 12] = [
    "'none'",
    "'self'",
    "'unsafe-inline'",
    "'unsafe-eval'",
    "'strict-dynamic'",
    "'unsafe-hashes'",
    "'report-sample'",
    "'unsafe-allow-redirects'",
    "'wasm-unsafe-eval'",
    "'trusted-types-eval'",
    "'report-sha256'",
    "'inline-speculation-rules'",
];

const HASHES: [&str; 3] = ["'sha256-", "'sha384-", "'sha512-"];

/// Checks the sources of one directive: that browsers understand each, and that they do not contradict each other.
pub(crate) fn check(setting: &'static str, sources: &[String]) -> Result<(), ConfigError> {
    if sources.is_empty() {
        return Err(ConfigError::without_value(
            setting,
            "the list is empty: write `'none'` for nothing, or leave the directive out",
        ));
    }
    for source in sources {
        check_source(source).map_err(|remedy| ConfigError::new(setting, source, remedy))?;
    }
    let has = |wanted: &str| sources.iter().any(|source| source == wanted);
    let has_hash = sources.iter().any(|source| is_hash(source));
    let contradiction = |value: &str, remedy: &'static str| {
        Err(ConfigError::new(setting, value.to_owned(), remedy))
    };
    if has("'none'") && sources.len() > 1 {
        return contradiction("'none'", "leave it out; it counts only where it is alone");
    }
    if has("'unsafe-inline'") && has_hash {
        return contradiction("'unsafe-inline'", "leave it out; a hash beside it turns it off");
    }
    if has("'strict-dynamic'") && !has_hash {
        return contradiction(
            "'strict-dynamic'",
            "list the hash of a script beside it; without one, nothing may be loaded at all",
        );
    }
    let repeated = |(place, source): &(usize, &String)| sources[..*place].contains(source);
    if let Some((_, twice)) = sources.iter().enumerate().find(repeated) {
        return contradiction(twice, "list it once");
    }
    Ok(())
}

fn is_hash(source: &str) -> bool {
    HASHES.iter().any(|prefix| source.starts_with(prefix))
}

fn check_source(source: &str) -> Result<(), String> {
    // What is outside of these could end the directive, the policy or the header field.
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
    if source.is_empty() || !source.bytes().all(fits) {
        return Err(
            "a source has no white space, no `;`, no `,` and only ASCII; list each by itself"
                .into(),
        );
    }
    if KEYWORDS.contains(&source) {
        return Ok(());
    }
    let quoted = format!("'{}'", source.trim_matches(['\'', '"']).to_ascii_lowercase());
    if KEYWORDS.contains(&quoted.as_str()) {
        return Err(format!("write `{quoted}`, in lower case and with the quotes"));
    }
    if quoted.starts_with("'nonce-") {
        return Err(
            "a nonce must be another one on each response (CSP 3, section 7.1): let the service set the whole header"
                .into(),
        );
    }
    if source.starts_with('\'') {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
        let hash = HASHES.iter().find_map(|prefix| source.strip_prefix(prefix));
        return match hash.and_then(|hash| hash.strip_suffix('\'')) {
            Some(hash) if !hash.is_empty() && hash.bytes().all(is_base64) => Ok(()),
            _ => Err("it is no keyword and no hash of CSP".into()),
        };
    }
    if source.contains(['\'', '"', '`', '<', '>', '\\', '#', '?', '@']) {
        return Err("write a host, a scheme or an origin, as in `https://cdn.example.com`".into());
    }
    Ok(())
}

/// Checks that a source is one origin, as it stands in lists of origins.
pub(crate) fn check_origin(origin: &str) -> Result<(), &'static str> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return Err("write an origin in full, as in `https://app.example.com`");
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]*".contains(&byte);
    if !host.bytes().all(fits) {
        return Err("write scheme, host and port only, without a slash at the end");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(sources: &[&str]) -> Result<(), String> {
        let sources: Vec<_> = sources.iter().map(|source| (*source).to_owned()).collect();
        check("script_src", &sources).map_err(|error| error.to_string())
    }

    #[test]
    fn what_browsers_understand_is_taken() {
        for sources in [
            &["'none'"][..],
            &["'self'"],
            &["*"],
            &["https:", "data:", "wss:"],
            &["https://cdn.example.com", "*.example.com:443", "cdn.example.com/js/", "[::1]:3000"],
            &["'self'", "'unsafe-inline'"],
            &["'strict-dynamic'", "'sha256-B2yPHKaXnvFWtRChIbabYmUBFZdVfKKXHbWtWidDVF8='"],
        ] {
            assert_eq!(checked(sources), Ok(()), "{sources:?}");
        }
    }

    #[test]
    fn what_browsers_would_misread_is_refused() {
        for (sources, remedy) in [
            (&[][..], "the list is empty"),
            (&[""], "no white space"),
            (&["self"], "write `'self'`"),
            (&["none"], "write `'none'`"),
            (&["\"self\""], "write `'self'`"),
            (&["'SELF'"], "write `'self'`"),
            (&["unsafe-inline"], "write `'unsafe-inline'`"),
            (&["'none'", "'self'"], "only where it is alone"),
            (&["'self'", "'none'"], "only where it is alone"),
            (&["'self'", "'self'"], "list it once"),
            (&["https://a.example https://b.example"], "list each by itself"),
            (&["'nonce-abc'"], "another one on each response"),
            (&["'self"], "write `'self'`"),
            (&["'selfish'"], "no keyword"),
            (&["'sha256-'"], "no keyword"),
            (&["'md5-AAAA'"], "no keyword"),
            (&["'unsafe-inline'", "'sha256-AAAA'"], "turns it off"),
            (&["'self'", "'strict-dynamic'"], "the hash of a script"),
            (&["https://user@example.com"], "write a host"),
        ] {
            let error = checked(sources).expect_err(remedy);
            assert!(error.starts_with("script_src "), "{error}");
            assert!(error.contains(remedy), "{sources:?}: {error}");
        }
    }

    #[test]
    fn nothing_that_ends_a_directive_or_a_field_is_a_source() {
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

    #[test]
    fn an_origin_has_a_scheme_a_host_and_nothing_behind_it() {
        for origin in ["https://app.example.com", "http://localhost:3000", "https://*.example.com"]
        {
            assert_eq!(check_origin(origin), Ok(()));
        }
        for other in [
            "",
            "app.example.com",
            "https://",
            "https://a.example/",
            "ftp://a",
            "https://a\"b",
            "*",
        ] {
            assert!(check_origin(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_inside_of_its_directive(source in any::<String>()) {
            if check("script_src", std::slice::from_ref(&source)).is_ok() {
                prop_assert!(source.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!source.contains([';', ',']));
            }
        }
    }
}
