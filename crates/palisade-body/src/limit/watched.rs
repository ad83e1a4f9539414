use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::counted::{Counted, Limit};
use crate::{
    fault::{BodyFault, FaultRecord},
    responder::Responder,
};

/// A body of unknown length that is shared by the handler and the layer. The handler owns the body until it ends or is dropped,
/// so reading takes no lock. Then the layer reads the rest if the handler has responded.
#[derive(Debug)]
pub(super) struct Watched<B> {
    /// The body has ended or broken off within the limit, as most bodies do. Then the lock is not taken.
    has_ended: AtomicBool,
    body: Mutex<State<B>>,
    limit: Limit,
    declared: u64,
    pub(super) responder: Responder,
    /// How long the layer waits for the unread rest. `None` if it does not.
    pub(super) drain_within: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum State<B> {
    /// The handler reads the body and has not responded.
    IsRead,
    /// The handler reads the body and has responded. A fault is recorded here.
    Answered(Arc<FaultRecord>),
    /// The handler has dropped the body before its end. Boxed, because most handlers read theirs, and the state is moved.
    Left(Box<Counted<B>>),
    /// It has ended, or broken off, within the limit.
    Ended,
    Over,
}

impl<B> Watched<B> {
    #[inline]
    pub(super) fn new(
        limit: Limit,
        declared: u64,
        responder: Responder,
        drain_within: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            has_ended: AtomicBool::new(false),
            body: Mutex::new(State::IsRead),
            limit,
            declared,
            responder,
            drain_within,
        })
    }

    /// Records that the reader has come to the end of the body.
    pub(super) fn set_ended(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Records what the reader leaves: the rest of the body, or the fault that ended it.
    pub(super) fn settle(&self, state: State<B>) {
        let is_over = matches!(state, State::Over);
        let before = mem::replace(&mut *self.lock(), state);
        if is_over && let State::Answered(fault_record) = before {
            fault_record.record(BodyFault::TooLarge);
        }
    }

    /// Returns the state at the time of the response. If the body is still being read, later faults are recorded.
    pub(super) fn at_the_answer(&self) -> State<B> {
        // No inner limit allows the declared length, and a handler that has not read the body got no error.
        if self.declared > self.limit.get() {
            return State::Over;
        }
        if self.has_ended.load(Ordering::Acquire) {
            return State::Ended;
        }
        let mut state = self.lock();
        if matches!(*state, State::IsRead) {
            let fault_record = Arc::<FaultRecord>::default();
            *state = State::Answered(Arc::clone(&fault_record));
            return State::Answered(fault_record);
        }
        mem::replace(&mut *state, State::Ended)
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
