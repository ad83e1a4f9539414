//! What is JSON, and what is not.

use garde::Validate;
use palisade_validate::Validation;
use serde::Deserialize;

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
fn what_is_wrong_with_json_is_said_with_line_and_column() {
    not_json("", "the body is empty, and JSON is expected");
    not_json(" \r\n\t", "the body is blank, and JSON is expected");
    not_json("{\n \"name\": x}", "the body is not valid JSON: line 2, column 10");
    not_json("{\"name\":\"a\"", "the body is not valid JSON: it ends too early: line 1, column 11");
    not_json(
        "{\"name\":\"a\"} {}",
        "the body is not valid JSON: there is more after its end: line 1, column 14",
    );
    not_json("{'name':1}", "the body is not valid JSON: line 1, column 2");
    for number in ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1e999"] {
        assert_eq!(
            refusal(format!("{{\"name\":\"a\",\"price\":{number}}}")).0,
            "INVALID_JSON",
            "{number}"
        );
    }
}

#[test]
fn a_byte_order_mark_and_what_is_not_utf8_are_refused() {
    not_json(
        "\u{feff}{\"name\":\"a\"}",
        "the body begins with a byte order mark, which JSON does not have",
    );
    not_json(b"{\n\"name\":\"\xff\"}", "the body is not UTF-8: line 2, column 9");
    // also where nobody reads it
    not_json(b"{\"name\":\"a\",\"other\":\"\xc3\"}", "the body is not UTF-8: line 1, column 22");
    assert_eq!(
        refusal("{\"name\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).0,
        "INVALID_JSON"
    );
}

#[test]
fn a_name_that_comes_twice_is_refused_wherever_it_is() {
    let twice =
        "the body is not valid JSON: the same name comes twice in an object: line 1, column";
    not_json(r#"{"name":"a","name":"b"}"#, &format!("{twice} 13"));
    not_json(r#"{"name":"a","other":{"x":1,"x":2}}"#, &format!("{twice} 28"));
    not_json(r#"{"name":"a","tags":[{"x":1,"\u0078":2}]}"#, &format!("{twice} 28"));
    // and where the rest is wrong as well
    not_json(r#"{"name":1,"name":2}"#, &format!("{twice} 11"));
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    assert_eq!(refusal(r#"{"name":"\ud83d"}"#).0, "INVALID_JSON");
    not_json(
        r#"{"name":"a","other":"\ud83d"}"#,
        "the body is not valid JSON: half of a surrogate pair: line 1, column 22",
    );
    assert!(Validation::new().json::<Item>(br#"{"name":"\ud83d\ude00"}"#).is_ok());
}

#[test]
fn depth_is_capped_where_the_settings_say() {
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
fn a_number_that_its_type_cannot_hold_is_not_rounded() {
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
