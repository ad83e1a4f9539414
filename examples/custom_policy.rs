//! A policy of your own: the opening hours of an API, in about 15 lines.
//!
//! ```sh
//! cargo run --example custom_policy
//! ```

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::request, routing::get};
use palisade::{ApiError, Clock, Decision, ErrorLayer, Policy, SystemClock, stack};
use tokio::net::TcpListener;

/// Allows requests in the first half of each period, and rejects them in the second with the time until the next period.
#[derive(Clone)]
struct OpeningHours {
    period: Duration,
    clock: Arc<dyn Clock>,
}

impl Policy for OpeningHours {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        let into_period = self.clock.unix().as_millis() % self.period.as_millis();
        let until_next = self.period - Duration::from_millis(into_period as u64);
        if until_next > self.period / 2 {
            Decision::grant(())
        } else {
            let closed = ApiError::unavailable().with_code("CLOSED").with_message("we are closed");
            Decision::refuse(closed.with_retry_after(until_next))
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hours = OpeningHours { period: Duration::from_secs(10), clock: SystemClock::shared() };
    let app = Router::new()
        .route("/", get(|| async { "welcome\n" }))
        .layer(stack().errors(ErrorLayer::new()).policy(hours));

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3003".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address: SocketAddr = listener.local_addr()?;
    println!(
        "listening on http://{address}\n\nopen and closed, five seconds each\n  curl -i http://{address}/\n"
    );
    axum::serve(listener, app).await?;
    Ok(())
}
