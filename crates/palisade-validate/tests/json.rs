//! What is JSON, and what is not.

use garde::Validate;
use palisade_validate::Validation;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Debug, Deserialize, Validate)]
#[allow(dead_code)]
struct Item {
    #[garde(length(chars, min = 1))]
    name: String,
    #[garde(skip)]
    #[serde(default)]
    price: f64,
    #[garde(skip)]
    #[serde(default)]
    tags: serde_json::Value,
}

/// Code and message of the refusal.
fn refusal(body: impl AsRef<[u8]>) -> (String, String) {
    let error = Validation::new().json::<Item>(body.as_ref()).expect_err("it is refused");
    (error.code().to_owned(), error.message().to_owned())
}

fn not_json(body: impl AsRef<[u8]>, message: &str) {
    assert_eq!(refusal(body), ("INVALID_JSON".to_owned(), message.to_owned()));
}

#[test]
fn json_errors_have_line_and_column() {
    not_json("", "the body is empty, and JSON is expected");
    not_json(
        "{\"a\":\"b\nc\"}",
        "the body is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string: line 1, column 7",
    );
    not_json(" \r\n\t", "the body is blank, and JSON is expected");
    not_json("{\n \"name\": x}", "the body is not valid JSON: expected value: line 2, column 10");
    not_json(
        "{\"name\":\"a\"",
        "the body is not valid JSON: it ends too early, inside of an object: line 1, column 11",
    );
    not_json(
        "{\"name\":\"a\"} {}",
        "the body is not valid JSON: there is more after its end: line 1, column 14",
    );
    not_json("{'name':1}", "the body is not valid JSON: key must be a string: line 1, column 2");
    for number in ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10"] {
        assert_eq!(
            refusal(format!("{{\"name\":\"a\",\"price\":{number}}}")).0,
            "INVALID_JSON",
            "{number}"
        );
    }
}

#[test]
fn rejects_byte_order_marks_and_invalid_utf8() {
    not_json(
        "\u{feff}{\"name\":\"a\"}",
        "the body begins with a byte order mark, which JSON does not have",
    );
    not_json(b"{\n\"name\":\"\xff\"}", "the body is not UTF-8: line 2, column 9");
    // also in a value that is skipped
    not_json(b"{\"name\":\"a\",\"other\":\"\xc3\"}", "the body is not UTF-8: line 1, column 22");
    assert_eq!(
        refusal("{\"name\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).0,
        "INVALID_JSON"
    );
}

#[test]
fn rejects_duplicate_names_at_any_depth() {
    let twice =
        "the body is not valid JSON: the same name comes twice in an object: line 1, column";
    not_json(r#"{"name":"a","name":"b"}"#, &format!("{twice} 13"));
    not_json(r#"{"name":"a","other":{"x":1,"x":2}}"#, &format!("{twice} 28"));
    not_json(r#"{"name":"a","tags":[{"x":1,"\u0078":2}]}"#, &format!("{twice} 28"));
    // and where the rest is wrong as well
    not_json(r#"{"name":1,"name":2}"#, &format!("{twice} 11"));
}

#[test]
fn rejects_lone_surrogates() {
    assert_eq!(refusal(r#"{"name":"\ud83d"}"#).0, "INVALID_JSON");
    not_json(
        r#"{"name":"a","other":"\ud83d"}"#,
        "the body is not valid JSON: half of a surrogate pair: line 1, column 22",
    );
    assert!(Validation::new().json::<Item>(br#"{"name":"\ud83d\ude00"}"#).is_ok());
}

#[test]
fn nesting_depth_is_capped_by_the_setting() {
    let deep = |levels: usize| {
        format!("{{\"name\":\"a\",\"tags\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
    };
    assert!(Validation::new().json::<Item>(deep(64).as_bytes()).is_ok());
    not_json(deep(65), "the body is not valid JSON: it is nested too deeply: line 1, column 83");
    assert_eq!(refusal(deep(100_000)).0, "INVALID_JSON");
    let shallow = Validation::new().max_depth(2);
    assert!(shallow.json::<Item>(deep(2).as_bytes()).is_ok());
    assert_eq!(shallow.json::<Item>(deep(3).as_bytes()).unwrap_err().code(), "INVALID_JSON");
    let deepest = Validation::new().max_depth(1_000);
    assert!(deepest.json::<Item>(deep(127).as_bytes()).is_ok());
    assert_eq!(deepest.json::<Item>(deep(128).as_bytes()).unwrap_err().code(), "INVALID_JSON");
}

#[test]
fn number_out_of_range_is_not_rounded() {
    #[derive(Debug, Deserialize, Validate)]
    #[allow(dead_code)]
    struct Counted {
        #[garde(skip)]
        count: i64,
    }
    for number in ["1.5", "1.0", "1e3", "9223372036854775808", "-9223372036854775809"] {
        let error = Validation::new()
            .json::<Counted>(format!("{{\"count\":{number}}}").as_bytes())
            .unwrap_err();
        assert_eq!(
            (error.code(), &*error.issues()[0].code),
            ("VALIDATION_ERROR", "wrong_type"),
            "{number}"
        );
    }
}

fn issues<T>(json: &str) -> Vec<String>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let strict = Validation::new().deny_unknown_fields();
    let told = [Validation::new(), strict].map(|settings| {
        let error = settings.json::<T>(json.as_bytes()).err().unwrap_or_else(|| panic!("{json}"));
        assert_eq!(error.code(), "VALIDATION_ERROR", "{json} {}", error.message());
        error.issues().iter().map(|issue| format!("{} {}", issue.path, issue.code)).collect()
    });
    let [usual, strict]: [Vec<String>; 2] = told;
    assert_eq!(usual, strict, "{json}");
    usual
}

#[derive(Debug, PartialEq, Deserialize, Validate)]
struct Point {
    #[garde(skip)]
    #[serde(default)]
    at: [u8; 2],
    #[garde(skip)]
    #[serde(default)]
    named: Option<(u8, String)>,
    #[garde(skip)]
    #[serde(default)]
    weight: f32,
}

#[test]
fn overlong_tuple_is_rejected_and_not_truncated() {
    assert_eq!(issues::<Point>(r#"{"at":[1,2,3]}"#), ["at wrong_type"]);
    assert_eq!(issues::<Point>(r#"{"at":[1]}"#), ["at wrong_type"]);
    assert_eq!(issues::<Point>(r#"{"named":[1,"a","b"]}"#), ["named wrong_type"]);
    assert_eq!(
        issues::<Point>(r#"{"named":["a","b","c"],"weight":"x"}"#),
        ["named wrong_type", "named[0] wrong_type", "weight wrong_type"]
    );
    let query =
        |query| Validation::new().query::<Point>(query).map_err(|error| error.issues().len());
    assert_eq!(query("at=1&at=2").unwrap().at, [1, 2]);
    assert_eq!(query("at=1&at=2&at=3").unwrap_err(), 1);
}

#[test]
fn number_that_overflows_to_infinity_is_rejected() {
    assert_eq!(issues::<Point>(r#"{"weight":1e300}"#), ["weight wrong_type"]);
    assert!(Validation::new().query::<Point>("weight=1e300").is_err());
    assert_eq!(Validation::new().query::<Point>("weight=1e3").unwrap().weight, 1e3);
}

#[test]
fn list_is_not_accepted_for_a_struct() {
    assert_eq!(issues::<Point>("[]"), [" wrong_type"]);
    assert_eq!(issues::<Point>(" [[1,2]]"), [" wrong_type"]);
    #[derive(Deserialize, Validate)]
    #[garde(transparent)]
    struct Points(#[garde(dive)] Vec<Point>);
    assert_eq!(Validation::new().json::<Points>(b"[{},{}]").unwrap().0.len(), 2);
}

#[test]
fn field_next_to_a_tag_is_found_in_options_and_newtypes() {
    #[derive(Deserialize, Validate)]
    #[serde(tag = "type")]
    enum Shape {
        Circle {
            #[garde(skip)]
            #[serde(rename = "r")]
            _radius: u8,
        },
    }
    #[derive(Deserialize, Validate)]
    #[garde(transparent)]
    struct Wrapped(#[garde(dive)] Shape);
    #[derive(Deserialize, Validate)]
    struct Drawing {
        #[garde(dive)]
        #[serde(rename = "maybe")]
        _maybe: Option<Shape>,
        #[garde(dive)]
        #[serde(rename = "new")]
        _new: Option<Wrapped>,
    }
    assert_eq!(
        issues::<Drawing>(r#"{"maybe":{"type":"Circle","r":"x"},"new":{"type":"Circle"}}"#),
        ["maybe.r wrong_type", "new.r missing"]
    );
}

#[test]
fn variant_messages_contain_no_rust_terms() {
    #[derive(Deserialize, Validate)]
    enum Kind {
        Text(
            #[garde(skip)]
            #[allow(dead_code)]
            String,
        ),
        Pair(
            #[garde(skip)]
            #[allow(dead_code)]
            u8,
            #[garde(skip)]
            #[allow(dead_code)]
            u8,
        ),
        Size(
            #[garde(skip)]
            #[allow(dead_code)]
            std::num::NonZeroU8,
        ),
    }
    for (json, words) in [
        (r#""Text""#, "must be an object"),
        (r#""Pair""#, "must be an object"),
        (r#"{"Size":0}"#, "must be an integer other than 0"),
        (r#"{"Pair":[1]}"#, "must be a list of another length"),
    ] {
        let error = Validation::new().json::<Kind>(json.as_bytes()).err().unwrap();
        assert_eq!(error.issues()[0].message, words, "{json}");
    }
}

#[derive(Debug, Deserialize, Validate)]
#[serde(try_from = "u32")]
struct Even(#[garde(skip)] u32);

impl TryFrom<u32> for Even {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, &'static str> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("must be even") }
    }
}

#[test]
fn type_messages_are_shown_on_request() {
    let message =
        |settings: Validation| settings.json::<Even>(b"3").unwrap_err().issues()[0].message.clone();
    assert_eq!(message(Validation::new()), "is not a valid value");
    assert_eq!(message(Validation::new().show_type_messages()), "must be even");
    assert_eq!(Validation::new().json::<Even>(b"4").unwrap().0, 4);
}

#[test]
fn checkboxes_are_parsed_if_enabled() {
    #[derive(Debug, Deserialize, Validate)]
    struct Form {
        #[serde(default)]
        #[garde(skip)]
        newsletter: bool,
    }
    let settings = Validation::new().read_checkboxes();
    assert!(settings.form::<Form>(b"newsletter=on").unwrap().newsletter);
    assert!(!settings.form::<Form>(b"").unwrap().newsletter);
    assert!(Validation::new().form::<Form>(b"newsletter=on").is_err());
    assert!(settings.json::<Form>(br#"{"newsletter":"on"}"#).is_err());
}

#[test]
fn bodies_over_max_examined_get_one_issue() {
    #[derive(Debug, Deserialize, Validate)]
    #[garde(allow_unvalidated)]
    #[allow(dead_code)]
    struct Item {
        name: String,
        amount: u8,
    }
    let body = br#"{"name":1,"amount":"two"}"#;
    let error = Validation::new().max_examined(10).json::<Item>(body).unwrap_err();
    assert_eq!((error.issues().len(), &*error.issues()[0].path), (1, "name"));
    assert!(error.issues_are_truncated());
    assert_eq!(Validation::new().json::<Item>(body).unwrap_err().issues().len(), 2);

    // garde applies rules in the order of the alphabet.
    #[derive(Debug, Deserialize, Validate)]
    struct Pair {
        #[garde(range(min = 1))]
        second: u8,
        #[garde(range(min = 1))]
        first: u8,
    }
    let body = br#"{"first":0,"second":0}"#;
    let error = Validation::new().max_examined(10).json::<Pair>(body).unwrap_err();
    assert_eq!((error.issues().len(), &*error.issues()[0].path), (1, "second"));
    assert!(error.issues_are_truncated());
}
