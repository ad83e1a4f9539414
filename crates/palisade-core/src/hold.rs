use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, response};

use crate::grpc_web::WebTrailers;

/// Keeps `guard` until the end of the response: until its body has ended or failed, or the server has dropped it because the
/// client has disconnected.
///
/// A policy calls it in its [`finish`](crate::Policy::finish), for a slot or a count that lasts as long as the response. Before
/// that, the policy's grant is the guard, which is dropped with the request's future.
///
/// ```
/// use http::{request, response};
/// use palisade_core::{Decision, Policy, hold_until_end};
///
/// struct InFlight;
/// impl Drop for InFlight {
///     fn drop(&mut self) { println!("one less") }
/// }
///
/// struct Counted;
/// impl Policy for Counted {
///     type Grant = InFlight;
///     fn decide(&self, _: &request::Parts) -> Decision<InFlight> { Decision::grant(InFlight) }
///     fn finish(&self, in_flight: InFlight, response: &mut response::Parts) {
///         hold_until_end(response, in_flight);
///     }
/// }
/// ```
pub fn hold_until_end(response: &mut response::Parts, guard: impl Send + Sync + 'static) {
    watch_until_end(response, Guard(guard));
}

/// Notifies `watcher` of the frames and the end of the response's body. The body is neither buffered nor changed.
///
/// A policy calls it in its [`finish`](crate::Policy::finish), for data that is known only at the end: the number of bytes, the
/// trailers, and whether the client disconnected.
///
/// ```
/// use http::{request, response};
/// use palisade_core::{BodyEnd, Decision, Policy, WatchBody, watch_until_end};
///
/// struct Bytes(usize);
/// impl WatchBody for Bytes {
///     fn data(&mut self, bytes: usize) { self.0 += bytes }
///     fn end(self: Box<Self>, end: BodyEnd) { println!("{} bytes, {end:?}", self.0) }
/// }
///
/// struct Measured;
/// impl Policy for Measured {
///     type Grant = ();
///     fn decide(&self, _: &request::Parts) -> Decision<()> { Decision::grant(()) }
///     fn finish(&self, (): (), response: &mut response::Parts) { watch_until_end(response, Bytes(0)) }
/// }
/// ```
pub fn watch_until_end(response: &mut response::Parts, watcher: impl WatchBody) {
    let left = response.extensions.get_or_insert_default::<UntilEnd>();
    left.watchers().push(Box::new(watcher));
}

/// Sees a response's body go by; see [`watch_until_end`].
pub trait WatchBody: Send + Sync + 'static {
    /// Called for a frame with this many bytes.
    fn data(&mut self, bytes: usize) {
        let _ = bytes;
    }

    /// The trailers, also those of gRPC-web, which are the last frame of the body.
    fn trailers(&mut self, trailers: &HeaderMap) {
        let _ = trailers;
    }

    /// Called exactly once at the end of the body, as the last call.
    fn end(self: Box<Self>, end: BodyEnd) {
        let _ = end;
    }
}

/// The end of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEnd {
    /// All of it was taken.
    Complete,
    /// It failed.
    Failed,
    /// The server dropped it before its end, because the client disconnected or needs no body.
    Dropped,
    /// It panicked.
    Panicked,
}

struct Guard<T>(#[allow(dead_code, reason = "it is there to be dropped")] T);

impl<T: Send + Sync + 'static> WatchBody for Guard<T> {}

/// The watchers of a response, in its extensions from `finish` until the engine makes its body. Extensions can be
/// cloned; watchers cannot, and live where the body is.
#[derive(Clone, Default)]
pub(crate) struct UntilEnd(Arc<Mutex<Vec<Box<dyn WatchBody>>>>);

impl UntilEnd {
    fn watchers(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn WatchBody>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watchers of a body.
pub(crate) struct Watched {
    watchers: Vec<Box<dyn WatchBody>>,
    /// The parser of gRPC-web trailers.
    web: Option<WebTrailers>,
    /// The body has reported its end, after which servers do not poll it. Atomic, because `is_end_stream` has a shared
    /// reference.
    ended: AtomicBool,
    polling: bool,
}

impl Watched {
    /// Moves the watchers from the response's extensions to where they will see its body.
    #[inline]
    pub(crate) fn taken_from(extensions: &mut Extensions) -> Option<Self> {
        let left: UntilEnd = extensions.remove()?;
        // A copy of the extensions, somewhere, must not keep them.
        let watchers = std::mem::take(&mut *left.watchers());
        Some(Self { watchers, web: None, ended: AtomicBool::new(false), polling: false })
    }

    /// Sets the headers of the response whose body is watched.
    pub(crate) fn for_response(mut self, headers: &HeaderMap) -> Self {
        self.web = WebTrailers::from_headers(headers);
        self
    }

    /// The body is about to be polled, and if it panics it will not be back.
    pub(crate) fn before_poll(&mut self) {
        self.polling = true;
    }

    pub(crate) fn after_poll(&mut self) {
        self.polling = false;
    }

    pub(crate) fn data(&mut self, data: &Bytes) {
        for watcher in &mut self.watchers {
            watcher.data(data.len());
        }
        if let Some(trailers) = self.web.as_mut().and_then(|web| web.see(data)) {
            self.trailers(&trailers);
        }
    }

    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        for watcher in &mut self.watchers {
            watcher.trailers(trailers);
        }
    }

    /// Stores whether the body has reported its end.
    pub(crate) fn says_it_ended(&self, ended: bool) {
        if ended {
            self.ended.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn end(&mut self, end: BodyEnd) {
        for watcher in self.watchers.drain(..) {
            watcher.end(end);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let end = if self.polling {
            BodyEnd::Panicked
        } else if *self.ended.get_mut() {
            BodyEnd::Complete
        } else {
            BodyEnd::Dropped
        };
        self.end(end);
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.watchers.len()).finish()
    }
}

#[cfg(test)]
mod tests;
