use std::sync::{Arc, Mutex, PoisonError};

use http::request;

use super::{DPOP, DpopReplays};

/// The proofs that one request has used up. All copies of the request's head share it, so that a request which is checked
/// several times uses its proof once: behind an optional authentication, beside a `shadow`, in the branches of an `any_of`.
///
/// A proof counts as used for the store that contains it: another store must still be asked, or a proof that is used up
/// there would be accepted again.
#[derive(Clone, Default)]
pub(crate) struct UsedProofs(Arc<Mutex<Vec<Used>>>);

type Used = (Arc<dyn DpopReplays>, Box<str>);

impl UsedProofs {
    /// Leaves the place for used proofs on a request with a proof.
    pub(crate) fn prepare(request: &mut request::Parts) {
        if request.headers.contains_key(DPOP) && request.extensions.get::<Self>().is_none() {
            request.extensions.insert(Self::default());
        }
    }

    /// Returns the used proofs of a request. A request that was not prepared shares them with no other check.
    pub(crate) fn of_request(request: &request::Parts) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }

    pub(super) fn contains(&self, store: &Arc<dyn DpopReplays>, id: &str) -> bool {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The addresses are those of stores that are still there.
        used.iter().any(|(other, used)| Arc::ptr_eq(other, store) && **used == *id)
    }

    pub(super) fn insert(&self, store: Arc<dyn DpopReplays>, id: Box<str>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((store, id));
    }
}
