use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

#[cfg(feature = "redis")]
use super::redis::Lease;
use crate::entry::{Key, Stored};

/// The requests that are with the service, by key: others for the same key wait for their responses.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<Key, watch::Receiver<Landing>>>,
}

/// What a flight has come to.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    InFlight,
    /// This response is for all that may have it.
    Shared(Arc<Stored>),
    /// Its response is not one to share: each request needs its own.
    NotStored,
    /// The service failed.
    Failed,
    /// Its client has left before there was a response.
    Abandoned,
}

pub(crate) enum Joined {
    /// This request goes to the service.
    Lead(Flight),
    /// Another one is there.
    Wait(watch::Receiver<Landing>),
}

/// The one request for a key that is with the service. Dropping it lets the next one go.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: Key,
    landing: watch::Sender<Landing>,
    /// The flight of the fleet. Dropping it ends that too.
    #[cfg(feature = "redis")]
    lease: Option<Lease>,
}

impl Flights {
    pub(crate) fn join(self: &Arc<Self>, key: &Key) -> Joined {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = under_way.get(key) {
            return Joined::Wait(flight.clone());
        }
        let (landing, waiting) = watch::channel(Landing::InFlight);
        under_way.insert(key.clone(), waiting);
        Joined::Lead(Flight {
            flights: Arc::clone(self),
            key: key.clone(),
            landing,
            #[cfg(feature = "redis")]
            lease: None,
        })
    }
}

impl Flight {
    /// Keeps other machines waiting until this flight is over.
    #[cfg(feature = "redis")]
    pub(super) fn hold(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    /// Releases those that wait.
    #[cfg_attr(not(feature = "redis"), expect(unused_mut, reason = "the lease is taken"))]
    pub(crate) fn land(mut self, landing: Landing) {
        #[cfg(feature = "redis")]
        if let Some(lease) = self.lease.take() {
            lease.land(matches!(landing, Landing::NotStored));
        }
        // Removed first: a request that comes now must not wait for a flight that is over.
        self.remove();
        self.landing.send_replace(landing);
    }

    fn remove(&self) {
        let mut under_way = self.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.key);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if matches!(*self.landing.borrow(), Landing::InFlight) {
            self.remove();
            self.landing.send_replace(Landing::Abandoned);
        }
    }
}

/// Waits until a flight is over.
pub(crate) async fn landed(mut flight: watch::Receiver<Landing>) -> Landing {
    match flight.wait_for(|landing| !matches!(landing, Landing::InFlight)).await {
        Ok(landing) => landing.clone(),
        Err(_) => Landing::Abandoned,
    }
}
