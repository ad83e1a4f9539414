//! What validation costs, beside serde_json alone, axum's `Json` and axum-valid: `cargo bench --bench validate`.
//!
//! Bodies of 1 KB and 10 KB: a list of lines with texts and numbers. All read the same type; ours also looks for names
//! that come twice, wherever they are, and applies garde's rules.

use std::convert::Infallible;

use axum::{Json, extract::FromRequest};
use axum_valid::Garde;
use bytes::Bytes;
use garde::Validate;
use http::{Request, Response};
use http_body_util::Full;
use palisade::validate::{JsonSchema, Valid, ValidateLayer, Validation};
use palisade_benches::{Counting, asking, compare, doing};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{Layer, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// About this many bytes.
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

/// An extractor, run to its end; everything is there, so it never waits.
fn extracted<E: FromRequest<()>>(body: &Bytes) -> E {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    let future = E::from_request(request::<axum::body::Body>(body), &());
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(value)) => value,
        _ => panic!("it is good, and it is there"),
    }
}

fn main() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let schema = JsonSchema::compile(&schema()).unwrap();
    for size in [1024, 10 * 1024] {
        let good = body(size);
        let text = String::from_utf8(good.to_vec()).unwrap();
        let late = Bytes::from(text.replace("\"amount\":12", "\"amount\":0"));
        let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wrong: serde_json::Value = serde_json::from_slice(&late).unwrap();
        let validation = Validation::new();
        let strict = Validation::new().deny_unknown_fields();
        let handler = service_fn(|_: Request<palisade::Body<Full<Bytes>>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        compare(
            &format!("a body of {} bytes", good.len()),
            &mut [
                doing("serde_json", || serde_json::from_slice::<Order>(&good).unwrap()),
                doing("serde_json and garde", || {
                    let order: Order = serde_json::from_slice(&good).unwrap();
                    order.validate().unwrap();
                    order
                }),
                doing("Validation::json", || validation.json::<Order>(&good).unwrap()),
                doing("Validation::json, deny_unknown_fields", || {
                    strict.json::<Order>(&good).unwrap()
                }),
                doing("axum: Json<T>", || extracted::<Json<Order>>(&good)),
                doing("axum-valid: Garde<Json<T>>", || extracted::<Garde<Json<Order>>>(&good)),
                doing("axum: Valid<Json<T>>", || extracted::<Valid<Json<Order>>>(&good)),
                asking(
                    "ValidateLayer<T>",
                    ValidateLayer::<Order>::new().layer(handler),
                    || request::<Full<Bytes>>(&good),
                    |response| response.status().is_success(),
                ),
                doing("JsonSchema::json", || schema.json(&good).unwrap()),
                doing("JsonSchema::check, a good tree", || schema.check(&tree).unwrap()),
                doing("jsonschema, the errors of a good tree", || {
                    assert_eq!(validator.iter_errors(&tree).count(), 0);
                }),
                doing("refused: Validation::json", || {
                    validation.json::<Order>(&late).err().unwrap()
                }),
                doing("refused: JsonSchema::check", || schema.check(&wrong).unwrap_err()),
            ],
        );
    }
}
