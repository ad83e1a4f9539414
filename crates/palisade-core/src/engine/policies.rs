use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, request, response};

use super::{Entry, Refusal, RequestHead, Stage, answer, replace_head};
use crate::{ApiError, Body, hold::Watched, panics::reported, personal::Audience};

/// The policies of a layer, with what is known of them when the layer is built.
#[derive(Debug)]
pub(crate) struct Policies<P> {
    pub(crate) stage: P,
    /// How many header fields the policies may add to a response. 0 if no space is reserved.
    header_fields: usize,
    adds_trail: bool,
}

/// A map has room for this many header fields after its first insertion.
const FIRST_ROOM: usize = 6;

impl<P: Stage> Policies<P> {
    pub(crate) fn new(stage: P) -> Self {
        let description = stage.description();
        // One more for `Cache-Control` of a personal response.
        let header_fields = description.most_header_fields() + 1;
        let reserves = P::IS_CHAIN && header_fields > FIRST_ROOM;
        let header_fields = if reserves { header_fields } else { 0 };
        Self { stage, header_fields, adds_trail: description.has_trail() }
    }

    /// Decides about a request. A panic of a policy is a rejection with 500, which the outer policies finish.
    #[inline]
    pub(crate) fn enter(
        &self,
        request: &mut request::Parts,
        grants: &mut P::Grants,
    ) -> Entry<P::Wait> {
        // Unwind safe: the request is not used any more.
        let entered = catch_unwind(AssertUnwindSafe(|| {
            self.stage.enter(&mut RequestHead::new(request, self.adds_trail), grants)
        }));
        entered.unwrap_or_else(|panic| Entry::Refused(self.panicked(&*panic, request, grants)))
    }

    /// Continues after a decision that was awaited.
    pub(crate) fn resume(
        &self,
        wait: &mut P::Wait,
        cx: &mut Context<'_>,
        request: &mut request::Parts,
        grants: &mut P::Grants,
    ) -> Poll<Result<(), Refusal>> {
        let resumed = catch_unwind(AssertUnwindSafe(|| {
            self.stage.resume(wait, cx, &mut RequestHead::new(request, self.adds_trail), grants)
        }));
        resumed.unwrap_or_else(|panic| Poll::Ready(Err(self.panicked(&*panic, request, grants))))
    }

    #[cold]
    fn panicked(
        &self,
        panic: &(dyn Any + Send),
        request: &request::Parts,
        grants: &P::Grants,
    ) -> Refusal {
        answer(self.reported(panic, grants).into(), request)
    }

    #[cold]
    fn reported(&self, panic: &(dyn Any + Send), grants: &P::Grants) -> ApiError {
        reported(&self.stage.without_grant(grants).unwrap_or_default(), panic)
    }

    /// Finishes a response. Returns the body of an error that replaces the response.
    #[inline]
    pub(crate) fn leave(
        &self,
        grants: &mut P::Grants,
        response: &mut response::Parts,
    ) -> Option<Bytes> {
        let mut replaced = None;
        loop {
            // Unwind safe: the response is replaced.
            match catch_unwind(AssertUnwindSafe(|| self.stage.leave(grants, response))) {
                Ok(body) => return body.or(replaced),
                Err(panic) => {
                    let error = self.reported(&*panic, grants);
                    replaced = Some(replace_head(error, response));
                }
            }
        }
    }

    /// Finishes the refusal of a policy by the policies outside of it, which have allowed the request.
    #[cold]
    pub(crate) fn leave_refusal(&self, grants: &mut P::Grants, mut refusal: Refusal) -> Refusal {
        let (mut head, body) = std::mem::take(&mut *refusal).into_parts();
        let body = self.leave(grants, &mut head).unwrap_or(body);
        *refusal = Response::from_parts(head, body);
        refusal
    }

    /// Reports that the inner service failed. Its error is returned even if a policy panics.
    pub(crate) fn fail(&self, grants: &mut P::Grants) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.stage.fail(grants))) {
            self.reported(&*panic, grants);
        }
    }

    /// Finishes the response of the inner service.
    #[inline]
    pub(crate) fn finish<B>(
        &self,
        grants: &mut P::Grants,
        audience: Audience,
        mut head: response::Parts,
        body: Body<B>,
    ) -> Response<Body<B>> {
        if self.header_fields > 0 {
            // A map that would get too large stays unchanged.
            let _ = head.headers.try_reserve(self.header_fields);
        }
        audience.mark(&mut head);
        let replaced = self.leave(grants, &mut head);
        audience.keep_private(&mut head);
        let held =
            Watched::taken_from(&mut head.extensions).map(|held| held.for_response(&head.headers));
        let body = match replaced {
            None => body,
            Some(replaced) => Body::full(replaced),
        };
        Response::from_parts(head, body.watched(held))
    }
}

/// Returns the response of a refusal.
pub(crate) fn refused<B>(mut refusal: Response<Bytes>) -> Response<Body<B>> {
    let held = Watched::taken_from(refusal.extensions_mut())
        .map(|held| held.for_response(refusal.headers()));
    refusal.map(|bytes| Body::full(bytes).watched(held))
}
