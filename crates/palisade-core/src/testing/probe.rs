use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tower_service::Service;

/// A body that yields a list of steps.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
}

/// The result of one poll of a [`Script`].
#[derive(Clone, Debug)]
pub enum Step {
    /// Is not ready this time.
    Wait,
    /// Yields bytes.
    Data(&'static str),
    /// Yields trailers, as pairs of name and value.
    Trailers(&'static [(&'static str, &'static str)]),
    /// Fails.
    Fail,
}

impl Script {
    /// Creates an empty body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These steps, then the end.
    pub fn from_steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect() }
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = ProbeError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProbeError>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Data(bytes)) => Some(Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))),
            Some(Step::Trailers(pairs)) => {
                let pairs = pairs
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
                Some(Ok(Frame::trailers(HeaderMap::from_iter(pairs))))
            }
            Some(Step::Fail) => Some(Err(ProbeError)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes =
            self.steps.iter().map(|step| if let Step::Data(data) = step { data.len() } else { 0 });
        SizeHint::with_exact(bytes.sum::<usize>() as u64)
    }
}

/// The error of a [`Probe`] and of a [`Script`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeError;

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the probe failed, as it was told to")
    }
}

impl std::error::Error for ProbeError {}

/// The most names that a `HeaderMap` can have.
const MOST_HEADER_FIELDS: usize = 24_576;

/// A configurable inner service that records its calls. Clones share the records; each must be polled ready before it is
/// called, as tower requires.
#[derive(Debug, Default)]
pub struct Probe {
    shared: Arc<ProbeRecord>,
    ready: bool,
}

#[derive(Debug, Default)]
struct ProbeRecord {
    /// How often `poll_ready` returns `Pending`.
    unready_polls: AtomicUsize,
    ready_fails: AtomicBool,
    call_fails: AtomicBool,
    never_answers: AtomicBool,
    calls: AtomicUsize,
    called_unready: AtomicBool,
    dropped_unanswered: AtomicUsize,
    answer: Mutex<Script>,
    headers: Mutex<HeaderMap>,
}

impl Probe {
    /// A probe that is ready and answers 200 with no body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers with this body.
    #[must_use]
    pub fn answering(self, body: Script) -> Self {
        *self.shared.answer.lock().unwrap() = body;
        self
    }

    /// Answers with as many header fields as a response can have, less `room`.
    ///
    /// # Panics
    ///
    /// If `room` is more than that.
    #[must_use]
    pub fn with_header_fields_leaving(self, room: usize) -> Self {
        let numbers = 0..MOST_HEADER_FIELDS.checked_sub(room).expect("less room than fields");
        let name = |number| HeaderName::try_from(format!("x-{number}")).expect("a header name");
        let field = |number| (name(number), HeaderValue::from_static("1"));
        *self.shared.headers.lock().unwrap() = numbers.map(field).collect();
        self
    }

    /// Makes `poll_ready` return `Pending` for the first `polls` calls.
    #[must_use]
    pub fn unready_for(self, polls: usize) -> Self {
        self.shared.unready_polls.store(polls, Ordering::SeqCst);
        self
    }

    /// Fails in `poll_ready`.
    #[must_use]
    pub fn failing_ready(self) -> Self {
        self.shared.ready_fails.store(true, Ordering::SeqCst);
        self
    }

    /// Fails in the future of `call`.
    #[must_use]
    pub fn failing(self) -> Self {
        self.shared.call_fails.store(true, Ordering::SeqCst);
        self
    }

    /// Takes requests and never answers them.
    #[must_use]
    pub fn never_answering(self) -> Self {
        self.shared.never_answers.store(true, Ordering::SeqCst);
        self
    }

    /// Returns the number of requests.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// Returns true if a clone was called without being ready.
    pub fn was_called_unready(&self) -> bool {
        self.shared.called_unready.load(Ordering::SeqCst)
    }

    /// Returns how many requests were dropped before their response.
    pub fn dropped_unanswered(&self) -> usize {
        self.shared.dropped_unanswered.load(Ordering::SeqCst)
    }

    /// Another handle on the same probe, to ask it afterwards.
    #[must_use]
    pub fn handle(&self) -> Self {
        self.clone()
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), ready: false }
    }
}

impl<B> Service<Request<B>> for Probe {
    type Response = Response<Script>;
    type Error = ProbeError;
    type Future = ProbeFuture<B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        if self.shared.ready_fails.load(Ordering::SeqCst) {
            return Poll::Ready(Err(ProbeError));
        }
        let unready = &self.shared.unready_polls;
        let waits =
            unready.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if waits.is_ok() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ProbeFuture<B> {
        if !std::mem::take(&mut self.ready) {
            self.shared.called_unready.store(true, Ordering::SeqCst);
        }
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        ProbeFuture { shared: Arc::clone(&self.shared), request: Some(request) }
    }
}

/// The future of [`Probe`]. It keeps the request until it answers.
#[derive(Debug)]
pub struct ProbeFuture<B> {
    shared: Arc<ProbeRecord>,
    request: Option<Request<B>>,
}

impl<B> Unpin for ProbeFuture<B> {}

impl<B> Future for ProbeFuture<B> {
    type Output = Result<Response<Script>, ProbeError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.shared.never_answers.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.request = None;
        Poll::Ready(if self.shared.call_fails.load(Ordering::SeqCst) {
            Err(ProbeError)
        } else {
            let mut response = Response::new(self.shared.answer.lock().unwrap().clone());
            *response.headers_mut() = self.shared.headers.lock().unwrap().clone();
            Ok(response)
        })
    }
}

impl<B> Drop for ProbeFuture<B> {
    fn drop(&mut self) {
        if self.request.is_some() {
            self.shared.dropped_unanswered.fetch_add(1, Ordering::SeqCst);
        }
    }
}
