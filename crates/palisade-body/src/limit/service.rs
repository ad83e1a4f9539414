use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use palisade_core::{
    AcceptsBody, ApiError, Body, BytesBody, DiscardOnDrop, Trail, discard_unread, is_grpc,
    is_grpc_web,
};
use tower_service::Service;

use super::{
    BodyLimitFuture, LimitedBody, NAME,
    count::Count,
    counted::{Adjustable, Counted, Limit, SpecialLimit},
    rules::{Mode, Rules},
    watched::Watched,
};
use crate::{grpc, responder::Responder};

/// A service whose requests have limited bodies. Made by [`BodyLimit`](super::BodyLimit).
#[derive(Clone, Debug)]
pub struct BodyLimitService<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> BodyLimitService<S> {
    pub(super) fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S, ReqB> Service<Request<ReqB>> for BodyLimitService<S>
where
    S: AcceptsBody<LimitedBody<ReqB>> + Clone,
    ReqB: BytesBody + Unpin + 'static,
{
    type Response = Response<Body<S::ResponseBody>>;
    type Error = S::Error;
    type Future = BodyLimitFuture<S, ReqB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let limit = self.rules.limit_for(request.headers());
        // The innermost limit applies: one further out that can be moved makes room, or closes in.
        if let Some(outer) = request.extensions().get::<Adjustable>() {
            outer.set(limit);
        }
        let each_message =
            self.rules.each_message.then(|| count_messages(request.headers())).flatten();
        let by_message = each_message.is_some();
        let hint = request.body().size_hint();
        let declared = match declared_length(request.headers()) {
            // The length of a stream of messages does not limit a single message.
            _ if by_message => 0,
            Ok(declared) => declared.unwrap_or(0).max(hint.lower()),
            Err(malformed) => return refused(request, malformed),
        };
        let collects = self.rules.mode == Mode::Buffered && !by_message;
        // Inner limits cannot override a limit that reads the body before they are called.
        let overridable = self.rules.overridable && !collects;
        if declared > limit && !overridable {
            return refused(request, ApiError::payload_too_large());
        }
        // Most requests have no body, and nothing to count.
        if !overridable && request.body().is_end_stream() {
            let request = request.map(|_| LimitedBody::whole(Bytes::new(), None));
            return BodyLimitFuture::inner(self.inner.call(request), None);
        }
        let trail = Trail::from_extensions(request.extensions()).cloned();
        // A server keeps a body to the length that it declares, so only an unknown length has to be watched.
        if !by_message && hint.upper().is_some_and(|most| most <= limit) {
            let request = DiscardOnDrop::map_request(request, |body| {
                LimitedBody::declared(Counted::new(body, limit, trail, None))
            });
            return BodyLimitFuture::inner(self.inner.call(request), None);
        }
        if collects {
            let responder = Responder::for_request(&request, NAME);
            let (head, body) = request.into_parts();
            let body = DiscardOnDrop::new(&head, body);
            let counted = Counted::new(body, limit, trail, None);
            // The service that was polled ready is the one that must be called.
            let fresh = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, fresh);
            return BodyLimitFuture::collecting(inner, head, counted, responder);
        }
        let movable = if overridable {
            // Defaults one inside another move together.
            let extensions = request.extensions_mut();
            let adjustable = extensions.get_or_insert_with(|| Adjustable::new(limit));
            Limit::Default(adjustable.clone())
        } else {
            Limit::Fixed(limit)
        };
        let special = (overridable || by_message).then(|| {
            let count = each_message.unwrap_or_else(Count::whole);
            Box::new(SpecialLimit { limit: movable.clone(), declared, count })
        });
        let drain_within = self.rules.drain_within.filter(|_| !by_message);
        let responder = Responder::for_request(&request, NAME);
        let watched = Watched::new(movable, declared, responder, drain_within);
        let request = DiscardOnDrop::map_request(request, |body| {
            let counted = Counted::new(body, limit, trail, special);
            LimitedBody::watched(counted, &watched)
        });
        BodyLimitFuture::inner(self.inner.call(request), Some(watched))
    }
}

#[cold]
fn refused<S, ReqB>(request: Request<ReqB>, error: ApiError) -> BodyLimitFuture<S, ReqB>
where
    S: AcceptsBody<LimitedBody<ReqB>>,
    ReqB: 'static,
{
    let refusal = Responder::for_request(&request, NAME).refuse_unread(error);
    let (head, body) = request.into_parts();
    discard_unread(&head, body);
    BodyLimitFuture::refused(refusal)
}

/// Returns how the messages of a gRPC or gRPC-web request are counted.
fn count_messages(headers: &HeaderMap) -> Option<Count> {
    if grpc::is_web_text(headers) {
        Some(Count::each_text_message())
    } else if is_grpc(headers) || is_grpc_web(headers) {
        Some(Count::each_message())
    } else {
        None
    }
}

/// Returns the declared length, unless `Transfer-Encoding` overrides it (RFC 9112, section 6.3).
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let values = headers.get_all(header::CONTENT_LENGTH);
    // Most requests declare none: one look-up instead of two.
    let mut iter = values.iter();
    let Some(first) = iter.next() else { return Ok(None) };
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(None);
    }
    // The others declare one number.
    if iter.next().is_none()
        && let Some(declared) = number(first.as_bytes())
    {
        return Ok(Some(declared));
    }
    let mut declared = None;
    for value in values {
        // The same number several times is that number.
        for one in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let one = number(one).ok_or_else(malformed)?;
            if declared.is_some_and(|other| other != one) {
                return Err(malformed());
            }
            declared = Some(one);
        }
    }
    Ok(declared)
}

/// Returns the number that these digits write. More than 64 bits is more than any limit.
fn number(digits: &[u8]) -> Option<u64> {
    let with_digit = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, with_digit) }
}

#[cold]
fn malformed() -> ApiError {
    ApiError::bad_request().with_message("the declared length of the body is malformed")
}
