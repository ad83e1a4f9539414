//! An OpenAPI document: aide describes the handlers, `palisade::openapi` the layers in front of them.
//!
//! ```sh
//! cargo run --example openapi
//! curl http://127.0.0.1:3000/openapi.json
//! ```

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use aide::{
    axum::{ApiRouter, routing::get, routing::post},
    openapi::{Info, OpenApi},
};
use axum::{
    Extension, Json,
    extract::{Path, Query},
    http::StatusCode,
};
use garde::Validate;
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock,
    auth::{Identity, Jwt, testing},
    body::BodyLimit,
    observe::RequestIds,
    openapi::StackDescription,
    rate_limit::{Quota, RateLimit},
    stack,
    validate::{Headers, Valid, Validation},
};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A product.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
struct Item {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    #[garde(range(min = 0.5, max = 1_000.0))]
    price: f64,
    #[garde(pattern("^#[0-9a-f]{6}$"))]
    color: Option<String>,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct ItemPath {
    #[garde(range(min = 1, max = 1_000_000))]
    id: u32,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct View {
    /// The number of products in the list.
    #[garde(range(min = 1, max = 100))]
    limit: u32,
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Client {
    #[garde(length(chars, max = 20))]
    x_client_version: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

async fn create(_: Identity<Claims>, Valid(Json(item)): Valid<Json<Item>>) -> Json<Item> {
    Json(item)
}

async fn read(
    Valid((Path(path), Query(view), Headers(_))): Valid<(
        Path<ItemPath>,
        Query<View>,
        Headers<Client>,
    )>,
) -> Result<Json<Vec<Item>>, ApiError> {
    if path.id > 1_000 {
        return Err(ApiError::not_found());
    }
    let item = |at| Item { name: format!("item {at}"), price: 1.5, color: None };
    Ok(Json((0..view.limit).map(item).collect()))
}

async fn health() -> Json<&'static str> {
    Json("ok")
}

/// The schema of the document, for clients that validate their input first.
async fn item_schema() -> Json<Value> {
    Json(schema_for!(Item).to_value())
}

async fn serve_document(Extension(document): Extension<Arc<Value>>) -> Json<Value> {
    Json(Value::clone(&document))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = "a secret of an example, which is not secret";
    let auth = Jwt::<Claims>::hs256(secret).audience("openapi").build()?;
    let limit = RateLimit::per_address(Quota::per(100_000, Duration::from_secs(10))).build()?;

    let items = ApiRouter::new()
        .api_route("/items", post(create))
        .api_route("/items/{id}", get(read))
        .layer(stack().auth(&auth).body_limit(BodyLimit::new(64 * 1024)));
    let mut api = OpenApi {
        info: Info { title: "Items".into(), version: "1.0.0".into(), ..Info::default() },
        ..OpenApi::default()
    };
    let app = ApiRouter::new()
        .merge(items)
        .api_route("/health", get(health))
        .finish_api(&mut api)
        .route("/schemas/item", axum::routing::get(item_schema))
        .route("/openapi.json", axum::routing::get(serve_document))
        .fallback(|| async { ApiError::not_found() });

    // The layers of `app`, which aide does not see.
    let mut document = serde_json::to_value(api)?;
    StackDescription::new()
        .request_ids()
        .rate_limit(["ratelimit", "ratelimit-policy"])
        .auth("token", json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}))
        .public("/health")
        .body_limit()
        .validate(StatusCode::UNPROCESSABLE_ENTITY)
        .answer(palisade::openapi::known("NOT_FOUND")?)
        .describe(&mut document)?;

    // To JSON Schema `62.0` is an integer, so a service that promises its schema accepts it.
    let validation =
        Validation::new().status(StatusCode::UNPROCESSABLE_ENTITY).accept_integral_floats();
    let app = app.layer(Extension(Arc::new(document))).layer(
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .rate_limit(&limit)
            .policy(validation),
    );

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let exp = (SystemClock.unix() + Duration::from_secs(3600)).as_secs();
    let claims = Claims { sub: "ada".into(), aud: "openapi".into(), exp };
    println!("listening on http://{}\n", listener.local_addr()?);
    println!("user token:  {}", testing::sign_hs256(secret, &claims));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
