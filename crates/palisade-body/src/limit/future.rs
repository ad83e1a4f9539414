use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, request};
use palisade_core::{AnsweredByPolicy, ApiError, Body, BoxError, Trail};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{LimitedBody, body::Watched};
use crate::{
    AnswerBody,
    alarm::Alarm,
    verdict::{Ruling, refuse},
};

pin_project! {
    /// The future of [`BodyLimitService`](super::BodyLimitService).
    #[must_use = "futures do nothing unless polled"]
    pub struct BodyLimitFuture<S, ReqB>
    where
        S: Service<Request<LimitedBody<ReqB>>>,
    {
        #[pin]
        state: State<S, ReqB>,
    }
}

/// The body that is watched, and how long what the handler leaves of it may take.
type Watch<ReqB> = (Arc<Watched<ReqB>>, Option<Duration>);

pin_project! {
    #[project = StateProj]
    enum State<S, ReqB>
    where
        S: Service<Request<LimitedBody<ReqB>>>,
    {
        Refused { refusal: Option<Response<Bytes>> },
        Collecting { held: Option<Box<Collecting<S, ReqB>>> },
        Inner { #[pin] future: S::Future, watch: Option<Watch<ReqB>> },
        // The handler has answered and what it has not read is still to come.
        Draining { response: Option<S::Response>, watched: Arc<Watched<ReqB>>, alarm: Alarm },
    }
}

/// A request that waits for its body, with the ready service that it will be given to.
struct Collecting<S, ReqB> {
    inner: S,
    head: request::Parts,
    watched: Arc<Watched<ReqB>>,
    bytes: Gathered,
    trailers: Option<HeaderMap>,
}

/// Bytes as they came, if they came in one piece. Small pieces are copied: each may keep a whole read buffer alive.
#[derive(Default)]
enum Gathered {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn push(&mut self, data: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(data),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(2 * (first.len() + data.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                Self::Many(all)
            }
            Self::Many(mut all) => {
                all.extend_from_slice(&data);
                Self::Many(all)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(all) => all.freeze(),
        }
    }
}

impl<S, ReqB> BodyLimitFuture<S, ReqB>
where
    S: Service<Request<LimitedBody<ReqB>>>,
{
    pub(super) fn refused(refusal: Response<Bytes>) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }

    pub(super) fn inner(future: S::Future, watch: Option<Watch<ReqB>>) -> Self {
        Self { state: State::Inner { future, watch } }
    }

    pub(super) fn collecting(inner: S, head: request::Parts, watched: Arc<Watched<ReqB>>) -> Self {
        let bytes = Gathered::default();
        let held = Some(Box::new(Collecting { inner, head, watched, bytes, trailers: None }));
        Self { state: State::Collecting { held } }
    }
}

impl<S, ReqB> fmt::Debug for BodyLimitFuture<S, ReqB>
where
    S: Service<Request<LimitedBody<ReqB>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyLimitFuture").finish_non_exhaustive()
    }
}

const POLLED_AGAIN: &str = "a BodyLimitFuture was polled after it had completed";

impl<S, ReqB, ResB> Future for BodyLimitFuture<S, ReqB>
where
    S: Service<Request<LimitedBody<ReqB>>, Response = Response<ResB>>,
    ReqB: http_body::Body<Data = Bytes>,
    ReqB::Error: Into<BoxError>,
{
    type Output = Result<Response<Body<AnswerBody<ResB>>>, S::Error>;

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
                            let held = *held.take().expect(POLLED_AGAIN);
                            let Collecting { mut inner, head, .. } = held;
                            let body = body.seen_by(Trail::of(&head.extensions));
                            let request = Request::from_parts(head, body);
                            State::Inner { future: inner.call(request), watch: None }
                        },
                    )
                }
                StateProj::Inner { future, watch } => {
                    let outcome = ready!(future.poll(cx));
                    let Some((watched, drain_within)) = watch.take() else {
                        return Poll::Ready(outcome.map(|response| unwatched(response)));
                    };
                    // Dropped here, with what it holds of the body: only then is it known what nobody will read.
                    this.state.set(State::Refused { refusal: None });
                    watched.judge_declared();
                    if watched.verdict.ruling().is_some() {
                        State::Refused { refusal: Some(too_large(&watched)) }
                    } else {
                        let response = outcome?;
                        match drain_within {
                            Some(time)
                                if says_all_is_well(&response) && watched.is_left_unread() =>
                            {
                                State::Draining {
                                    response: Some(response),
                                    watched,
                                    alarm: Alarm::after(time),
                                }
                            }
                            _ => return Poll::Ready(Ok(answered(response, &watched))),
                        }
                    }
                }
                StateProj::Draining { response, watched, alarm } => {
                    match watched.poll_frame(cx) {
                        Poll::Ready(Some(Ok(_))) => continue,
                        Poll::Pending => {
                            ready!(alarm.poll(cx));
                            let error = ApiError::request_timeout();
                            let refusal = refuse(&watched.context, watched.version, error);
                            State::Refused { refusal: Some(refusal) }
                        }
                        Poll::Ready(Some(Err(_))) if watched.verdict.ruling().is_some() => {
                            State::Refused { refusal: Some(too_large(watched)) }
                        }
                        // It broke off, and the client with it; or it has come to its end.
                        Poll::Ready(_) => {
                            let response = response.take().expect(POLLED_AGAIN);
                            return Poll::Ready(Ok(unwatched(response)));
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, ReqB> Collecting<S, ReqB>
where
    ReqB: http_body::Body<Data = Bytes>,
    ReqB::Error: Into<BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<LimitedBody<ReqB>, Response<Bytes>>> {
        loop {
            match ready!(self.watched.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.bytes.push(data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(_)) if self.watched.verdict.ruling().is_some() => {
                    return Poll::Ready(Err(too_large(&self.watched)));
                }
                Some(Err(error)) => {
                    let error = ApiError::bad_request()
                        .with_message("the request body could not be read")
                        .with_source(error);
                    let Watched { context, version, .. } = &*self.watched;
                    return Poll::Ready(Err(refuse(context, *version, error)));
                }
                None => {
                    let bytes = std::mem::take(&mut self.bytes).into_bytes();
                    return Poll::Ready(Ok(LimitedBody::whole(bytes, self.trailers.take())));
                }
            }
        }
    }
}

fn too_large<B>(watched: &Watched<B>) -> Response<Bytes> {
    let error = watched.verdict.ruling().map_or_else(ApiError::payload_too_large, Ruling::error);
    refuse(&watched.context, watched.version, error)
}

/// Such an answer has to wait for the rest of the body. A refusal does not, whoever makes it, and neither does a
/// connection that becomes another protocol's.
fn says_all_is_well<B>(response: &Response<B>) -> bool {
    let status = response.status();
    (status.is_success() || status.is_redirection())
        && response.extensions().get::<AnsweredByPolicy>().is_none()
}

fn unwatched<B>(response: Response<B>) -> Response<Body<AnswerBody<B>>> {
    response.map(|body| Body::new(AnswerBody::new(body)))
}

fn answered<B, ReqB>(
    response: Response<B>,
    watched: &Watched<ReqB>,
) -> Response<Body<AnswerBody<B>>> {
    response.map(|body| Body::new(AnswerBody::watching(body, &watched.verdict)))
}
