//! Schemas of queries.

use super::*;

/// A query of two parameters for each kind of text that is converted.
macro_rules! queries {
    ($($name:ident: $type:ty, $rules:meta $(, $serde:meta)?;)*) => {
        $(
            #[derive(Deserialize, Validate)]
            #[allow(dead_code, non_camel_case_types)]
            struct $name {
                #[$rules]
                $(#[$serde])?
                value: $type,
                #[garde(skip)]
                other: Option<bool>,
            }
        )*
        pub(super) const QUERIES: &[Schema] = &[$((stringify!($name), read_query::<$name>)),*];
    };
}

queries! {
    query_int: u32, garde(range(min = 1, max = 100));
    query_int_default: u32, garde(range(min = 1)), serde(default = "one");
    query_int_optional: Option<i32>, garde(range(min = 1));
    query_number: f64, garde(range(min = 0.5));
    query_boolean: bool, garde(skip);
    query_text: String, garde(length(chars, min = 1, max = 3));
    query_word: Word, garde(skip);
    query_uuid: Uuid, garde(skip);
    query_list: Vec<u32>, garde(length(max = 2)), serde(default);
}

fn one() -> u32 {
    1
}

pub(super) fn query_pool() -> Vec<Value> {
    let texts = [
        "0",
        "1",
        "20",
        "101",
        "-1",
        "1.5",
        "5.0",
        "1e1",
        "0x10",
        " 5",
        "",
        "x",
        "true",
        "false",
        "ab",
        "abcd",
        "67e55044-10b1-426f-9247-bb680e5fe0c8",
        "9007199254740993",
        "NaN",
        "Infinity",
    ];
    let mut inputs: Vec<_> = texts.iter().map(|text| json!({"value": text})).collect();
    inputs.extend([
        json!({}),
        json!({"value": "1", "other": "true"}),
        json!({"value": "x", "other": "yes"}),
        json!({"other": "0"}),
        json!({"value": ["1", "2"]}),
        json!({"value": ["1", "x"]}),
        json!({"value": ["1", "2", "3"]}),
    ]);
    inputs
}
