use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Plain {
    #[garde(length(chars, min = 2))]
    a: String,
    #[garde(range(min = 3))]
    b_c: Option<u8>,
    #[garde(dive)]
    #[serde(default)]
    d: Vec<Plain>,
    #[garde(dive)]
    #[serde(default)]
    e: HashMap<String, Plain>,
    #[garde(dive)]
    f: Option<Form>,
    #[garde(skip)]
    #[serde(default)]
    g: (bool, Option<f64>),
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
enum Form {
    A,
    B(#[garde(length(min = 2))] String),
    D(#[garde(skip)] u8, #[garde(range(max = 2))] u8),
    E {
        #[garde(dive)]
        a: Tagged,
        #[garde(dive)]
        f: Either,
    },
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(tag = "a", rename_all = "camelCase")]
#[allow(dead_code)]
enum Tagged {
    B {
        #[garde(range(min = 1))]
        b_c: u8,
    },
    D {
        #[serde(flatten)]
        #[garde(dive)]
        flat: Flat,
    },
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Flat {
    #[garde(range(min = 1))]
    g: i8,
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[allow(dead_code)]
enum Either {
    Number(#[garde(range(min = 1))] u8),
    Text(#[garde(length(min = 1))] String),
}

/// The path exists in the document, or is a missing member of an object that does.
fn is_known(document: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map(|(parent, _)| parent);
    document.pointer(pointer).is_some()
        || parent.and_then(|parent| document.pointer(parent)).is_some_and(Value::is_object)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1i64..400).prop_map(Value::from),
        (-1.0..9.0f64).prop_map(Value::from),
        "(a|b|d|[a-e]{0,3})".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let name = prop::sample::select(vec!["a", "bC", "d", "e", "f", "g", "b", "x/y~"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect())
            }),
        ]
    })
}

fn check<T>(document: &Value, answer: Result<T, ApiError>) -> Result<(), TestCaseError>
where
    T: DeserializeOwned,
{
    let is_read = serde_json::from_value::<T>(document.clone()).is_ok();
    match answer {
        Ok(_) => prop_assert!(is_read),
        Err(error) => {
            prop_assert!(!error.issues().is_empty());
            for issue in error.issues() {
                let pointer = issue.pointer.as_deref().unwrap_or_default();
                prop_assert!(is_known(document, pointer), "{pointer} of {document}");
            }
            // Rules are looked at where the form is right, and only there.
            prop_assert!(is_read || error.issues_are_truncated());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn every_issue_path_exists_in_the_document(document in document(), member in "(a|bC|d|e|f|g)") {
        let wrapped = json!({"a": "ab", member: document});
        let text = wrapped.to_string();
        for settings in [Validation::new(), Validation::new().deny_unknown_fields()] {
            check::<Plain>(&wrapped, settings.json::<Plain>(text.as_bytes()))?;
            #[cfg(feature = "schemars")]
            check::<Plain>(&wrapped, settings.json_by_schema::<Plain>(text.as_bytes()))?;
        }
    }
}
