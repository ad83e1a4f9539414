use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Extensions, Method, request};
use palisade_core::{ApiError, on_admission};

/// On a request that met an auth decision further out. Only this crate can make one.
#[derive(Clone, Copy)]
struct Marked;

/// Tells a layer further out that its request met an auth decision: extensions of a request do not come back.
#[derive(Clone, Default)]
pub(super) struct Flag(Arc<AtomicBool>);

impl Flag {
    /// The flag of a request: the one that a layer further out put there, or a new one.
    pub(super) fn of(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_with(Self::default).clone()
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Notes that the request met an auth decision and passed.
pub(crate) fn mark(request: &mut request::Parts) {
    if let Some(Flag(flag)) = request.extensions.get().cloned() {
        on_admission(request, move || flag.store(true, Ordering::Release));
    }
    request.extensions.insert(Marked);
}

pub(super) fn is_marked(extensions: &Extensions) -> bool {
    extensions.get::<Marked>().is_some()
}

/// The refusal of a request whose route nobody decided about. The path is that of the request; its query may hold
/// secrets, and stays out of the log.
#[cold]
pub(super) fn undecided(method: &Method, path: &str) -> ApiError {
    tracing::error!(
        target: "palisade::auth",
        %method,
        path,
        outcome = "deny",
        reason = "undecided",
        "this route does not say who may come in: give it with_auth, with_role, with_rule or with_public",
    );
    ApiError::forbidden()
}
