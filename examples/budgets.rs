//! Budgets: callers have a number of tokens for each day and month, as with a language model. A request reserves the most that it
//! may use, and is charged what it used: known from the response, at the end of a stream, or when the client disconnects.
//!
//! ```sh
//! cargo run --example budgets
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example budgets
//! ```

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query},
    http::HeaderName,
    response::{IntoResponse, Sse, sse::Event},
    routing::{get, post},
};
use palisade::{
    ApiError, ErrorLayer,
    observe::RequestIds,
    rate_limit::{ActualCost, ByHeader, FieldLines, Quota, RateLimit, RateLimitStatus},
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};

const SECOND: Duration = Duration::from_secs(1);

/// The reservation of a request: the most tokens that a response can have.
const RESERVED: u32 = 200;

#[derive(Deserialize)]
struct Prompt {
    text: String,
}

#[derive(Serialize)]
struct Completion {
    text: String,
    tokens: u32,
    /// The rest of the budget, before this request is settled.
    left: Option<u32>,
}

/// A stand-in for a model: repeats each word.
fn complete(prompt: &str) -> (String, u32) {
    let words: Vec<&str> = prompt.split_whitespace().flat_map(|word| [word, word]).collect();
    (words.join(" "), words.len() as u32)
}

/// The cost is known when the handler responds: it is an extension of the response.
async fn completion(
    status: RateLimitStatus,
    Json(prompt): Json<Prompt>,
) -> Result<impl IntoResponse, ApiError> {
    if prompt.text.is_empty() {
        return Err(ApiError::bad_request().with_message("the prompt is empty"));
    }
    let (text, tokens) = complete(&prompt.text);
    let answer = Json(Completion { text, tokens, left: status.remaining() });
    Ok((Extension(ActualCost::new(tokens)), answer))
}

#[derive(Deserialize)]
struct Length {
    tokens: u32,
}

/// The cost is known when the stream ends: each token is counted when it is sent. A client that disconnects pays for the tokens
/// that were sent.
async fn stream(
    Extension(cost): Extension<ActualCost>,
    Query(length): Query<Length>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    cost.set(0);
    let tokens = tokio_stream::iter(0..length.tokens).throttle(SECOND / 100);
    Sse::new(tokens.map(move |number| {
        cost.add(1);
        Ok(Event::default().data(format!("token {number}")))
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Count by principal in your service: this header is believed because the example has no authentication.
    let caller = ByHeader::new(HeaderName::from_static("x-caller"));
    // The day begins at midnight in Berlin, also when the clocks change.
    let budgets = [
        Quota::per_day(1000, "Europe/Berlin")?.named("today"),
        Quota::per_month(20_000, "Europe/Berlin")?.named("month"),
    ];
    let budget = RateLimit::per_key(caller, budgets).cost(|_| RESERVED).settled().build()?;

    let app = Router::new()
        .route("/completions", post(completion))
        .route("/stream", get(stream))
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()).rate_limit(&budget))
        // Reading the budget costs nothing.
        .route(
            "/budget/{caller}",
            get({
                let budget = budget.clone();
                async move |Path(caller): Path<String>| {
                    let key = FieldLines::from_value(&caller);
                    let status = budget.peek(key).await?;
                    Ok::<_, ApiError>(format!("{}\n", status.remaining().unwrap_or(0)))
                }
            }),
        );

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3014".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr) {
    println!(
        r#"listening on http://{address}

A thousand tokens a day for each caller, in the time zone of Berlin, and twenty thousand a month. A request reserves {RESERVED} and is charged what it took: four
  curl -i http://{address}/completions -H 'X-Caller: ada' -H 'Content-Type: application/json' -d '{{"text":"hello there"}}'
  curl http://{address}/budget/ada

A stream is charged token by token, also if you interrupt it
  curl -N --max-time 1 -H 'X-Caller: ada' 'http://{address}/stream?tokens=500'
  curl http://{address}/budget/ada
"#
    );
}
