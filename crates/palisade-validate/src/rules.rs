use std::{
    any::Any,
    borrow::Cow,
    cell::RefCell,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use garde::{
    I18n, Report, Validate,
    i18n::{InvalidCreditCard, InvalidEmail, InvalidPhoneNumber, InvalidUrl, IpKind},
    with_i18n,
};
use serde_json::{Map, Value};

use crate::{
    issue_codes::{self, Code},
    place::{Found, MAX_ISSUES, Place},
};

/// A rule of garde's that is broken, where the type's own names say it is.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) path: Vec<Component>,
    code: Code,
    message: String,
    pub(crate) params: Map<String, Value>,
}

/// A step of garde's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Name(String),
    Item(usize),
}

impl Broken {
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The other field of a `matches` rule, by its name in Rust.
    pub(crate) fn other_field(&self) -> Option<&str> {
        let is_pair = self.code == issue_codes::MISMATCH;
        self.params.get("field").filter(|_| is_pair).and_then(Value::as_str)
    }

    /// The issue at a place. `other` is the name on the wire of the other field of a `matches` rule.
    pub(crate) fn at(self, place: Place, other: Option<&str>) -> Found {
        let is_pair = self.other_field().is_some();
        let mut found = Found::new(place, self.code, self.message);
        found.params = self.params;
        if is_pair {
            found.message = match other {
                Some(other) => format!("must equal \"{other}\"").into(),
                None => "must equal another field".into(),
            };
            match other {
                Some(other) => found.params.insert("field".to_owned(), other.into()),
                None => found.params.remove("field"),
            };
        }
        found
    }
}

/// Applies garde's rules. True: more are broken than are returned.
pub(crate) fn check<T: Validate>(value: &T, context: &T::Context) -> (Vec<Broken>, bool) {
    let mut report = Report::new();
    let written = RefCell::default();
    let rules = AssertUnwindSafe(|| {
        value.validate_into(context, &mut garde::Path::empty, &mut report);
    });
    // A report has no end, and a body of a megabyte can break half a million rules, each with a path and a message: that is
    // 160 MB. What garde calls for a message is the one place from which it can be made to stop. The stack is unwound and no
    // panic is reported; where panics abort, it goes on to the end instead, with short messages.
    let stopped = with_i18n(Coded { written: &written }, || catch_unwind(rules)).err();
    if let Some(reason) = stopped
        && !is_enough(&*reason)
    {
        resume_unwind(reason);
    }
    let written = written.into_inner();
    let more = report.iter().nth(MAX_ISSUES).is_some();
    let broken = report.iter().take(MAX_ISSUES).map(|(path, error)| {
        let Written { code, params, message } = find(error.message(), &written);
        Broken { path: components(path), code, message, params }
    });
    (broken.collect(), more)
}

struct Enough;

fn is_enough(reason: &(dyn Any + Send)) -> bool {
    reason.is::<Enough>()
}

/// garde shows its paths as text, in which a key with a dot is two, and serialises them as what they are.
fn components(path: &garde::Path) -> Vec<Component> {
    let Ok(Value::Array(steps)) = serde_json::to_value(path) else { return Vec::new() };
    let component = |step: &Value| {
        let name = step.get(1)?.as_str()?;
        match step.get(0)?.as_str()? {
            "key" => Some(Component::Name(name.strip_prefix("r#").unwrap_or(name).to_owned())),
            "index" => name.parse().ok().map(Component::Item),
            _ => None,
        }
    };
    steps.iter().filter_map(component).collect()
}

/// garde knows what is wrong when it writes a message, and keeps the message only. So the rule is remembered here, and the
/// message is its position after a character that no message of a person's begins with.
struct Coded<'w> {
    written: &'w RefCell<Vec<Written>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Written {
    code: Code,
    params: Map<String, Value>,
    message: String,
}

const MARK: char = '\u{1}';

impl Coded<'_> {
    fn rule(
        &self,
        code: Code,
        params: &[(&str, Value)],
        message: impl Display,
    ) -> Cow<'static, str> {
        let at = self.written.borrow().len();
        if at > MAX_ISSUES {
            if cfg!(panic = "unwind") {
                resume_unwind(Box::new(Enough));
            }
            return Cow::Borrowed("");
        }
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let written = Written { code, params: params.collect(), message: message.to_string() };
        self.written.borrow_mut().push(written);
        format!("{MARK}{at}").into()
    }
}

/// A limit is a number, unless it is of a type that has a range of its own.
pub(crate) fn limit(limit: &dyn Display) -> Value {
    let shown = limit.to_string();
    serde_json::from_str::<serde_json::Number>(&shown).map_or(Value::String(shown), Value::Number)
}

fn text(text: &dyn Display) -> Value {
    Value::String(text.to_string())
}

/// The rule of a message; `invalid` for one of the user's own.
fn find(message: &str, written: &[Written]) -> Written {
    let known = message.strip_prefix(MARK).and_then(|at| written.get(at.parse::<usize>().ok()?));
    known.cloned().unwrap_or_else(|| Written {
        code: issue_codes::INVALID,
        params: Map::new(),
        message: message.to_owned(),
    })
}

/// A rule of garde: its method, its code, its parameters, and its words.
macro_rules! rules {
    ($($method:ident($($arg:ident: $type:ty)?) = $code:ident, [$($param:literal: $value:expr)?], $words:literal;)*) => {$(
        fn $method(&self, $($arg: $type)?) -> Cow<'static, str> {
            self.rule(issue_codes::$code, &[$(($param, $value))?], format_args!($words))
        }
    )*};
}

impl I18n for Coded<'_> {
    rules! {
        length_lower_than(min: usize) = TOO_SHORT, ["min": min.into()], "must have a length of at least {min}";
        length_greater_than(max: usize) = TOO_LONG, ["max": max.into()], "must have a length of at most {max}";
        range_lower_than(min: &dyn Display) = TOO_SMALL, ["min": limit(min)], "must be at least {min}";
        range_greater_than(max: &dyn Display) = TOO_BIG, ["max": limit(max)], "must be at most {max}";
        contains_missing(part: &dyn Display) = INVALID_FORMAT, ["substring": text(part)], "must contain \"{part}\"";
        prefix_missing(prefix: &dyn Display) = INVALID_FORMAT, ["prefix": text(prefix)], "must start with \"{prefix}\"";
        suffix_missing(suffix: &dyn Display) = INVALID_FORMAT, ["suffix": text(suffix)], "must end with \"{suffix}\"";
        matches_field_mismatch(field: &dyn Display) = MISMATCH, ["field": text(field)], "must equal \"{field}\"";
        ip_invalid(kind: IpKind) = INVALID_IP, ["kind": text(&kind)], "must be an {kind} address";
        credit_card_invalid(_why: InvalidCreditCard) = INVALID_CREDIT_CARD, [], "must be a credit card number";
        email_invalid(_why: InvalidEmail) = INVALID_EMAIL, [], "must be an email address";
        phone_number_invalid(_why: InvalidPhoneNumber) = INVALID_PHONE_NUMBER, [], "must be a phone number";
        url_invalid(_why: InvalidUrl) = INVALID_URL, [], "must be a URL";
        // The pattern is how the service checks, and is not shown to clients.
        pattern_no_match(_pattern: &dyn Display) = INVALID_FORMAT, [], "does not have the expected format";
        ascii_invalid() = INVALID_FORMAT, [], "must be ASCII";
        alphanumeric_invalid() = INVALID_FORMAT, [], "must consist of letters and digits";
        required_not_set() = MISSING, [], "is missing";
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Validate)]
    struct Many {
        #[garde(inner(range(min = 1)))]
        numbers: Vec<u32>,
    }

    #[test]
    fn report_is_capped_at_the_maximum_number_of_issues() {
        let (broken, more) = check(&Many { numbers: vec![0; 500_000] }, &());
        assert_eq!((broken.len(), more), (MAX_ISSUES, true));
        let (broken, more) = check(&Many { numbers: vec![0; 3] }, &());
        assert_eq!((broken.len(), more), (3, false));
        assert_eq!(broken[2].path, [Component::Name("numbers".to_owned()), Component::Item(2)]);
        assert_eq!(broken[2].params, *serde_json::json!({"min": 1}).as_object().unwrap());
    }

    #[test]
    fn garde_stops_at_the_maximum_number_of_issues() {
        thread_local! {
            static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
        }
        #[allow(clippy::unnecessary_wraps)]
        fn look(_: &u32, (): &()) -> garde::Result {
            LOOKED_AT.with(|looked| looked.set(looked.get() + 1));
            Ok(())
        }
        #[derive(Validate)]
        struct Looked {
            #[garde(inner(custom(look), range(min = 1)))]
            numbers: Vec<u32>,
        }
        check(&Looked { numbers: vec![0; 100_000] }, &());
        assert!(LOOKED_AT.get() < 2 * MAX_ISSUES, "{}", LOOKED_AT.get());
    }

    #[test]
    #[should_panic(expected = "a bug in a rule")]
    fn panic_of_a_rule_propagates() {
        fn buggy(_: &u8, (): &()) -> garde::Result {
            panic!("a bug in a rule")
        }
        #[derive(Validate)]
        struct Buggy {
            #[garde(custom(buggy))]
            a: u8,
        }
        check(&Buggy { a: 1 }, &());
    }

    #[test]
    fn custom_rule_keeps_its_message() {
        let found = find("no weekends", &[]);
        assert_eq!((found.code, &*found.message), (issue_codes::INVALID, "no weekends"));
    }
}
