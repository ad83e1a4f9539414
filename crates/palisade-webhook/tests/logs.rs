//! What is logged while a store of replays is down.

mod common;

use std::sync::{Arc, Mutex};

use common::{NOW, at, send, signed};
use palisade_core::{BoxError, BoxFuture, ManualClock};
use palisade_webhook::{Claim, ReplayStore, Replays, Reservation, Retention, Standard, Webhook};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Keeps how many failures each line counts.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u64>>>);

impl Visit for Lines {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if ["failures", "deliveries"].contains(&field.name()) {
            self.0.lock().unwrap().push(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "palisade::webhook" && *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Cannot be asked, or cannot remember what was processed.
#[derive(Clone, Copy)]
struct Down {
    claims: bool,
}

impl ReplayStore for Down {
    fn claim(&self, _: &str, _: Retention) -> BoxFuture<Result<Claim, BoxError>> {
        let claims = self.claims;
        Box::pin(async move {
            if claims { Ok(Claim::First(Box::new(Self { claims }))) } else { Err("down".into()) }
        })
    }
}

impl Reservation for Down {
    fn complete(self: Box<Self>, _: bytes::Bytes) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(async { Err("down".into()) })
    }
}

#[tokio::test]
async fn store_failures_are_logged_less_and_less_often() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    for claims in [false, true] {
        let clock = ManualClock::at(at(NOW));
        let webhook = Webhook::standard(SECRET).replays(Replays::new(Down { claims }));
        let webhook = webhook.clock(Arc::new(clock.clone())).build().unwrap();
        for second in 0..8 {
            for number in 0..10 {
                let id = format!("msg_{second}_{number}");
                let headers = Standard::signer(SECRET).unwrap();
                let headers = headers.sign(&id, at(NOW), b"hello").unwrap();
                let answer = send(&webhook, signed("/", headers, "hello")).await;
                assert_eq!(answer.status.as_u16(), if claims { 200 } else { 503 });
            }
            clock.advance(at(1));
        }
        // At once, and after 1, 2 and 4 seconds.
        assert_eq!(std::mem::take(&mut *lines.0.lock().unwrap()), [1, 10, 20, 40], "{claims}");
    }
}
