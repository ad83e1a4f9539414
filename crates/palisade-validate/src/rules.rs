use std::{borrow::Cow, fmt::Display};

use garde::{
    I18n, Validate,
    i18n::{InvalidCreditCard, InvalidEmail, InvalidPhoneNumber, InvalidUrl, IpKind},
    with_i18n,
};
use palisade_core::Issue;

use crate::examine::MAX_ISSUES;

/// Applies garde's rules and adds what is broken to what is wrong with the form, as far as the list goes. Where the form
/// is wrong a rule would have judged a stand-in, and is not heard.
pub(crate) fn check<T>(value: &T, mut issues: Vec<Issue>) -> Vec<Issue>
where
    T: Validate,
    T::Context: Default,
{
    let Err(report) = with_i18n(Coded, || value.validate()) else { return issues };
    // Compared with the form only, of which there is a bounded number: a client chooses how many rules are broken.
    let form = issues.len();
    for (path, error) in report.iter() {
        if issues.len() >= MAX_ISSUES {
            break;
        }
        let path = path.to_string();
        if !issues[..form].iter().any(|wrong| is_at_or_below(&path, &wrong.path)) {
            let (code, message) = decode(error.message());
            issues.push(Issue::new(path, code, message));
        }
    }
    issues
}

/// True if `path` is `other`, or inside it.
pub(crate) fn is_at_or_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| {
        rest.is_empty() || other.is_empty() || rest.starts_with('.') || rest.starts_with('[')
    })
}

/// garde knows what is wrong when it writes a message, and keeps the message only. So these messages begin with a code,
/// between two characters that no message of a person's has.
struct Coded;

const MARK: char = '\u{1}';

fn coded(code: &str, message: impl Display) -> Cow<'static, str> {
    format!("{MARK}{code}{MARK}{message}").into()
}

/// Code and message of an error; `invalid` for a rule of the user's own.
fn decode(message: &str) -> (Cow<'static, str>, String) {
    match message.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK)) {
        Some((code, message)) => (code.to_owned().into(), message.to_owned()),
        None => ("invalid".into(), message.to_owned()),
    }
}

impl I18n for Coded {
    fn length_lower_than(&self, min: usize) -> Cow<'static, str> {
        coded("too_short", format_args!("must have a length of at least {min}"))
    }

    fn length_greater_than(&self, max: usize) -> Cow<'static, str> {
        coded("too_long", format_args!("must have a length of at most {max}"))
    }

    fn range_lower_than(&self, min: &dyn Display) -> Cow<'static, str> {
        coded("too_small", format_args!("must be at least {min}"))
    }

    fn range_greater_than(&self, max: &dyn Display) -> Cow<'static, str> {
        coded("too_big", format_args!("must be at most {max}"))
    }

    fn credit_card_invalid(&self, _: InvalidCreditCard) -> Cow<'static, str> {
        coded("invalid_credit_card", "must be a credit card number")
    }

    // The pattern is how we check, not what the client should learn.
    fn pattern_no_match(&self, _: &dyn Display) -> Cow<'static, str> {
        coded("invalid_format", "does not have the expected format")
    }

    fn contains_missing(&self, part: &dyn Display) -> Cow<'static, str> {
        coded("invalid_format", format_args!("must contain \"{part}\""))
    }

    fn url_invalid(&self, _: InvalidUrl) -> Cow<'static, str> {
        coded("invalid_url", "must be a URL")
    }

    fn prefix_missing(&self, prefix: &dyn Display) -> Cow<'static, str> {
        coded("invalid_format", format_args!("must start with \"{prefix}\""))
    }

    fn suffix_missing(&self, suffix: &dyn Display) -> Cow<'static, str> {
        coded("invalid_format", format_args!("must end with \"{suffix}\""))
    }

    fn phone_number_invalid(&self, _: InvalidPhoneNumber) -> Cow<'static, str> {
        coded("invalid_phone_number", "must be a phone number")
    }

    fn ip_invalid(&self, kind: IpKind) -> Cow<'static, str> {
        coded("invalid_ip", format_args!("must be an {kind} address"))
    }

    fn matches_field_mismatch(&self, field: &dyn Display) -> Cow<'static, str> {
        coded("mismatch", format_args!("must equal \"{field}\""))
    }

    fn email_invalid(&self, _: InvalidEmail) -> Cow<'static, str> {
        coded("invalid_email", "must be an email address")
    }

    fn ascii_invalid(&self) -> Cow<'static, str> {
        coded("invalid_format", "must be ASCII")
    }

    fn alphanumeric_invalid(&self) -> Cow<'static, str> {
        coded("invalid_format", "must consist of letters and digits")
    }

    fn required_not_set(&self) -> Cow<'static, str> {
        coded("missing", "is missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_inside_another_only_at_a_joint() {
        assert!(
            is_at_or_below("a.b", "a") && is_at_or_below("a[0]", "a") && is_at_or_below("a", "a")
        );
        assert!(is_at_or_below("a", ""));
        assert!(!is_at_or_below("ab", "a") && !is_at_or_below("a", "a.b"));
    }

    #[test]
    fn a_rule_of_ones_own_keeps_its_message() {
        assert_eq!(decode("no weekends"), ("invalid".into(), "no weekends".to_owned()));
        assert_eq!(decode(&coded("too_big", "x")), ("too_big".into(), "x".to_owned()));
    }
}
