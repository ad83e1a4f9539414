//! An axum service that validates all input. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example validation
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example validation
//! ```

use std::{env, net::SocketAddr};

use axum::{
    Form, Json, Router,
    extract::{Path, Query},
    http::StatusCode,
    routing::{get, post},
};
use garde::Validate;
use palisade::{
    ErrorLayer, IssueView,
    observe::RequestIds,
    stack,
    validate::{
        Headers, JsonSchema, Multipart, RuleContext, Uploads, Valid, Validation,
        debug_validate_response,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

/// `/shops/{shopId}/orders`.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Shop {
    #[garde(range(min = 1))]
    shop_id: u32,
}

/// `z.coerce.number().default(1)` is a number with a default, because values of a query are always text.
#[derive(Deserialize, Validate)]
#[serde(default, rename_all = "camelCase")]
struct Delivery {
    #[garde(range(min = 1, max = 10))]
    parcels: u8,
    #[garde(skip)]
    is_gift: bool,
    #[garde(length(max = 3))]
    label: Vec<String>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { parcels: 1, is_gift: false, label: Vec::new() }
    }
}

/// `Idempotency-Key` and `X-Api-Version`.
#[derive(Deserialize, Validate)]
struct Needed {
    #[garde(length(min = 8, max = 64), ascii)]
    idempotency_key: String,
    #[garde(range(min = 1, max = 3))]
    x_api_version: Option<u8>,
}

#[derive(Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(context(Catalogue as catalogue))]
struct Order {
    #[garde(email)]
    customer_email: String,
    #[garde(length(min = 1, max = 100), dive)]
    order_lines: Vec<Line>,
}

#[derive(Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(context(Catalogue as catalogue))]
struct Line {
    #[garde(custom(is_listed))]
    product_code: String,
    #[garde(range(min = 1, max = catalogue.most_at_once))]
    amount: u32,
}

/// The context of rules.
#[derive(Default)]
struct Catalogue {
    codes: Vec<&'static str>,
    most_at_once: u32,
}

fn is_listed(code: &str, catalogue: &Catalogue) -> garde::Result {
    if catalogue.codes.contains(&code) {
        Ok(())
    } else {
        Err(garde::Error::new("is not in the catalogue"))
    }
}

type NewOrder = Valid<(Path<Shop>, Query<Delivery>, Headers<Needed>, Json<Order>)>;

/// One response reports all mistakes of path, query, headers and body.
async fn order(
    Valid((Path(shop), Query(delivery), Headers(needed), Json(order))): NewOrder,
) -> (StatusCode, Json<serde_json::Value>) {
    let answer = json!({
        "shopId": shop.shop_id,
        "parcels": delivery.parcels,
        "isGift": delivery.is_gift,
        "labels": delivery.label,
        "key": needed.idempotency_key,
        "apiVersion": needed.x_api_version,
        "order": order,
    });
    (StatusCode::CREATED, Json(answer))
}

#[derive(Deserialize, Validate)]
struct Signup {
    #[garde(length(chars, min = 3))]
    name: String,
    #[garde(length(chars, min = 12))]
    password: String,
    #[garde(matches(password))]
    repeat: String,
}

async fn sign_up(Valid(Form(signup)): Valid<Form<Signup>>) -> String {
    format!("welcome, {}: {} characters twice", signup.name, signup.repeat.chars().count())
}

#[derive(Deserialize, Validate)]
struct Caption {
    #[garde(length(chars, max = 20))]
    caption: String,
}

async fn upload(Valid(form): Valid<Multipart<Caption>>) -> String {
    let about =
        |file: &palisade::validate::Upload| format!("{} {}", file.content_type(), file.size());
    let file = form.file("picture").map(about).unwrap_or_default();
    format!("{}: {file}", form.fields.caption)
}

/// The schema is data: see `main`. The layer has validated the body.
async fn reading(Json(reading): Json<serde_json::Value>) -> Json<serde_json::Value> {
    Json(reading)
}

#[derive(Deserialize, Validate)]
struct Health {
    #[garde(pattern("^(up|down)$"))]
    #[allow(dead_code, reason = "nobody reads it; it is checked")]
    state: String,
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({"state": "up"}))
}

/// A response that breaks its own schema, which is detected during development.
async fn broken_health() -> Json<serde_json::Value> {
    Json(json!({"state": "sideways"}))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let schema = JsonSchema::compile(&json!({
        "type": "object",
        "required": ["sensor", "celsius"],
        "properties": {
            "sensor": {"type": "string", "pattern": "^[a-z]+-[0-9]+$"},
            "celsius": {"type": "number", "minimum": -90, "maximum": 60},
        },
        "additionalProperties": false,
    }))?;
    let pictures = Uploads::builder()
        .max_files(1)
        .max_file_bytes(1024 * 1024)
        .allow_types(["image/png", "image/jpeg"])
        .require_file("picture")
        .build()?;
    let catalogue = Catalogue { codes: vec!["lamp", "chair"], most_at_once: 5 };

    let app = Router::new()
        .route("/shops/{shopId}/orders", post(order).layer(RuleContext::new(catalogue).layer()))
        .route("/signup", post(sign_up).layer(Validation::new().view(IssueView::Flat).layer()))
        .route("/pictures", post(upload).layer(pictures.layer()))
        .route("/readings", post(reading).layer(schema.layer(64 * 1024)))
        .route("/health", get(health).layer(debug_validate_response::<Health>()))
        .route("/broken", get(broken_health).layer(debug_validate_response::<Health>()))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr) {
    println!(
        r#"listening on http://{address}

An order, and one with a mistake in path, query, headers and body
  curl -i 'http://{address}/shops/7/orders?parcels=2&isGift=true&label=a&label=b' -H 'Idempotency-Key: 12345678' -H 'Content-Type: application/json' -d '{{"customerEmail":"ada@example.com","orderLines":[{{"productCode":"lamp","amount":2}}]}}'
  curl -i 'http://{address}/shops/0/orders?parcels=many' -H 'Idempotency-Key: 1' -H 'Content-Type: application/json' -d '{{"customerEmail":"ada","orderLines":[{{"productCode":"sofa","amount":9}}]}}'

What is no JSON, has a name twice, or does not say that it is JSON
  curl -i http://{address}/shops/7/orders -H 'Idempotency-Key: 12345678' -H 'Content-Type: application/json' -d '{{"customerEmail":'
  curl -i http://{address}/shops/7/orders -H 'Idempotency-Key: 12345678' -H 'Content-Type: application/json' -d '{{"customerEmail":"a@b.cc","customerEmail":"c@d.ee","orderLines":[]}}'
  curl -i http://{address}/shops/7/orders -H 'Idempotency-Key: 12345678' -d '{{}}'

A form whose mistakes are told by field
  curl -i http://{address}/signup -d 'name=ada&password=correct+horse&repeat=correct+horse'
  curl -i http://{address}/signup -d 'name=a&password=short&repeat=other'

A picture, and something that only says it is one
  printf '\211PNG\r\n\032\n' | curl -i http://{address}/pictures -F caption=sunset -F 'picture=@-;filename=a.png;type=image/png'
  echo '<script>' | curl -i http://{address}/pictures -F caption=sunset -F 'picture=@-;filename=a.png;type=image/png'

What is described by a JSON Schema
  curl -i http://{address}/readings -H 'Content-Type: application/json' -d '{{"sensor":"roof-1","celsius":21.5}}'
  curl -i http://{address}/readings -H 'Content-Type: application/json' -d '{{"sensor":"roof","celsius":100,"unit":"K"}}'

A response that keeps its promise, and one that does not
  curl -i http://{address}/health
  curl -i http://{address}/broken
"#
    );
}
