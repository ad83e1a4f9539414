use std::collections::BTreeMap;

use super::ApiError;
use crate::ConfigError;

/// The problem types of a service, by code (RFC 9457, section 3.1.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct ProblemTypes(BTreeMap<String, ProblemType>);

#[derive(Clone, Debug)]
struct ProblemType {
    uri: String,
    title: String,
}

/// The type of an exceeded quota (draft-ietf-httpapi-ratelimit-headers-10, section 5.1).
const QUOTA_EXCEEDED: (&str, &str) = (
    "https://iana.org/assignments/http-problem-types#quota-exceeded",
    "Request cannot be satisfied as assigned quota has been exceeded",
);

/// The type of a temporarily reduced quota (section 5.2 of the draft).
const TEMPORARY_REDUCED_CAPACITY: (&str, &str) = (
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    "Request cannot be satisfied due to temporary server capacity constraints",
);

impl ProblemTypes {
    pub(crate) fn add(&mut self, code: &str, uri: &str, title: &str) -> Result<(), ConfigError> {
        if !is_absolute_uri(uri) {
            return Err(ConfigError::new(
                "problem_type",
                uri,
                format!(
                    "the type of `{code}` is an absolute URI, such as `https://api.example.com/problems/out-of-stock`"
                ),
            ));
        }
        if title.is_empty() {
            return Err(ConfigError::without_value(
                "problem_type",
                format!("write a short title that fits all problems with the code `{code}`"),
            ));
        }
        let kind = ProblemType { uri: uri.to_owned(), title: title.to_owned() };
        self.0.insert(code.to_owned(), kind);
        Ok(())
    }

    /// Type and title of an error.
    pub(super) fn for_error<'a>(&'a self, error: &ApiError) -> (&'a str, &'a str) {
        if let Some(kind) = self.0.get(error.code()) {
            return (&kind.uri, &kind.title);
        }
        match error.quota_violations() {
            // With `about:blank` the title is the status phrase (RFC 9457, section 4.2.1).
            [] => ("about:blank", error.status().canonical_reason().unwrap_or("Error")),
            _ if error.status().is_server_error() => TEMPORARY_REDUCED_CAPACITY,
            _ => QUOTA_EXCEEDED,
        }
    }
}

/// A scheme, a colon and something, of the characters that a URI has (RFC 3986).
fn is_absolute_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let scheme_is_one = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let in_uri =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    scheme_is_one && !rest.is_empty() && rest != "//" && rest.bytes().all(in_uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceeded_quota_has_the_problem_type_of_the_draft() {
        let mut types = ProblemTypes::default();
        let quota = || crate::QuotaViolation::new("daily", 1);
        let name = |types: &ProblemTypes, error: ApiError| {
            types.for_error(&error).0.rsplit(['#', '/']).next().map(str::to_owned)
        };
        let limited = || ApiError::rate_limited().with_quota_violation(quota());
        let reduced = || ApiError::unavailable().with_quota_violation(quota());
        assert_eq!(name(&types, ApiError::rate_limited()).unwrap(), "about:blank");
        assert_eq!(name(&types, limited()).unwrap(), "quota-exceeded");
        assert_eq!(name(&types, reduced()).unwrap(), "temporary-reduced-capacity");
        types.add("RATE_LIMITED", "https://a.example/slow", "Slow down").unwrap();
        assert_eq!(name(&types, limited()).unwrap(), "slow");
    }

    #[test]
    fn only_absolute_uris_with_a_title_are_problem_types() {
        let add = |uri: &str, title: &str| ProblemTypes::default().add("X", uri, title);
        for good in
            ["https://a.example/x#y", "urn:example:x", "tag:a.example,2026:x", "about:blank"]
        {
            add(good, "Title").unwrap();
        }
        for bad in ["", "/problems/x", "https:", "https://", "x y:z", "https://a.example/ü", ":x"]
        {
            let error = add(bad, "Title").unwrap_err().to_string();
            assert!(error.contains("problem_type"), "{error}");
        }
        assert!(add("https://a.example/x", "").unwrap_err().to_string().contains("title"));
    }
}
