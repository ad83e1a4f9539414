//! The service of `examples/quickstart` with other crates. `scripts/quickstart-cost` compares what both take to compile.
//!
//! tower-http, tower_governor, jsonwebtoken and axum-valid, with the middleware around them that people write. It lacks what no
//! crate among them has: one error format, the explanations, and the exact log of the item limit.

use std::{convert::Infallible, env, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{delete, get, post},
};
use axum_valid::Garde;
use garde::Validate;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::CorsLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};
use uuid::Uuid;

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
}

#[derive(Serialize, Deserialize, Validate)]
struct Item {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    #[garde(email)]
    email: String,
    #[garde(pattern("^#[0-9A-Fa-f]{6}$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<String>,
}

#[derive(Serialize, Deserialize, Validate)]
#[serde(default)]
struct Search {
    #[garde(skip)]
    q: String,
    #[garde(range(min = 1))]
    page: u32,
    #[garde(range(min = 1, max = 100))]
    limit: u32,
}

impl Default for Search {
    fn default() -> Self {
        Self { q: String::new(), page: 1, limit: 20 }
    }
}

#[derive(Clone)]
struct Auth(Arc<(DecodingKey, Validation)>);

async fn authenticate(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    let value = request.headers().get(header::AUTHORIZATION);
    let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (key, validation) = &*auth.0;
    let decoded = token.and_then(|token| jsonwebtoken::decode(token, key, validation).ok());
    match decoded {
        Some(decoded) => {
            let claims: Claims = decoded.claims;
            request.extensions_mut().insert(claims);
            next.run(request).await
        }
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn require_admin(request: Request, next: Next) -> Response {
    let claims = request.extensions().get::<Claims>();
    if claims.is_some_and(|claims| claims.roles.iter().any(|role| role == "admin")) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

async fn profile(request: Request) -> Json<serde_json::Value> {
    Json(serde_json::json!(request.extensions().get::<Claims>()))
}

async fn create_item(Garde(Json(item)): Garde<Json<Item>>) -> (StatusCode, Json<Item>) {
    (StatusCode::CREATED, Json(item))
}

async fn delete_item(Path(_id): Path<String>) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn search(Garde(Query(search)): Garde<Query<Search>>) -> Json<Search> {
    Json(search)
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let numbers = tokio_stream::iter(1..=5).throttle(Duration::from_millis(200));
    Sse::new(numbers.map(|number| Ok(Event::default().data(format!("tick {number}")))))
}

async fn boom() -> StatusCode {
    panic!("a handler panicked, and the server goes on")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let mut validation = Validation::default();
    validation.set_audience(&["quickstart"]);
    let auth = Auth(Arc::new((DecodingKey::from_secret(secret.as_bytes()), validation)));
    let cors = CorsLayer::new()
        .allow_origin(HeaderValue::from_static("https://app.example.com"))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allow_credentials(true)
        .max_age(Duration::from_secs(600));
    let mut everything = GovernorConfigBuilder::default();
    everything.per_millisecond(100).burst_size(100);
    let everything = everything.use_headers().finish().ok_or("a burst and a period")?;
    let mut new_items = GovernorConfigBuilder::default();
    new_items.per_second(1).burst_size(10);
    let new_items = new_items.finish().ok_or("a burst and a period")?;

    let with_token = || middleware::from_fn_with_state(auth.clone(), authenticate);
    let admin = delete(delete_item).layer(middleware::from_fn(require_admin)).layer(with_token());
    let app = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/profile", get(profile).layer(with_token()))
        .route("/items", post(create_item).layer(GovernorLayer::new(new_items)))
        .route("/items/{id}", admin)
        .route("/search", get(search))
        .route("/events", get(events))
        .route("/boom", get(boom))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(RequestBodyLimitLayer::new(1024 * 1024))
        .layer(GovernorLayer::new(everything))
        .layer(cors)
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    for (user, roles) in [("ada", &["user"][..]), ("grace", &["user", "admin"])] {
        let roles = roles.iter().map(ToString::to_string).collect();
        let claims =
            Claims { sub: user.into(), aud: "quickstart".into(), exp: 4_000_000_000, roles };
        let key = EncodingKey::from_secret(secret.as_bytes());
        println!("{user}: {}", jsonwebtoken::encode(&Header::default(), &claims, &key)?);
    }
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
