//! Flights of the fleet: of the machines that share a store, one asks the service for a resource.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::runtime::Handle;

use super::{DEPART, Departure, LAND, Place, RedisMark, STATE_KEPT, Shared, millis};
use crate::entry::Key;

/// The lease of a flight. If the machine crashes, or its service takes longer, another machine asks the service.
const LEASE: Duration = Duration::from_secs(10);

/// The machines of a fleet do not wait for each other for this long after a response that is not stored.
const UNSHARED_FOR: Duration = Duration::from_secs(10);

/// The flight of this machine. Its token keeps the machine from ending the flight of another one after its lease has expired.
pub(crate) struct Lease {
    shared: Shared,
    shard: usize,
    key: String,
    token: String,
    is_held: bool,
    /// The response is not one to share.
    is_unshared: bool,
}

impl Shared {
    /// Starts the flight for a key, unless another machine has it.
    pub(crate) async fn depart(&self, key: &Key) -> Departure {
        let (place, mut random) = (self.place(key), [0; 16]);
        if getrandom::fill(&mut random).is_err() {
            return Departure::Alone(self.mark(key).await);
        }
        let token = URL_SAFE_NO_PAD.encode(random);
        // Made before the request: a flight whose reply is lost may have started, and must end.
        let mut lease = Lease {
            shared: self.clone(),
            shard: place.shard,
            key: place.flight(self),
            token: token.clone(),
            is_held: true,
            is_unshared: false,
        };
        match self.request_departure(&place, &token).await {
            Some((b'l', mark)) => Departure::Lead(mark, lease),
            Some((b'a', mark)) => {
                lease.is_held = false;
                Departure::Alone(Some(mark))
            }
            Some(_) => {
                lease.is_held = false;
                Departure::Wait
            }
            None => Departure::Alone(None),
        }
    }

    pub(super) async fn request_departure(
        &self,
        place: &Place,
        token: &str,
    ) -> Option<(u8, RedisMark)> {
        let keys = [place.state(self), place.flight(self)];
        let times = [millis(LEASE), millis(STATE_KEPT)];
        let arguments = [token.as_bytes(), times[0].as_bytes(), times[1].as_bytes()];
        let mut reply = self.ask(place.shard, &DEPART, &keys, &arguments).await??;
        (!reply.is_empty()).then(|| (reply.remove(0), RedisMark(reply)))
    }
}

impl Lease {
    /// Ends the flight. After a response that is not one to share, other machines do not wait for a while.
    pub(crate) fn land(mut self, is_unshared: bool) {
        self.is_unshared = is_unshared;
    }
}

/// On a task of its own, so that the client does not wait.
impl Drop for Lease {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_held {
            return;
        }
        let (shared, shard) = (self.shared.clone(), self.shard);
        let (key, token) = (std::mem::take(&mut self.key), std::mem::take(&mut self.token));
        let unshared = if self.is_unshared { millis(UNSHARED_FOR) } else { "0".to_owned() };
        runtime.spawn(async move {
            let _ =
                shared.ask(shard, &LAND, &[key], &[token.as_bytes(), unshared.as_bytes()]).await;
        });
    }
}
