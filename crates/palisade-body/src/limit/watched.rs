use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::counted::{Counted, Limit};
use crate::{
    asker::Asker,
    verdict::{Ruling, Verdict},
};

/// Where the handler's end of a body of unknown length and the layer meet, once, when the reader has come to the end or
/// has let go: the layer reads on when the handler has answered without having read it all. The reader owns the body
/// until then, so nothing is locked while it is read.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: Mutex<State<B>>,
    limit: Limit,
    declared: u64,
    pub(super) asker: Asker,
    /// How long what the handler leaves of it may take. `None`: nobody asks.
    pub(super) drain_within: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum State<B> {
    /// By the handler, who has not answered yet.
    IsRead,
    /// The same, with the head of the answer out: who has to know if it goes over.
    Answered(Arc<Verdict>),
    /// The handler has let go of it, and there is more to come.
    Left(Counted<B>),
    /// It has ended, or broken off.
    Ended,
    Over,
}

impl<B> Watched<B> {
    pub(super) fn new(
        limit: Limit,
        declared: u64,
        asker: Asker,
        drain_within: Option<Duration>,
    ) -> Arc<Self> {
        let body = Mutex::new(State::IsRead);
        Arc::new(Self { body, limit, declared, asker, drain_within })
    }

    /// The reader is done with it.
    pub(super) fn settle(&self, state: State<B>) {
        let is_over = matches!(state, State::Over);
        let before = mem::replace(&mut *self.lock(), state);
        if is_over && let State::Answered(verdict) = before {
            verdict.pass(Ruling::TooLarge);
        }
    }

    /// What has become of it by the time of the answer. If it is still being read, the verdict will tell the rest.
    pub(super) fn at_the_answer(&self) -> State<B> {
        // No inner limit has allowed what it declares, and a handler that never read it has not heard of that.
        if self.declared > self.limit.get() {
            return State::Over;
        }
        let mut state = self.lock();
        if matches!(*state, State::IsRead) {
            let verdict = Arc::<Verdict>::default();
            *state = State::Answered(Arc::clone(&verdict));
            return State::Answered(verdict);
        }
        mem::replace(&mut *state, State::Ended)
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
