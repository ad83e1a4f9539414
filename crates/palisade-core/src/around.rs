use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{BodyEnd, BoxError, hold::Watched};

/// What a body returns when it is polled.
#[doc(hidden)]
pub type PolledFrame = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// Ends a response's body before its end: for limits that are exceeded after the head was sent.
#[doc(hidden)]
pub trait EndEarly: fmt::Debug + Send + Sync + 'static {
    /// Returns the last frame of the body, or the error that it breaks off with, if it must end. Called after each poll of the
    /// body, because that poll may be the reason.
    fn last_frame(
        &mut self,
        polled: &PolledFrame,
        cx: &mut Context<'_>,
    ) -> Option<Result<Frame<Bytes>, BoxError>>;

    /// Returns true if the next poll ends the body, although the body may report that it has ended.
    fn is_due(&self) -> bool;

    /// Returns true if the last frame may contain bytes that the size of the body does not count.
    fn may_add_frame(&self) -> bool;
}

/// What the layers of a stack have put around one body, from the outside in.
#[derive(Debug)]
pub(crate) struct Around {
    inside: Option<Box<Self>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Watched(Watched),
    EndEarly { end: Box<dyn EndEarly>, has_ended: bool },
}

impl Around {
    pub(crate) fn watched(watched: Watched, inside: Option<Box<Self>>) -> Box<Self> {
        Box::new(Self { inside, kind: Kind::Watched(watched) })
    }

    pub(crate) fn end_early(end: Box<dyn EndEarly>, inside: Option<Box<Self>>) -> Box<Self> {
        Box::new(Self { inside, kind: Kind::EndEarly { end, has_ended: false } })
    }

    /// Polls `inner`, which is inside of all that is around it.
    pub(crate) fn poll<B: Inner>(
        around: &mut Option<Box<Self>>,
        inner: &mut B,
        cx: &mut Context<'_>,
    ) -> PolledFrame {
        let Some(this) = around.as_deref_mut() else { return inner.poll_inner(cx) };
        match &mut this.kind {
            Kind::Watched(watched) => {
                watched.before_poll();
                let polled = Self::poll(&mut this.inside, inner, cx);
                watched.after_poll();
                // A server may keep a body that has ended for a while: what is held until then is dropped now.
                match &polled {
                    Poll::Pending => {}
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Some(data) = frame.data_ref() {
                            watched.data(data);
                        } else if let Some(trailers) = frame.trailers_ref() {
                            watched.trailers(trailers);
                        }
                        let inside = this.inside.as_deref();
                        watched.says_it_ended(Self::is_end_stream(inside, inner.size()));
                    }
                    Poll::Ready(None) => {
                        watched.end(BodyEnd::Complete);
                        *around = this.inside.take();
                    }
                    Poll::Ready(Some(Err(_))) => {
                        watched.end(BodyEnd::Failed);
                        *around = this.inside.take();
                    }
                }
                polled
            }
            Kind::EndEarly { has_ended: true, .. } => Poll::Ready(None),
            Kind::EndEarly { end, has_ended } => {
                let polled = Self::poll(&mut this.inside, inner, cx);
                match end.last_frame(&polled, cx) {
                    None => polled,
                    Some(last) => {
                        *has_ended = true;
                        Poll::Ready(Some(last))
                    }
                }
            }
        }
    }

    pub(crate) fn is_end_stream<B: Size>(around: Option<&Self>, inner: &B) -> bool {
        let Some(this) = around else { return inner.is_end_stream() };
        let inside = || Self::is_end_stream(this.inside.as_deref(), inner);
        match &this.kind {
            Kind::Watched(watched) => {
                let ended = inside();
                watched.says_it_ended(ended);
                ended
            }
            Kind::EndEarly { end, has_ended } => *has_ended || !end.is_due() && inside(),
        }
    }

    pub(crate) fn size_hint<B: Size>(around: Option<&Self>, inner: &B) -> SizeHint {
        let Some(this) = around else { return inner.size_hint() };
        match &this.kind {
            // A server would declare an exact length, and the last frame would not fit it.
            Kind::EndEarly { end, .. } if end.may_add_frame() => SizeHint::default(),
            _ => Self::size_hint(this.inside.as_deref(), inner),
        }
    }
}

/// The body inside of all that is around it.
pub(crate) trait Inner {
    type Size: Size;

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> PolledFrame;

    fn size(&self) -> &Self::Size;
}

/// What a body reports about its length.
pub(crate) trait Size {
    fn is_end_stream(&self) -> bool;

    fn size_hint(&self) -> SizeHint;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response, request, response};
    use http_body_util::BodyExt;
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::{
        Body, Decision, Policy, PolicyLayer, WatchBody,
        shared_body::ShareBody,
        testing::{Script, Step},
        watch_until_end,
    };

    #[derive(Clone, Default)]
    struct Diary(Arc<Mutex<Vec<String>>>);

    /// Writes to the diary under a name.
    #[derive(Clone)]
    struct Writes(&'static str, Diary);

    impl WatchBody for Writes {
        fn data(&mut self, bytes: usize) {
            self.1.0.lock().unwrap().push(format!("{}: {bytes}", self.0));
        }

        fn end(self: Box<Self>, end: BodyEnd) {
            self.1.0.lock().unwrap().push(format!("{}: {end:?}", self.0));
        }
    }

    impl Policy for Writes {
        type Grant = ();

        fn decide(&self, _: &request::Parts) -> Decision<()> {
            Decision::grant(())
        }

        fn finish(&self, (): (), response: &mut response::Parts) {
            watch_until_end(response, self.clone());
        }
    }

    /// Ends a body after this many frames.
    #[derive(Debug)]
    struct After(usize);

    impl EndEarly for After {
        fn last_frame(
            &mut self,
            _: &PolledFrame,
            _: &mut Context<'_>,
        ) -> Option<Result<Frame<Bytes>, BoxError>> {
            self.0 = self.0.checked_sub(1)?;
            (self.0 == 0).then(|| Err("enough".into()))
        }

        fn is_due(&self) -> bool {
            self.0 == 1
        }

        fn may_add_frame(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn each_watcher_observes_the_body_at_its_own_layer() {
        let diary = Diary::default();
        let inside = PolicyLayer::new(Writes("inside", diary.clone()));
        let service = inside.layer(service_fn(async |_: Request<()>| {
            let body =
                Script::from_steps([Step::Data("hello"), Step::Data("you"), Step::Data("two")]);
            Ok::<_, std::convert::Infallible>(Response::new(body))
        }));
        let middle =
            service.map_response(|response| response.map(|body| body.ending_early(After(2))));
        let outside = ShareBody(PolicyLayer::new(Writes("outside", diary.clone())));
        let response: Response<Body<Script>> =
            outside.layer(middle).oneshot(Request::new(())).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), None);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert!(!http_body::Body::is_end_stream(&body), "the last frame is due");
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "enough");
        assert!(http_body::Body::is_end_stream(&body));
        assert!(body.frame().await.is_none());
        drop(body);
        let seen = ["inside: 5", "outside: 5", "inside: 3", "outside: Failed", "inside: Dropped"];
        assert_eq!(*diary.0.lock().unwrap(), seen);
    }
}
