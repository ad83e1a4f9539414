use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, request, response};

use super::{Entry, Refusal, RequestHead, Stage};
use crate::{Body, hold::Watched, personal::Audience};

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

    /// Decides about a request.
    #[inline]
    pub(crate) fn enter(
        &self,
        request: &mut request::Parts,
        grants: &mut P::Grants,
    ) -> Entry<P::Wait> {
        self.stage.enter(&mut RequestHead::new(request, self.adds_trail), grants)
    }

    /// Continues after a decision that was awaited.
    pub(crate) fn resume(
        &self,
        wait: &mut P::Wait,
        cx: &mut Context<'_>,
        request: &mut request::Parts,
        grants: &mut P::Grants,
    ) -> Poll<Result<(), Refusal>> {
        self.stage.resume(wait, cx, &mut RequestHead::new(request, self.adds_trail), grants)
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
        let replaced = self.stage.leave(grants, &mut head);
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
