//! Validation, beside serde_json alone, axum's `Json` and axum-valid.
//!
//! All read the same type, a list of lines with texts and numbers; ours also looks for names that come twice, wherever they are,
//! and applies garde's rules.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::{Json, extract::FromRequest};
use axum_valid::Garde;
use bytes::Bytes;
use garde::Validate;
use http::{Request, Response};
use http_body_util::Full;
use palisade::validate::{JsonSchema, Valid, ValidateLayer, Validation};
use palisade_bench::{Comparison, Subject};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{Layer, service_fn};

use crate::{BARE, growing, powers_of_ten};

#[derive(Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Order {
    #[garde(length(chars, min = 1, max = 100))]
    customer_name: String,
    #[garde(dive)]
    order_lines: Vec<Line>,
}

#[derive(Clone, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[garde(length(chars, min = 1, max = 100))]
    product_name: String,
    #[garde(range(min = 1, max = 1000))]
    amount: u32,
    #[garde(range(min = 0.0))]
    unit_price: f64,
    #[garde(length(max = 5))]
    tags: Vec<String>,
}

/// JSON of about this many bytes.
fn body(bytes: usize) -> Bytes {
    let line = Line {
        product_name: "a lamp that stands on its own".to_owned(),
        amount: 12,
        unit_price: 49.95,
        tags: vec!["home".to_owned(), "light".to_owned()],
    };
    let length = serde_json::to_vec(&line).unwrap().len() + 1;
    let order =
        Order { customer_name: "Ada Lovelace".to_owned(), order_lines: vec![line; bytes / length] };
    serde_json::to_vec(&order).unwrap().into()
}

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "required": ["customerName", "orderLines"],
        "properties": {
            "customerName": {"type": "string", "minLength": 1, "maxLength": 100},
            "orderLines": {"type": "array", "items": {
                "type": "object",
                "required": ["productName", "amount", "unitPrice", "tags"],
                "properties": {
                    "productName": {"type": "string", "minLength": 1, "maxLength": 100},
                    "amount": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "unitPrice": {"type": "number", "minimum": 0},
                    "tags": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
                },
            }},
        },
    })
}

fn request<B: From<Bytes>>(body: &Bytes) -> Request<B> {
    Request::post("/").header("content-type", "application/json").body(body.clone().into()).unwrap()
}

/// Runs an extractor to its end; the body is there, so that it never waits.
fn extracted<E: FromRequest<()>>(body: &Bytes) -> E {
    let future = E::from_request(request::<axum::body::Body>(body), &());
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(value)) => value,
        _ => panic!("the body is valid and complete"),
    }
}

fn serde_and_garde(body: &[u8]) -> Order {
    let order: Order = serde_json::from_slice(body).unwrap();
    order.validate().unwrap();
    order
}

/// A closure with a body of its own.
fn on<T>(name: &str, body: &Bytes, run: impl Fn(&Bytes) -> T + Clone + Send + 'static) -> Subject {
    let body = body.clone();
    Subject::work(name, move || run(&body))
}

/// Valid and invalid bodies.
pub fn compare() -> Comparison {
    let comparison = Comparison::new("validate");
    [("1 KB", 1024), ("10 KB", 10 * 1024)]
        .into_iter()
        .fold(comparison, |comparison, (name, size)| sets(comparison, name, &body(size)))
}

fn sets(comparison: Comparison, size: &str, good: &Bytes) -> Comparison {
    let text = String::from_utf8(good.to_vec()).unwrap();
    let late = Bytes::from(text.replace("\"amount\":12", "\"amount\":0"));
    let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
    let wrong: serde_json::Value = serde_json::from_slice(&late).unwrap();
    let (tree, wrong) = (Arc::new(tree), Arc::new(wrong));
    let validator = Arc::new(jsonschema::draft202012::new(&schema()).unwrap());
    let schema = Arc::new(JsonSchema::compile(&schema()).unwrap());
    let (validation, strict) = (Validation::new(), Validation::new().deny_unknown_fields());
    let rejecting = validation.clone();
    let (schema_of_wrong, schema_of_bytes) = (Arc::clone(&schema), Arc::clone(&schema));
    let (their_tree, their_wrong) = (Arc::clone(&tree), Arc::clone(&wrong));
    let their_validator = Arc::clone(&validator);
    let reading_validator = Arc::clone(&validator);
    comparison
        .set(
            format!("JSON of {size}"),
            [
                on("serde_json and garde", good, |body| serde_and_garde(body)),
                on("Palisade", good, move |body| validation.json::<Order>(body).unwrap()),
                on("Palisade, deny_unknown_fields", good, move |body| {
                    strict.json::<Order>(body).unwrap()
                }),
                on("serde_json alone", good, |body| serde_json::from_slice::<Order>(body).unwrap()),
            ],
        )
        .set(
            format!("an axum extractor, {size}"),
            [
                on("axum-valid, Garde<Json<T>>", good, extracted::<Garde<Json<Order>>>),
                on("Palisade, Valid<Json<T>>", good, extracted::<Valid<Json<Order>>>),
                on("axum, Json<T>, without rules", good, extracted::<Json<Order>>),
            ],
        )
        .set(format!("a layer, {size}"), layer(good))
        .set(
            format!("a JSON Schema, {size}"),
            [
                Subject::work("jsonschema", move || {
                    assert_eq!(validator.iter_errors(&their_tree).count(), 0);
                }),
                Subject::work("Palisade", move || schema.check(&tree).unwrap()),
            ],
        )
        .set(
            format!("reading by a JSON Schema, {size}"),
            [
                on("serde_json and jsonschema", good, move |body| {
                    let tree: serde_json::Value = serde_json::from_slice(body).unwrap();
                    assert_eq!(reading_validator.iter_errors(&tree).count(), 0);
                    tree
                }),
                on("Palisade", good, move |body| schema_of_bytes.json(body).unwrap()),
            ],
        )
        .set(
            format!("rejected, {size}"),
            [
                on("serde_json and garde", &late, |body| {
                    let order: Order = serde_json::from_slice(body).unwrap();
                    order.validate().unwrap_err()
                }),
                on("Palisade", &late, move |body| rejecting.json::<Order>(body).err().unwrap()),
            ],
        )
        .set(
            format!("rejected by a JSON Schema, {size}"),
            [
                Subject::work("jsonschema", move || {
                    assert_ne!(their_validator.iter_errors(&their_wrong).count(), 0);
                }),
                Subject::work("Palisade", move || schema_of_wrong.check(&wrong).unwrap_err()),
            ],
        )
}

fn layer(good: &Bytes) -> [Subject; 2] {
    async fn handler<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::default()))
    }
    let good = good.clone();
    let request = move || request::<Full<Bytes>>(&good);
    let layer = ValidateLayer::<Order>::new();
    [
        Subject::service(BARE, service_fn(handler), request.clone()),
        Subject::service("Palisade, ValidateLayer<T>", layer.layer(service_fn(handler)), request),
    ]
}

/// JSON of 1 KB to 1 MB.
pub fn growth() -> Comparison {
    let subjects = |bytes: usize| {
        let good = body(bytes);
        let validation = Validation::new();
        vec![
            on("serde_json and garde", &good, |body| serde_and_garde(body)),
            on("Palisade", &good, move |body| validation.json::<Order>(body).unwrap()),
        ]
    };
    growing("JSON size", powers_of_ten(1000, 1_000_000).map(|bytes| (bytes, subjects(bytes))))
}
