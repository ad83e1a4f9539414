//! Schemas of objects.

use super::*;

/// Objects of several fields, each with its inputs.
macro_rules! objects {
    ($($name:ident: $type:ty, $inputs:tt;)*) => {
        pub(super) const OBJECTS: &[Schema] = &[$((stringify!($name), read::<$type>)),*];

        pub(super) fn object_inputs() -> Vec<(&'static str, Vec<Value>)> {
            vec![$((stringify!($name), json!($inputs).as_array().unwrap().clone())),*]
        }
    };
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Signup {
    #[garde(length(chars, min = 2, max = 10))]
    user_name: String,
    #[garde(length(chars, min = 8))]
    password: String,
    #[garde(matches(password))]
    password_again: String,
    #[garde(range(min = 18))]
    age: Option<u8>,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Strict {
    #[garde(skip)]
    a: u8,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Crossed {
    #[garde(length(chars, min = 1))]
    #[serde(rename = "id")]
    external_id: String,
    #[garde(range(min = 5))]
    #[serde(rename = "internalId")]
    id: u32,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(dead_code)]
enum Tagged {
    Circle {
        #[garde(range(min = 1.0))]
        radius: f64,
    },
    Box {
        #[garde(range(min = 1))]
        side_length: u32,
        #[garde(skip)]
        name: Option<String>,
    },
    Dot,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Drawing {
    #[garde(length(min = 1), dive)]
    shapes: Vec<Tagged>,
    #[garde(length(chars, min = 1))]
    title: String,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(tag = "type", content = "data", rename_all = "camelCase")]
#[allow(dead_code)]
enum Adjacent {
    Mail(#[garde(dive)] Inner),
    Phone(#[garde(length(chars, min = 3))] String),
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
enum External {
    Mail(#[garde(dive)] Inner),
    Phone {
        #[garde(length(chars, min = 3))]
        number: String,
    },
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(untagged)]
#[allow(dead_code)]
enum Untagged {
    Number(#[garde(skip)] u8),
    Text(#[garde(skip)] String),
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct UntaggedField {
    #[garde(dive)]
    value: Untagged,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Flattened {
    #[garde(length(chars, min = 1))]
    title: String,
    #[serde(flatten)]
    #[garde(dive)]
    inner: Inner,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct FlattenedUnion {
    #[garde(skip)]
    title: String,
    #[serde(flatten)]
    #[garde(dive)]
    shape: Tagged,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Order {
    #[garde(length(min = 1), dive)]
    order_lines: Vec<Inner>,
    #[garde(custom(needed_unless(&self.pickup)))]
    address: Option<String>,
    #[serde(default)]
    #[garde(skip)]
    pickup: bool,
}

fn needed_unless(pickup: &bool) -> impl FnOnce(&Option<String>, &()) -> garde::Result + '_ {
    move |address, ()| match address {
        None if !pickup => Err(garde::Error::new("is needed to deliver")),
        _ => Ok(()),
    }
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct Tree {
    #[garde(length(chars, min = 1))]
    name: String,
    #[serde(default)]
    #[garde(dive)]
    children: Vec<Tree>,
}

#[derive(Deserialize, JsonSchema, Validate)]
#[allow(dead_code)]
struct ManyFields {
    #[garde(skip)]
    a: String,
    #[garde(skip)]
    b: u8,
    #[garde(skip)]
    c: bool,
    #[garde(skip)]
    d: Vec<u8>,
    #[garde(skip)]
    e: BTreeMap<String, bool>,
}

objects! {
    signup: Signup, [
        {"userName": "ada", "password": "12345678", "passwordAgain": "12345678"},
        {"userName": "a", "password": "1", "passwordAgain": "1", "age": 17},
        {"userName": "ada", "password": "12345678", "passwordAgain": "other", "age": 18},
        {"userName": 7, "password": "1"}, {}, {"userName": "ada", "age": "old"}
    ];
    strict: Strict, [{"a": 1}, {"a": "x"}, {}];
    crossed: Crossed, [
        {"id": "a", "internalId": 5}, {"id": "", "internalId": 5}, {"id": "a", "internalId": 4},
        {"id": "", "internalId": 4}, {"id": 4, "internalId": ""}, {}
    ];
    tagged: Tagged, [
        {"kind": "circle", "radius": 1}, {"kind": "circle", "radius": 0}, {"kind": "circle"}, {"kind": "dot"},
        {"kind": "box", "sideLength": 0, "name": 7}, {"kind": "box", "sideLength": "x"}, {"kind": "star"}, {}, {"kind": 7},
        7, {"kind": "circle", "radius": "x"}
    ];
    drawing: Drawing, [
        {"title": "a", "shapes": [{"kind": "dot"}]}, {"title": "", "shapes": []},
        {"title": "", "shapes": [{"kind": "circle", "radius": 0}, {"kind": "box"}, {"kind": "x"}, {}]},
        {"title": 7, "shapes": [{"kind": "circle", "radius": 0}, {"kind": "circle", "radius": "x"}]}, {}
    ];
    adjacent: Adjacent, [
        {"type": "mail", "data": {"innerName": "ab"}}, {"type": "mail", "data": {"innerName": "a"}},
        {"type": "mail", "data": {}}, {"type": "phone", "data": "12"}, {"type": "phone", "data": 7}, {"type": "fax"}, {}
    ];
    external: External, [
        {"mail": {"innerName": "ab"}}, {"phone": {"number": "123"}}, {"mail": {"innerName": "a"}},
        {"phone": {"number": 1}}, {"phone": {}}
    ];
    untagged: UntaggedField, [{"value": 1}, {"value": "a"}, {"value": true}, {"value": 300}, {}];
    flattened: Flattened, [
        {"title": "a", "innerName": "ab"}, {"title": "", "innerName": "a", "amount": 11}, {"title": 7, "innerName": 7},
        {}, {"title": "a", "innerName": "ab", "amount": "x"}
    ];
    flattened_union: FlattenedUnion, [
        {"title": "a", "kind": "dot"}, {"title": 7, "kind": "circle", "radius": 0}, {"kind": "box", "sideLength": "x"},
        {"title": "a", "kind": "circle", "radius": 0}
    ];
    order: Order, [
        {"orderLines": [{"innerName": "ab"}], "address": "x"}, {"orderLines": [{"innerName": "ab"}]},
        {"orderLines": [{"innerName": "ab"}], "pickup": true}, {"orderLines": [], "pickup": true},
        {"orderLines": [{"innerName": "a"}, {"amount": 300}, 7], "pickup": "yes"}, {}
    ];
    tree: Tree, [
        {"name": "a"}, {"name": "", "children": [{"name": ""}, {"name": "b", "children": [{"name": ""}]}]},
        {"name": "a", "children": [{"children": [{}]}, {"name": 7, "children": 7}]}
    ];
    many_fields: ManyFields, [
        {"a": "", "b": 0, "c": false, "d": [], "e": {}}, {}, {"a": 1, "b": "1", "c": 1, "d": 1, "e": 1},
        {"a": "", "b": -1, "c": null, "d": [1, "x", 256, null], "e": {"x": true, "y": 1}}
    ];
}
