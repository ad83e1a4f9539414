//! One error format for your own error type, axum's own responses and panics, in the format that the client accepts.
//!
//! ```sh
//! cargo run --example errors   # prints what to try
//! ```

use std::{env, fmt, net::SocketAddr};

use axum::{
    Json, Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use palisade::{
    ApiError, ErrorCode, ErrorFormat, ErrorLayer, GrpcCode, OrApiError, ToApiError,
    observe::RequestIds, stack,
};
use serde::Deserialize;

/// The errors of orders.
#[derive(Debug)]
enum OrderError {
    NotFound,
    OutOfStock { left: u32 },
    Database(std::io::Error),
}

// `thiserror` generates these two.
impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such order"),
            Self::OutOfStock { left } => write!(f, "only {left} are left"),
            Self::Database(_) => f.write_str("the database failed"),
        }
    }
}

impl std::error::Error for OrderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(cause) => Some(cause),
            Self::NotFound | Self::OutOfStock { .. } => None,
        }
    }
}

const OUT_OF_STOCK: ErrorCode = ErrorCode::new(
    "OUT_OF_STOCK",
    StatusCode::CONFLICT,
    GrpcCode::FailedPrecondition,
    "not enough is left",
);

/// The response for each error. The cause of the last one goes to the log.
impl ToApiError for OrderError {
    fn to_api_error(&self) -> ApiError {
        match self {
            Self::NotFound => {
                ApiError::not_found().with_code("ORDER_NOT_FOUND").with_message(self.to_string())
            }
            Self::OutOfStock { .. } => ApiError::from(OUT_OF_STOCK).with_message(self.to_string()),
            Self::Database(_) => ApiError::unavailable(),
        }
    }
}

impl IntoResponse for OrderError {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}

#[derive(Deserialize)]
struct Order {
    amount: u32,
}

/// A handler that returns the type itself.
async fn buy(OrApiError(Json(order)): OrApiError<Json<Order>>) -> Result<String, OrderError> {
    if order.amount > 3 {
        return Err(OrderError::OutOfStock { left: 3 });
    }
    Ok(format!("{} are on their way\n", order.amount))
}

/// A handler with several kinds of errors, all propagated by `?`.
async fn find(Path(id): Path<u32>) -> Result<String, ApiError> {
    match id {
        0 => Err(OrderError::Database(std::io::Error::other("the password is hunter2")))?,
        7 => Ok("seven\n".to_owned()),
        8 => Err(ApiError::forbidden())?,
        _ => Err(OrderError::NotFound)?,
    }
}

async fn panics() {
    panic!("the password is hunter2")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let errors = ErrorLayer::new()
        .format(ErrorFormat::Problem)
        .negotiated_with_html()
        .problem_type(
            OUT_OF_STOCK.code,
            "https://api.example.com/problems/out-of-stock",
            "Nothing left of it",
        )?
        .framework_errors();
    let app = Router::new()
        .route("/orders", post(buy))
        .route("/orders/{id}", get(find))
        .route("/panic", get(panics))
        .layer(stack().observe(RequestIds::new()).errors(errors));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3007".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    print_what_to_try(listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr) {
    let url = format!("http://{address}");
    println!(
        r#"listening on {url}

An error of ours as problem details, as JSON, as text, and as a page
  curl {url}/orders/1
  curl {url}/orders/1 -H 'accept: application/json'
  curl {url}/orders/1 -H 'accept: text/plain'
  curl {url}/orders/1 -H 'accept: text/html'

With a type of its own, and one that shows nothing of its cause
  curl {url}/orders -H 'content-type: application/json' -d '{{"amount":4}}'
  curl {url}/orders/0

What axum answers by itself: no such route, method, content type, number
  curl {url}/nowhere
  curl -i -X DELETE {url}/orders
  curl {url}/orders -d '{{"amount":4}}'
  curl {url}/orders/seven

A panic
  curl {url}/panic
"#
    );
}
