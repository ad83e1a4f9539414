//! A request to the service whose response may be stored.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request, response};
use http_body::Body as HttpBody;
use palisade_core::{AcceptsBody, Body, BoxError, HttpResponse, Personal};

use super::{
    answer::Answer,
    body::{ResponseBody, collected, copied},
    draft::{Completed, Draft},
    settings::Settings,
};
use crate::{
    Validators,
    entry::{Key, Stored},
    rules::{Asked, CacheStatus, Directives, NotStored, Signals, Times, freshen, make_conditional},
    store::{Flight, Insertion, Landing, Mark},
};

/// What a cache requires of the service inside it. Rust has no aliases of bounds, so the implementation below repeats them.
pub(super) trait Inner<B>:
    AcceptsBody<
        Body<B>,
        Response: Send,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        Error: Send,
        Future: Send,
    > + Send
    + 'static
{
}

impl<S, B> Inner<B> for S where
    S: AcceptsBody<
            Body<B>,
            Response: Send,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
            Error: Send,
            Future: Send,
        > + Send
        + 'static
{
}

pub(super) struct Fetch {
    settings: Arc<Settings>,
    key: Key,
    asked: Asked,
    /// What is stored already, and may be confirmed by the service.
    stale: Option<Arc<Stored>>,
    flight: Option<Flight>,
    mark: Mark,
}

pub(super) enum Fetched<B> {
    /// The service's response, as it is.
    Answer(Answer<B>),
    /// The service's response, whole, and what a client's conditions are compared with.
    Whole(response::Parts, Bytes),
    /// The stored response, which the service confirmed with this 304.
    Confirmed(Arc<Stored>, response::Parts),
    /// The stored response, because the service failed.
    StaleOnError(Arc<Stored>),
}

impl Fetch {
    pub(super) async fn new(
        settings: &Arc<Settings>,
        key: Key,
        head: &request::Parts,
        stale: Option<Arc<Stored>>,
        flight: Option<(Flight, Mark)>,
    ) -> Self {
        let asked = Asked {
            headers: head.headers.clone(),
            scoped: key.scope.is_some(),
            signals: Signals::of_request(&head.extensions),
        };
        let (flight, mark) = match flight {
            Some((flight, mark)) => (Some(flight), mark),
            None => (None, settings.store.mark(&key).await),
        };
        Self { settings: Arc::clone(settings), key, asked, stale, flight, mark }
    }

    pub(super) async fn run<S, B>(
        mut self,
        inner: &mut S,
        mut head: request::Parts,
        body: Body<B>,
    ) -> Result<Fetched<S::ResponseBody>, S::Error>
    where
        S: Inner<B>,
        B: HttpBody<Data = Bytes>,
    {
        Personal::enable(&mut head.extensions);
        let stale = self.stale.take();
        let is_conditional =
            stale.as_ref().is_some_and(|stale| make_conditional(&mut head.headers, &stale.headers));
        let request = self.settings.clock.unix_coarse();
        let outcome = inner.call(Request::from_parts(head, body)).await;
        let times = Times { request, response: self.settings.clock.unix_coarse() };
        let on_error = stale.as_ref().filter(|stale| self.settings.may_serve_on_error(stale));
        let response = match outcome {
            Ok(response) => response.into_response(),
            Err(error) => {
                self.land(Landing::Failed);
                return match on_error {
                    Some(stale) => Ok(Fetched::StaleOnError(Arc::clone(stale))),
                    None => Err(error),
                };
            }
        };
        if let (true, Some(stale)) = (response.status().is_server_error(), on_error) {
            self.land(Landing::Failed);
            return Ok(Fetched::StaleOnError(Arc::clone(stale)));
        }
        if let (true, StatusCode::NOT_MODIFIED, Some(stale)) =
            (is_conditional, response.status(), &stale)
        {
            let (head, _) = response.into_parts();
            let validated = self.validated(stale, &head, times).await;
            return Ok(Fetched::Confirmed(validated, head));
        }
        Ok(self.received(response, stale.is_some(), times).await)
    }

    /// The service confirmed the stored response: its header fields are updated (RFC 9111, section 4.3.4).
    async fn validated(
        mut self,
        stale: &Arc<Stored>,
        confirmation: &response::Parts,
        times: Times,
    ) -> Arc<Stored> {
        let directives = Directives::of_headers(&confirmation.headers);
        let kept = &self.settings.rules.kept_fields;
        let mut headers = stale.headers.clone();
        headers.remove(crate::rules::CACHE_STATUS);
        if !freshen(&mut headers, &confirmation.headers, &directives, kept) {
            self.land(Landing::NotStored);
            return Arc::clone(stale);
        }
        if !confirmation.headers.contains_key(header::DATE) {
            // A date of the first response would make the confirmed one as old as that.
            headers.remove(header::DATE);
        }
        let mut head = confirmation.clone();
        (head.status, head.headers) = (stale.status, headers);
        let draft =
            Draft::new(&self.settings, &self.key, self.mark.clone(), &self.asked, &head, times);
        let Ok(draft) = draft else {
            self.forget().await;
            return Arc::clone(stale);
        };
        let completed = draft.tagged_as(stale).complete(stale.body.clone()).await;
        let validated = completed.as_ref().map_or(stale, |completed| &completed.stored).clone();
        self.settle(completed);
        validated
    }

    /// The service has another response.
    async fn received<B: ResponseBody>(
        mut self,
        response: Response<Body<B>>,
        is_renewal: bool,
        times: Times,
    ) -> Fetched<B> {
        let (mut head, body) = response.into_parts();
        if let Some(version) = head.extensions.remove::<Validators>() {
            version.write(&mut head.headers);
        }
        let settings = Arc::clone(&self.settings);
        let draft = Draft::new(&settings, &self.key, self.mark.clone(), &self.asked, &head, times);
        let draft = match draft {
            Ok(draft) if settings.dates_responses && head.status.is_success() => {
                let version = Validators::last_modified(times.response);
                version.write(&mut head.headers);
                draft.with_version(&version)
            }
            Ok(draft) => draft,
            Err(reason) => {
                // What was stored is no longer what the service has for everyone.
                if is_renewal && !head.status.is_server_error() {
                    self.forget().await;
                }
                return self.pass(head, body, CacheStatus::NotStored(reason));
            }
        };
        let most = settings.most_body_bytes;
        let length = body.size_hint().exact();
        if length.is_some_and(|length| length > most) || is_endless(&head.headers) {
            return self.pass(head, body, CacheStatus::NotStored(NotStored::TooLong));
        }
        if length.is_none() && !body.is_end_stream() {
            // It may go on for as long as the client reads, so other requests do not wait for it.
            self.land(Landing::NotStored);
            return answer(&settings, head, copied(body, draft, most), CacheStatus::Streamed);
        }
        let body = match collected(body, most).await {
            Ok(bytes) => bytes,
            Err(interrupted) => {
                self.land(Landing::NotStored);
                let status = CacheStatus::NotStored(NotStored::Incomplete);
                return answer(&settings, head, interrupted, status);
            }
        };
        let completed = draft.complete(body.clone()).await;
        let status = match completed.as_ref().map(|completed| completed.insertion) {
            Some(Insertion::Stored) if is_renewal => CacheStatus::Renewed,
            Some(Insertion::Stored) => CacheStatus::Stored,
            Some(_) => CacheStatus::NotStored(NotStored::ByStore),
            None => CacheStatus::NotStored(NotStored::Incomplete),
        };
        self.settle(completed);
        if settings.shows_status {
            status.append(&mut head.headers);
        }
        Fetched::Whole(head, body)
    }

    /// Gives the response to those that wait, unless a purge concerns it: they may have come after the purge.
    fn settle(&mut self, completed: Option<Completed>) {
        self.land(match completed {
            Some(Completed { insertion: Insertion::Refused, .. }) | None => Landing::NotStored,
            Some(Completed { stored, .. }) => Landing::Shared(stored),
        });
    }

    /// Removes what is stored for the key.
    async fn forget(&self) {
        if let Err(error) = self.settings.store.remove(&self.key).await {
            tracing::error!(
                target: "palisade::cache",
                error = %error,
                path = self.key.path(),
                "a response that is no longer shared could not be removed from the store"
            );
        }
    }

    /// Passes a response that is not stored, and lets those that wait go to the service.
    fn pass<B>(&mut self, head: response::Parts, body: Body<B>, status: CacheStatus) -> Fetched<B> {
        self.settings.set_unshared(&self.key);
        self.land(Landing::NotStored);
        answer(&self.settings, head, body, status)
    }

    fn land(&mut self, landing: Landing) {
        if let Some(flight) = self.flight.take() {
            flight.land(landing);
        }
    }
}

/// A stream of events has no end that is worth waiting for.
fn is_endless(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"text/event-stream"))
}

fn answer<B>(
    settings: &Settings,
    mut head: response::Parts,
    body: Body<B>,
    status: CacheStatus,
) -> Fetched<B> {
    if settings.shows_status {
        status.append(&mut head.headers);
    }
    Fetched::Answer(Response::from_parts(head, body))
}
