use std::collections::BTreeMap;

use super::*;

#[test]
fn duplicate_member_is_found_at_any_depth_and_spelling() {
    for good in [
        r"{}",
        r#" { "a" : 1 , "b" : { "a" : [ 1.5 , -2 , "x" , null , true , [ ] , { } ] } } "#,
        r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#,
        r#"{"a":"{\"a\":1,\"a\":1}","b":"\\","c":"]}"}"#,
    ] {
        assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
    }
    for bad in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"a":1}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#"{"x":[{"a":1,"a":2}]}"#,
        r#"{"x":{"y":{"a":1,"a":2}}}"#,
        r#"{"\"":1,"\u0022":2}"#,
        r#"{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"a":0}"#,
    ] {
        assert_eq!(check(bad.as_bytes()), Err(Names::TWICE), "{bad}");
    }
    for bad in [r"[]", r"1", r"", r"{", r"{}x", "\u{feff}{}", r#"{"a":01}"#, r#"{"a":1,}"#] {
        assert_eq!(check(bad.as_bytes()), Err(SYNTAX), "{bad}");
    }
    assert_eq!(check(b"{\"a\":\"\xff\"}"), Err(SYNTAX));
}

#[test]
fn escapes_that_are_not_text_are_rejected() {
    for bad in [r#"{"a":"\ud800"}"#, r#"{"a":[{"b":"x\udc00"}]}"#, r#"{"a":{"\ud800":1}}"#] {
        assert_eq!(check(bad.as_bytes()), Err(NOT_TEXT), "{bad}");
    }
    assert_eq!(check(br#"{"a":"\ud83e\udd80"}"#), Ok(()));
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
    assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(TOO_DEEP));
}

fn members(json: &str) -> Vec<(String, Value<'_>)> {
    let mut members = Vec::new();
    let read = read(json, |name, value| {
        members.push((name.into_owned(), value));
        Ok(())
    });
    read.unwrap();
    members
}

#[test]
fn values_are_those_of_the_text() {
    let json = r#" { "exp" : 1e3 , "\u0073ub" : "a\"b" , "x" : [ {} ] , "" : "é" } "#;
    let expected = [
        ("exp", Value::Json("1e3")),
        ("sub", Value::Json(r#""a\"b""#)),
        ("x", Value::Json("[ {} ]")),
        ("", Value::Text("é")),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(members(json), expected);
}

#[test]
fn items_are_those_of_a_list_and_texts_have_no_escapes() {
    let texts = |json: &str| {
        let mut texts = Vec::new();
        let value = Reader::new(json).value().unwrap();
        value.items(|item| texts.push(item.text().map(Cow::into_owned))).map(|()| texts)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(texts(r#"["a" , "\n"]"#).unwrap(), [text("a"), text("\n")]);
    assert_eq!(texts(r#"[ 1,["a"] ]"#).unwrap(), [None, None]);
    assert!(texts("[ ]").unwrap().is_empty());
    for other in [r#""a""#, "{}", "null"] {
        assert_eq!(texts(other), None, "{other}");
    }
}

#[test]
fn first_special_byte_is_found_at_any_position() {
    for length in 0..40 {
        let plain = "x\u{a2}!]#\u{dc}[".repeat(7).into_bytes();
        let mut text = plain[..length].to_vec();
        assert_eq!(special(&text), None);
        for byte in [b'"', b'\\', b'\0', b'\t', 0x1f] {
            text.truncate(length);
            text.push(byte);
            text.extend_from_slice(br#"""x"\\12345678"#);
            assert_eq!(special(&text), Some(length));
        }
    }
}

/// A type of the user may skip values or hide their errors, so the pass itself accepts no other texts than serde_json does.
#[test]
fn accepts_the_texts_that_serde_json_accepts() {
    let mut random = random_numbers(3);
    let bytes = b"{}[]\",:\\ 01-+.eEtrufalsn\t\0\x7f";
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..30_000 {
        let mut text = random_object(&mut random, 2).into_bytes();
        for _ in 0..random(3) {
            let at = random(text.len() as u64) as usize;
            let byte = bytes[random(bytes.len() as u64) as usize];
            match random(3) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ if text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        let parsed = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text);
        let shown = String::from_utf8_lossy(&text);
        match check(&text) {
            Ok(()) => {
                assert!(parsed.is_ok(), "{shown}");
                accepted += 1;
            }
            Err(Names::TWICE) => {}
            Err(error) => {
                assert!(parsed.is_err(), "{error}: {shown}");
                rejected += 1;
            }
        }
    }
    assert!(accepted > 3_000 && rejected > 3_000, "{accepted} {rejected}");
}

#[test]
fn scalars_are_those_of_json() {
    for good in ["0", "-0", "10", "18446744073709551616", "-1.5e-7", "1E200"] {
        assert_eq!(check(format!(r#"{{"a":{good}}}"#).as_bytes()), Ok(()), "{good}");
    }
    let long = format!("1{}", "0".repeat(400));
    for bad in
        ["1e400", &long, "01", "1.", ".5", "+1", "-", "1e", "nul", "nulll", "True", "NaN", "0x1"]
    {
        for json in [format!(r#"{{"a":{bad}}}"#), format!(r#"{{"a":[{{"b":{bad}}}]}}"#)] {
            assert_eq!(check(json.as_bytes()), Err(SYNTAX), "{json}");
        }
    }
    assert_eq!(check(b"{\"a\":\"x\ty\"}"), Err(SYNTAX), "a control character");
}

/// serde_json reads a member of this name as its value, if another crate enables `raw_value`.
#[test]
fn private_names_of_serde_json_have_no_meaning() {
    let json = r#"{"$serde_json::private::RawValue":"{\"id\":\"root\"}"}"#;
    let mut names = Vec::new();
    Value::Json(json).members(|name, value| names.push((name, value.text().unwrap()))).unwrap();
    assert_eq!(names, [("$serde_json::private::RawValue".into(), r#"{"id":"root"}"#.into())]);
}

#[test]
fn agrees_with_serde_json() {
    let mut random = random_numbers(7);
    let mut unique = 0;
    for _ in 0..5_000 {
        let json = random_object(&mut random, 3);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        if check(json.as_bytes()).is_err() {
            continue;
        }
        unique += 1;
        let parsed: BTreeMap<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
        let read = members(&json).into_iter().map(|(name, value)| {
            let value = match value {
                Value::Text(text) => serde_json::Value::from(text),
                Value::Json(json) => serde_json::from_str(json).unwrap(),
            };
            (name, value)
        });
        assert_eq!(read.collect::<BTreeMap<_, _>>(), parsed, "{json}");
    }
    assert!(unique > 1_000, "{unique}");
}

/// Returns a function that returns numbers below its argument.
fn random_numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    }
}

fn random_object(random: &mut impl FnMut(u64) -> u64, depth: u64) -> String {
    let members: Vec<String> = (0..random(5))
        .map(|_| {
            let name = ["a", "b", r"\u0061", "c d", r"\\", "", "é", "exp"][random(8) as usize];
            format!("{}\"{name}\"{}:{}", space(random), space(random), random_value(random, depth))
        })
        .collect();
    format!("{}{{{}{}}}{}", space(random), members.join(","), space(random), space(random))
}

fn random_value(random: &mut impl FnMut(u64) -> u64, depth: u64) -> String {
    let value = match random(if depth == 0 { 6 } else { 8 }) {
        6 => random_object(random, depth - 1),
        7 => {
            let items: Vec<_> = (0..random(4)).map(|_| random_value(random, depth - 1)).collect();
            format!("[{}{}]", items.join(","), space(random))
        }
        scalar => {
            ["1", "-2.5e3", "null", r#""text""#, r#""\"}],{""#, r#""\\""#][scalar as usize].into()
        }
    };
    format!("{}{value}{}", space(random), space(random))
}

fn space(random: &mut impl FnMut(u64) -> u64) -> &'static str {
    ["", "", "", " ", "\n\t", "\r "][random(6) as usize]
}
