use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Extensions, response};

/// Keeps `guard` until the response is over, and then drops it: when its body has ended or failed, or when the server
/// has dropped it because the client is gone.
///
/// A policy calls it in its [`finish`](crate::Policy::finish), for what lasts as long as the answer: a slot that the
/// request takes up, a count of what is in flight. Before that, the policy's grant is such a guard by itself: it is
/// dropped with the request's future.
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
    let held = response.extensions.get_or_insert_default::<UntilEnd>();
    held.guards().push(Box::new(guard));
}

/// The guards of a response, in its extensions from `finish` until the engine makes its body. Extensions can be cloned;
/// guards cannot, and live where the body is.
#[derive(Clone, Default)]
pub(crate) struct UntilEnd(Arc<Mutex<Vec<Box<dyn Any + Send + Sync>>>>);

impl UntilEnd {
    /// Moves the guards from the response's extensions to where they will be dropped with its body.
    #[inline]
    pub(crate) fn taken_from(extensions: &mut Extensions) -> Option<Self> {
        let left: Self = extensions.remove()?;
        // A copy of the extensions, somewhere, must not keep them.
        let guards = std::mem::take(&mut *left.guards());
        Some(Self(Arc::new(Mutex::new(guards))))
    }

    fn guards(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Any + Send + Sync>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UntilEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UntilEnd").field(&self.guards().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http::{Request, Response, request};
    use http_body_util::{BodyExt, Full};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{ApiError, Decision, Policy, PolicyLayer};

    #[derive(Clone, Default)]
    struct Slots(Arc<AtomicUsize>);

    struct Slot(Slots);

    impl Slots {
        fn taken(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Policy for Slots {
        type Grant = Slot;

        fn decide(&self, _: &request::Parts) -> Decision<Slot> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Decision::grant(Slot(self.clone()))
        }

        fn finish(&self, slot: Slot, response: &mut response::Parts) {
            hold_until_end(response, slot);
        }
    }

    struct RefusesAll;

    impl Policy for RefusesAll {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::refuse(ApiError::forbidden())
        }
    }

    async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::from("hello")))
    }

    #[tokio::test]
    async fn a_guard_lasts_until_the_body_has_ended() {
        let slots = Slots::default();
        let service = PolicyLayer::new(slots.clone()).layer(service_fn(hello));
        let mut response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(slots.taken(), 1);
        assert!(response.frame().await.unwrap().unwrap().is_data());
        assert_eq!(slots.taken(), 1);
        assert!(response.frame().await.is_none());
        assert_eq!(slots.taken(), 0, "the body has ended and is still there");
        drop(response);
    }

    #[tokio::test]
    async fn a_guard_is_dropped_with_a_body_that_nobody_reads() {
        let slots = Slots::default();
        let service = PolicyLayer::new(slots.clone()).layer(service_fn(hello));
        let response = service.oneshot(Request::new(())).await.unwrap();
        let kept = response.extensions().clone();
        drop(response);
        assert_eq!(slots.taken(), 0);
        drop(kept);
    }

    #[tokio::test]
    async fn a_guard_is_dropped_when_the_body_fails() {
        let slots = Slots::default();
        let service = PolicyLayer::new(slots.clone()).layer(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Failing))
        }));
        let mut response = service.oneshot(Request::new(())).await.unwrap();
        assert!(response.frame().await.unwrap().is_err());
        assert_eq!(slots.taken(), 0);
    }

    struct Failing;

    impl http_body::Body for Failing {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            Poll::Ready(Some(Err("the disk is gone")))
        }
    }

    #[tokio::test]
    async fn a_guard_of_an_outer_policy_lasts_as_long_as_the_refusal_of_an_inner_one() {
        let slots = Slots::default();
        let layer = PolicyLayer::new(slots.clone().then(RefusesAll));
        let response = layer.layer(service_fn(hello)).oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(slots.taken(), 1);
        drop(response);
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test]
    async fn each_guard_of_a_chain_is_held() {
        let (outer, inner) = (Slots::default(), Slots::default());
        let layer = PolicyLayer::new(outer.clone().then(inner.clone()));
        let response = layer.layer(service_fn(hello)).oneshot(Request::new(())).await.unwrap();
        assert_eq!((outer.taken(), inner.taken()), (1, 1));
        drop(response);
        assert_eq!((outer.taken(), inner.taken()), (0, 0));
    }
}
