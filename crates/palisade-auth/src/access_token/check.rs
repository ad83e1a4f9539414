use http::{HeaderName, HeaderValue, header, request, response};
use palisade_core::{ApiError, Personal};

use super::source::{FoundTokens, TokenSource, find};
use crate::{
    Attempt, CsrfCheck, Identity,
    challenge::Challenges,
    sender::{Scheme, SenderCheck},
};

/// Finds the token of a request, and checks everything about it but the token itself.
pub(crate) struct TokenCheck {
    pub(super) sources: Vec<TokenSource>,
    pub(super) csrf: CsrfCheck,
    pub(crate) sender: SenderCheck,
    pub(crate) challenges: Challenges,
}

impl TokenCheck {
    /// Verifies the token of a request with `verify`, and that this client may use it.
    pub(crate) fn authenticate<C: Send + Sync + 'static>(
        &self,
        request: &request::Parts,
        verify: impl Fn(&[u8]) -> Attempt<C>,
    ) -> Attempt<C> {
        let Self { sources, csrf, sender, challenges } = self;
        let confirm =
            |token, scheme| sender.confirm(verify(token), request, token, scheme, challenges);
        match (find(sources, request), sender.dpop_token(request)) {
            (FoundTokens::Nothing, Some(token)) => confirm(token, Scheme::Dpop),
            (_, Some(_)) | (FoundTokens::Several, None) => {
                Attempt::Now(Err(challenges.reject_two()))
            }
            (FoundTokens::Token(token), None) => confirm(token, Scheme::Bearer),
            (FoundTokens::CookieToken(token), None) => match csrf.check(request) {
                Ok(()) => confirm(token, Scheme::Bearer),
                Err(refused) => Attempt::Now(Err(refused)),
            },
            (FoundTokens::Nothing, None) => Attempt::Absent(sender.missing(challenges.missing())),
        }
    }

    /// Rejects the identity of a token that is bound to a client and came without a request.
    pub(crate) fn check_without_request<C>(&self, identity: &Identity<C>) -> Result<(), ApiError> {
        self.sender.check_without_request(identity, &self.challenges)
    }

    /// Returns the header fields that may contain a token.
    pub(crate) fn fields(&self) -> Vec<HeaderName> {
        self.sources.iter().filter_map(TokenSource::field).collect()
    }

    /// Removes tokens that a handler might repeat in its response.
    pub(crate) fn hide_credentials(&self, request: &mut request::Parts) {
        if self.is_in_query() {
            // `mark_response` replaces the default of an inner layer.
            Personal::enable(&mut request.extensions);
        }
        for source in &self.sources {
            source.hide_token(request);
        }
    }

    /// Returns true if tokens are accepted in the query.
    fn is_in_query(&self) -> bool {
        self.sources.iter().any(|source| source.field().is_none())
    }

    /// Adds a new DPoP nonce. If tokens are accepted in the query, forbids storing the response under a URI that may
    /// contain one (RFC 6750, section 2.3).
    pub(crate) fn mark_response(&self, response: &mut response::Parts) {
        self.sender.mark_response(response);
        if self.is_in_query() && !Personal::has_own_cache_control(response) {
            let no_store = HeaderValue::from_static("no-store");
            palisade_core::set_header(&mut response.headers, header::CACHE_CONTROL, no_store);
        }
    }
}
