//! Which formats are checked, and how an issue describes them.

use std::{net::IpAddr, sync::Arc};

use jsonschema::ValidationOptions;
use serde_json::Value;

use crate::issue_codes::{self, Code};

/// A check of a format: true for a text that has it.
type Check = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The formats beyond the built-in ones.
#[derive(Clone, Default)]
pub(crate) struct Formats {
    pub(super) checks: Vec<(String, Check)>,
    pub(super) ignored: Vec<String>,
}

/// What a format means for a value.
pub(super) enum Format {
    /// A text is checked.
    Checked,
    /// A number has these bounds.
    Range {
        min: Value,
        max: Value,
    },
    /// A remark, such as `password`.
    Unchecked,
    Unknown,
}

/// Texts that the library checks (RFC 8927's and those of JSON Schema 2020-12, section 7.3), with the code of the issue and
/// the words for "must be …".
const TEXTS: &[(&str, Code, &str)] = &[
    ("date", issue_codes::INVALID_FORMAT, "a date such as 2024-12-31"),
    ("date-time", issue_codes::INVALID_FORMAT, "a date and time such as 2024-12-31T23:59:59Z"),
    ("duration", issue_codes::INVALID_FORMAT, "a duration such as PT1H30M"),
    ("email", issue_codes::INVALID_EMAIL, "an email address"),
    ("hostname", issue_codes::INVALID_FORMAT, "a host name"),
    ("idn-email", issue_codes::INVALID_EMAIL, "an email address"),
    ("idn-hostname", issue_codes::INVALID_FORMAT, "a host name"),
    ("ip", issue_codes::INVALID_IP, "an IP address"),
    ("ipv4", issue_codes::INVALID_IP, "an IPv4 address"),
    ("ipv6", issue_codes::INVALID_IP, "an IPv6 address"),
    ("iri", issue_codes::INVALID_URL, "a URL"),
    ("iri-reference", issue_codes::INVALID_URL, "a URL or a path"),
    ("json-pointer", issue_codes::INVALID_FORMAT, "a JSON pointer"),
    ("regex", issue_codes::INVALID_FORMAT, "a regular expression"),
    ("relative-json-pointer", issue_codes::INVALID_FORMAT, "a relative JSON pointer"),
    ("time", issue_codes::INVALID_FORMAT, "a time such as 23:59:59Z"),
    ("uri", issue_codes::INVALID_URL, "a URL"),
    ("uri-reference", issue_codes::INVALID_URL, "a URL or a path"),
    ("uri-template", issue_codes::INVALID_FORMAT, "a URL template"),
    ("uuid", issue_codes::INVALID_FORMAT, "a UUID"),
];

/// Formats of OpenAPI and of `schemars` that do not restrict a value beyond its type.
const REMARKS: &[&str] =
    &["binary", "byte", "char", "double", "float", "int128", "password", "uint128"];

/// Returns the code and the words of an issue.
pub(super) fn describe(format: &str) -> (Code, String) {
    match TEXTS.iter().find(|(name, ..)| *name == format) {
        Some((_, code, words)) => (*code, format!("must be {words}")),
        None => (issue_codes::INVALID_FORMAT, format!("must be in the format {format}")),
    }
}

impl Formats {
    pub(super) fn find(&self, format: &str) -> Format {
        let range = |min: i64, max: u64| Format::Range { min: min.into(), max: max.into() };
        if self.checks.iter().any(|(name, _)| name == format) {
            return Format::Checked;
        }
        if self.ignored.iter().any(|name| name == format) || REMARKS.contains(&format) {
            return Format::Unchecked;
        }
        match format {
            "int8" => range(i8::MIN.into(), 0x7f),
            "int16" => range(i16::MIN.into(), 0x7fff),
            "int32" => range(i32::MIN.into(), 0x7fff_ffff),
            "int64" | "int" => range(i64::MIN, 0x7fff_ffff_ffff_ffff),
            "uint8" => range(0, u8::MAX.into()),
            "uint16" => range(0, u16::MAX.into()),
            "uint32" => range(0, u32::MAX.into()),
            "uint64" | "uint" => range(0, u64::MAX),
            _ if TEXTS.iter().any(|(name, ..)| *name == format) => Format::Checked,
            _ => Format::Unknown,
        }
    }

    pub(super) fn add_to<'o>(&self, options: ValidationOptions<'o>) -> ValidationOptions<'o> {
        let options = options.with_format("ip", |text: &str| text.parse::<IpAddr>().is_ok());
        self.checks.iter().fold(options, |options, (name, check)| {
            let check = check.clone();
            options.with_format(name.as_str(), move |text: &str| check(text))
        })
    }
}

/// Returns true for a pattern that only a backtracking engine can match: with look-around or a back-reference.
pub(super) fn needs_backtracking(pattern: &str) -> bool {
    let mut characters = pattern.char_indices();
    while let Some((at, character)) = characters.next() {
        let rest = &pattern[at..];
        match character {
            '\\' => match characters.next() {
                Some((_, '1'..='9')) => return true,
                Some((_, 'k')) if rest.starts_with("\\k<") => return true,
                _ => {}
            },
            '(' if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|it| rest.starts_with(it)) => {
                return true;
            }
            _ => {}
        }
    }
    false
}
