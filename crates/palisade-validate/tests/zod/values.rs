//! Schemas of one value.

use super::*;

/// Structs with one field, `value`.
macro_rules! values {
    ($($name:ident: $type:ty, $rules:meta $(, $serde:meta)?;)*) => {
        $(
            #[derive(Deserialize, JsonSchema, Validate)]
            #[allow(dead_code, non_camel_case_types)]
            struct $name {
                #[$rules]
                $(#[$serde])?
                value: $type,
            }
        )*
        pub(super) const VALUES: &[Schema] = &[$((stringify!($name), read::<$name>)),*];
    };
}

values! {
    string: String, garde(skip);
    string_min: String, garde(length(chars, min = 2));
    string_max: String, garde(length(chars, max = 2));
    string_both: String, garde(length(chars, min = 1, max = 3));
    string_length: String, garde(length(chars, equal = 2));
    string_regex: String, garde(pattern("^[a-c]+$"));
    string_prefix: String, garde(prefix("ab"));
    string_suffix: String, garde(suffix("b"));
    string_includes: String, garde(contains("b"));
    string_email: String, garde(email);
    string_optional: Option<String>, garde(length(chars, min = 2));
    string_default: String, garde(length(chars, min = 2)), serde(default = "word");
    boolean: bool, garde(skip);
    boolean_optional: Option<bool>, garde(skip);
    number: f64, garde(skip);
    number_min: f64, garde(range(min = 1.0));
    number_max: f64, garde(range(max = 1.0));
    number_both: f64, garde(range(min = -0.5, max = 1.5));
    number_optional: Option<f64>, garde(range(min = 1.0));
    int: i32, garde(skip);
    int_min: i64, garde(range(min = 1, max = 1_000));
    int_small: u8, garde(skip);
    int_signed: i8, garde(skip);
    int_optional: Option<u16>, garde(range(max = 100));
    int_default: u16, garde(range(max = 100)), serde(default);
    list: Vec<String>, garde(skip);
    list_min: Vec<u8>, garde(length(min = 1));
    list_max: Vec<u8>, garde(length(max = 2));
    list_inner: Vec<String>, garde(inner(length(chars, min = 1)));
    list_both: Vec<u8>, garde(length(max = 3), inner(range(min = 1)));
    list_nested: Vec<Vec<u8>>, garde(inner(length(max = 2)));
    list_optional: Option<Vec<bool>>, garde(skip);
    list_of_options: Vec<Option<u8>>, garde(skip);
    tuple: (u8, String), garde(skip);
    record: BTreeMap<String, u8>, garde(skip);
    record_of_lists: BTreeMap<String, Vec<String>>, garde(skip);
    word: Word, garde(skip);
    word_optional: Option<Word>, garde(skip);
    words: Vec<Word>, garde(length(max = 2));
    nested: Inner, garde(dive);
    nested_optional: Option<Inner>, garde(dive);
    nested_list: Vec<Inner>, garde(dive);
    nested_record: BTreeMap<String, Inner>, garde(dive);
    even: Even, garde(skip);
    evens: Vec<Even>, garde(skip);
    date: Date, garde(skip);
    uuid: Uuid, garde(skip);
    uuids: Vec<Uuid>, garde(skip);
    iso_date: civil::Date, garde(skip);
    iso_date_optional: Option<civil::Date>, garde(skip);
    iso_datetime: Timestamp, garde(skip);
    record_of_dates: BTreeMap<String, civil::Date>, garde(skip);
}

fn word() -> String {
    "word".to_owned()
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Word {
    Ab,
    Cd,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
pub(super) struct Inner {
    #[garde(length(chars, min = 2))]
    inner_name: String,
    #[garde(range(max = 10))]
    amount: Option<u8>,
}

/// A newtype that its own conversion checks.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "u32")]
#[schemars(with = "u32")]
pub(super) struct Even;

impl TryFrom<u32> for Even {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number.is_multiple_of(2) { Ok(Self) } else { Err("must be even") }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(super) struct Date;

impl TryFrom<String> for Date {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_date = text.len() == 10 && text.split('-').map(str::len).eq([4, 2, 2]);
        if is_date { Ok(Self) } else { Err("must be a date") }
    }
}

/// What every schema of one value is asked about.
pub(super) fn pool() -> Vec<Value> {
    let values = json!([
        "", "a", "ab", "abc", "abcd", "ö", "a@example.com", "2024-02-03", true, false, null, 0, 1, 2, -1, 1.5, 62.0,
        300, 70000, [], [1], ["a"], ["", "ab"], [1, 2, 3, 4], [0, 1], [[1], [1, 2, 3]], [null], [true, 1], [7, "a"],
        {}, {"a": 1}, {"a": "x", "b": 300}, {"a": ["x"]}, {"innerName": "abc"}, {"innerName": "a", "amount": 11},
        {"innerName": 1, "amount": "x"}, [{"innerName": "abc"}, {"amount": 1}, 7], {"k": {"innerName": "a"}}, ["ab", "xy"],
        [1, 2, "x"], "2024-02-30", "2024-02-03T10:00:00Z", "2024-02-03T10:00:00+02:00", "2024-02-03T25:00:00Z",
        "67e55044-10b1-426f-9247-bb680e5fe0c8", "67e5504410b1426f9247bb680e5fe0c8", "67e55044-10b1-426f-9247-bb680e5fe0cx",
        ["67e55044-10b1-426f-9247-bb680e5fe0c8", "x", 7], {"a": "2024-02-03", "b": "2024-02-30"},
    ]);
    let mut inputs: Vec<_> =
        values.as_array().unwrap().iter().map(|value| json!({"value": value})).collect();
    inputs.extend([json!({}), json!({"other": 1}), json!(7), json!(null), json!("value")]);
    inputs
}
