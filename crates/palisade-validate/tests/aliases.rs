//! Types that derive a schema, which does not know serde's `alias`.

#![cfg(feature = "schemars")]

use garde::Validate;
use palisade_validate::Validation;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Plain {
    #[serde(alias = "title")]
    name: String,
    amount: u8,
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(tag = "kind")]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
enum Tagged {
    Item {
        #[serde(alias = "title")]
        name: String,
        amount: u8,
    },
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Flattened {
    id: u8,
    #[serde(flatten)]
    plain: Plain,
}

fn paths<T>(body: &str, settings: &Validation) -> Vec<String>
where
    T: DeserializeOwned + JsonSchema + Validate + 'static,
    T::Context: Default,
{
    let error = settings.json_by_schema::<T>(body.as_bytes()).err().expect("it is rejected");
    error.issues().iter().map(|issue| format!("{} {}", issue.path, issue.code)).collect()
}

#[test]
fn aliased_field_is_neither_missing_nor_unknown() {
    for settings in [Validation::new(), Validation::new().deny_unknown_fields()] {
        let body = r#"{"title":"a","amount":"x"}"#;
        assert_eq!(paths::<Plain>(body, &settings), ["amount wrong_type"]);
        let body = r#"{"title":"a"}"#;
        assert_eq!(paths::<Plain>(body, &settings), ["amount missing"]);
        let body = r#"{"kind":"Item","title":"a","amount":"x"}"#;
        assert_eq!(paths::<Tagged>(body, &settings), ["amount wrong_type"]);
        let body = r#"{"kind":"Item","title":"a"}"#;
        assert_eq!(paths::<Tagged>(body, &settings), ["amount missing"]);
        let body = r#"{"id":1,"title":"a","amount":"x"}"#;
        assert_eq!(paths::<Flattened>(body, &settings), ["amount wrong_type"]);
    }
}

#[test]
fn misspelt_field_is_reported_as_missing() {
    let settings = Validation::new();
    let body = r#"{"nmae":"a","amount":"x"}"#;
    assert_eq!(paths::<Plain>(body, &settings), ["name missing", "amount wrong_type"]);
    let body = r#"{"kind":"Item","nmae":"a","amount":1}"#;
    assert_eq!(paths::<Tagged>(body, &settings), ["name missing"]);
}

#[test]
fn schema_issues_follow_the_order_of_the_fields() {
    #[derive(Debug, Deserialize, JsonSchema, Validate)]
    #[garde(allow_unvalidated)]
    #[allow(dead_code)]
    struct Ordered {
        z: u8,
        a: u8,
        m: Option<Plain>,
        b: u8,
    }
    let body = r#"{"a":"","b":"","m":{"amount":"","name":1},"z":""}"#;
    let expected = ["z", "a", "m.name", "m.amount", "b"].map(|name| format!("{name} wrong_type"));
    assert_eq!(paths::<Ordered>(body, &Validation::new()), expected);
}
