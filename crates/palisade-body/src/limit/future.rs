use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use palisade_core::{
    AcceptsBody, AnsweredByPolicy, ApiError, Body, BytesBody, Gathered, HttpResponse,
};
use pin_project_lite::pin_project;

use super::{
    LimitedBody,
    counted::Counted,
    watched::{State as Seen, Watched},
};
use crate::{alarm::Alarm, break_off::Until, responder::Responder};

pin_project! {
    /// The future of [`BodyLimitService`](super::BodyLimitService).
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyLimitFuture<S, ReqB>
    where
        S: AcceptsBody<LimitedBody<ReqB>>,
    {
        #[pin]
        state: State<S, ReqB>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, ReqB>
    where
        S: AcceptsBody<LimitedBody<ReqB>>,
    {
        Refused { refusal: Option<Response<Bytes>> },
        Collecting { held: Option<Box<Collecting<S, ReqB>>> },
        Inner { #[pin] future: S::Future, watched: Option<Arc<Watched<ReqB>>> },
        Draining { held: Option<Box<Draining<Response<Body<S::ResponseBody>>, ReqB>>> },
    }
}

/// A response that waits for the unread rest of the body.
struct Draining<R, ReqB> {
    response: R,
    rest: Box<Counted<ReqB>>,
    watched: Arc<Watched<ReqB>>,
    alarm: Alarm,
}

/// A request that waits for its body, with the ready service that it will be given to.
struct Collecting<S, ReqB> {
    inner: S,
    head: request::Parts,
    body: Counted<ReqB>,
    responder: Responder,
    bytes: Gathered,
    trailers: Option<HeaderMap>,
}

impl<S, ReqB> BodyLimitFuture<S, ReqB>
where
    S: AcceptsBody<LimitedBody<ReqB>>,
{
    pub(super) fn refused(refusal: Response<Bytes>) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }

    #[inline]
    pub(super) fn inner(future: S::Future, watched: Option<Arc<Watched<ReqB>>>) -> Self {
        Self { state: State::Inner { future, watched } }
    }

    pub(super) fn collecting(
        inner: S,
        head: request::Parts,
        body: Counted<ReqB>,
        responder: Responder,
    ) -> Self {
        let bytes = Gathered::default();
        let held =
            Some(Box::new(Collecting { inner, head, body, responder, bytes, trailers: None }));
        Self { state: State::Collecting { held } }
    }
}

impl<S, ReqB> fmt::Debug for BodyLimitFuture<S, ReqB>
where
    S: AcceptsBody<LimitedBody<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyLimitFuture").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a BodyLimitFuture was polled after it had completed";

impl<S, ReqB> Future for BodyLimitFuture<S, ReqB>
where
    S: AcceptsBody<LimitedBody<ReqB>>,
    ReqB: BytesBody + Unpin,
{
    type Output = Result<Response<Body<S::ResponseBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Refused { refusal } => {
                    let refusal = refusal.take().expect(POLLED_AGAIN);
                    return Poll::Ready(Ok(refusal.map(Body::full)));
                }
                StateProj::Collecting { held } => {
                    ready!(held.as_deref_mut().expect(POLLED_AGAIN).poll(cx)).map_or_else(
                        |refusal| State::Refused { refusal: Some(refusal) },
                        |body| {
                            let Collecting { mut inner, head, .. } =
                                *held.take().expect(POLLED_AGAIN);
                            let request = Request::from_parts(head, body);
                            State::Inner { future: inner.call(request), watched: None }
                        },
                    )
                }
                StateProj::Inner { future, watched } => {
                    let outcome = ready!(future.poll(cx)).map(HttpResponse::into_response);
                    let Some(watched) = watched.take() else {
                        return Poll::Ready(outcome);
                    };
                    // Drops the handler's future and its part of the body, so that the unread rest is known.
                    this.state.set(State::Refused { refusal: None });
                    match watched.at_the_answer() {
                        Seen::Over => {
                            State::Refused { refusal: Some(too_large(&watched.responder)) }
                        }
                        Seen::Answered(fault_record) => {
                            let until = Until::BodyFault(fault_record);
                            return Poll::Ready(outcome.map(|response| {
                                if has_grpc_status(&response) {
                                    return response;
                                }
                                until.applied_to(response, &watched.responder)
                            }));
                        }
                        Seen::IsRead | Seen::Ended => return Poll::Ready(outcome),
                        Seen::Left(rest) => match watched.drain_within {
                            Some(time) if outcome.as_ref().is_ok_and(says_all_is_well) => {
                                let response = outcome?;
                                let alarm = Alarm::after(time);
                                let held = Draining { response, rest, watched, alarm };
                                State::Draining { held: Some(Box::new(held)) }
                            }
                            _ => return Poll::Ready(outcome),
                        },
                    }
                }
                StateProj::Draining { held } => {
                    match ready!(held.as_deref_mut().expect(POLLED_AGAIN).poll(cx)) {
                        Ok(()) => {
                            let Draining { response, .. } = *held.take().expect(POLLED_AGAIN);
                            return Poll::Ready(Ok(response));
                        }
                        Err(refusal) => State::Refused { refusal: Some(refusal) },
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, ReqB> Collecting<S, ReqB>
where
    ReqB: BytesBody + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<LimitedBody<ReqB>, Response<Bytes>>> {
        loop {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.bytes.push(data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(_)) if self.body.is_over() => {
                    return Poll::Ready(Err(too_large(&self.responder)));
                }
                Some(Err(error)) => {
                    let error = ApiError::bad_request()
                        .with_message("the request body could not be read")
                        .with_source(error);
                    return Poll::Ready(Err(self.responder.refuse_unread(error)));
                }
                None => {
                    let bytes = std::mem::take(&mut self.bytes).into_bytes();
                    return Poll::Ready(Ok(LimitedBody::whole(bytes, self.trailers.take())));
                }
            }
        }
    }
}

impl<R, ReqB> Draining<R, ReqB>
where
    ReqB: BytesBody + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Response<Bytes>>> {
        let responder = &self.watched.responder;
        loop {
            return Poll::Ready(match self.rest.poll_frame(cx) {
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(_))) if self.rest.is_over() => Err(too_large(responder)),
                // It broke off, and the client with it; or it has come to its end.
                Poll::Ready(_) => Ok(()),
                Poll::Pending => {
                    ready!(self.alarm.poll(cx));
                    Err(responder.refuse_unread(ApiError::request_timeout()))
                }
            });
        }
    }
}

fn too_large(responder: &Responder) -> Response<Bytes> {
    responder.refuse_unread(ApiError::payload_too_large())
}

/// Returns true for responses that have to wait for the rest of the body. Rejections and upgrades do not.
fn says_all_is_well<B>(response: &Response<B>) -> bool {
    let status = response.status();
    (status.is_success() || status.is_redirection())
        && response.extensions().get::<AnsweredByPolicy>().is_none()
}

/// Returns true if the gRPC call has already ended, so that further bytes do not matter.
fn has_grpc_status<B>(response: &Response<B>) -> bool {
    response.headers().contains_key("grpc-status")
}
