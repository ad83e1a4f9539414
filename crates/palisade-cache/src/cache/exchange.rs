//! A request that cannot be answered at once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header, request};
use http_body::Body as HttpBody;
use palisade_core::{AcceptsBody, ApiError, Body, BoxError, ErrorContext, HttpResponse};
use tokio::runtime::Handle;

use super::{
    NOT_CACHED,
    answer::{Answer, Client, from_service, from_stored, from_whole, with_fields_of},
    fetch::{Fetch, Fetched},
    settings::{Access, Found, Settings},
};
use crate::{
    entry::{Key, KeyRef, Stored},
    rules::{CHANGED, CacheStatus, Directives, invalidates, make_conditional, same_origin_target},
    store::{Joined, Landing, landed},
};

/// What a cache requires of the service inside it.
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

/// A request waits for the flights of others this often, one for each value of the fields in `Vary`; then it goes itself.
const MOST_WAITS: usize = 16;

/// Answers a request from the store or from the service. `inner` is ready.
pub(super) async fn exchange<S, B>(
    settings: Arc<Settings>,
    mut inner: S,
    head: request::Parts,
    body: B,
) -> Result<Answer<S::ResponseBody>, S::Error>
where
    S: Inner<B>,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    let scope = match settings.access(&head, !body.is_end_stream()) {
        Access::Lookup(scope) => scope,
        Access::Bypass => return pass(&settings, inner, head, body, CacheStatus::Bypass).await,
        Access::Method => return change(&settings, inner, head, body).await,
    };
    let Some(key) = KeyRef::of_request(&head, scope).map(KeyRef::to_key) else {
        return pass(&settings, inner, head, body, CacheStatus::Bypass).await;
    };
    let client = Client::of_request(&head);
    let directives = settings.client_directives(&head.headers);
    let (mut status, mut stale, mut flight) = (CacheStatus::Hit, None, None);
    for _ in 0..MOST_WAITS {
        match settings.find(&key, &head.headers, &directives).await {
            Found::Fresh(stored) => return Ok(from_stored(&settings, &stored, &client, status)),
            Found::Renewable(stored) => {
                let answer = from_stored(&settings, &stored, &client, CacheStatus::StaleHit);
                renew(&settings, inner, head, key, stored);
                return Ok(answer);
            }
            Found::Stale(stored) => stale = Some(stored),
            Found::Nothing => stale = None,
        }
        // RFC 9111, section 5.2.1.7.
        if directives.only_if_cached {
            return Ok(not_cached(&settings, &head));
        }
        if goes_alone(&settings, &key, &client, &directives, stale.is_some()) {
            break;
        }
        match settings.flights.join(&key) {
            Joined::Lead(lead) => {
                // A flight may have landed between the look and the start.
                if let Some(stored) = settings.find_now(key.as_ref(), &head.headers) {
                    lead.land(Landing::Stored);
                    return Ok(from_stored(&settings, &stored, &client, CacheStatus::Collapsed));
                }
                flight = Some(lead);
                break;
            }
            Joined::Wait(other) => match landed(other).await {
                Landing::Stored => status = CacheStatus::Collapsed,
                Landing::Abandoned | Landing::InFlight => {}
                Landing::NotStored => break,
                Landing::Failed => match stale.take() {
                    Some(stored) if settings.may_serve_on_error(&stored) => {
                        let status = CacheStatus::StaleOnError;
                        return Ok(from_stored(&settings, &stored, &client, status));
                    }
                    _ => break,
                },
            },
        }
    }
    if client.is_head {
        return pass(&settings, inner, head, body, CacheStatus::Bypass).await;
    }
    let fetch = Fetch::new(&settings, key, &head, stale, flight).await;
    let fetched = fetch.run(&mut inner, head, Body::new(body)).await?;
    Ok(match fetched {
        Fetched::Answer(answer) => answer,
        Fetched::Whole(head, bytes) => from_whole(&client, head, bytes),
        Fetched::Confirmed(stored, confirmation) => {
            let answer = from_stored(&settings, &stored, &client, CacheStatus::Validated);
            with_fields_of(answer, confirmation)
        }
        Fetched::StaleOnError(stored) => {
            from_stored(&settings, &stored, &client, CacheStatus::StaleOnError)
        }
    })
}

/// Returns true if a request neither waits for others nor lets others wait for it: its response is for itself.
fn goes_alone(
    settings: &Settings,
    key: &Key,
    client: &Client,
    directives: &Directives,
    has_stale: bool,
) -> bool {
    let is_conditional = client.conditions.is_some() && !has_stale;
    client.is_head || is_conditional || directives.no_store || settings.is_unshared(key)
}

/// Renews a stored response in the background, unless another request does so.
fn renew<S, B>(
    settings: &Arc<Settings>,
    mut inner: S,
    mut head: request::Parts,
    key: Key,
    stale: Arc<Stored>,
) where
    S: Inner<B>,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else { return };
    let Joined::Lead(flight) = settings.flights.join(&key) else { return };
    head.method = Method::GET;
    // The client's conditions are not those of the store, and its directives are about its own response.
    make_conditional(&mut head.headers, &stale.headers);
    head.headers.remove(header::CACHE_CONTROL);
    let settings = Arc::clone(settings);
    runtime.spawn(async move {
        let fetch = Fetch::new(&settings, key, &head, Some(stale), Some(flight)).await;
        if let Ok(Fetched::Answer(answer)) = fetch.run(&mut inner, head, Body::empty()).await {
            read_to_end(answer).await;
        }
    });
}

/// Reads a body that is copied for the store while it streams.
async fn read_to_end<B: HttpBody<Data = Bytes, Error: Into<BoxError>>>(answer: Answer<B>) {
    let mut body = std::pin::pin!(answer.into_body());
    while let Some(Ok(_)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
}

/// Passes a request to the service, and its response back.
async fn pass<S, B>(
    settings: &Settings,
    mut inner: S,
    head: request::Parts,
    body: B,
    status: CacheStatus,
) -> Result<Answer<S::ResponseBody>, S::Error>
where
    S: Inner<B>,
    B: HttpBody<Data = Bytes>,
{
    let response = inner.call(Request::from_parts(head, Body::new(body))).await?;
    Ok(from_service(settings, response.into_response(), status))
}

/// Passes a request that may change resources, and removes what it changed from the store
/// ([RFC 9111, section 4.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.4)).
async fn change<S, B>(
    settings: &Settings,
    inner: S,
    head: request::Parts,
    body: B,
) -> Result<Answer<S::ResponseBody>, S::Error>
where
    S: Inner<B>,
    B: HttpBody<Data = Bytes>,
{
    let method = head.method.clone();
    let scope = head
        .extensions
        .get()
        .and_then(|caller| crate::entry::scope_id(settings.rules.scope, caller));
    let target = KeyRef::of_request(&head, None).map(KeyRef::to_key);
    let answer = pass(settings, inner, head, body, CacheStatus::Method).await?;
    let Some(target) = target.filter(|_| invalidates(&method, answer.status())) else {
        return Ok(answer);
    };
    let (host, changed) = (&*target.host, &*target.path_and_query);
    let others = CHANGED
        .iter()
        .filter_map(|field| same_origin_target(answer.headers(), field, host, changed));
    let mut paths: Vec<String> = others.chain([changed.to_owned()]).collect();
    paths.dedup();
    for path_and_query in paths {
        let everyone =
            Key { host: host.into(), path_and_query: path_and_query.into(), scope: None };
        let own = scope.map(|scope| Key { scope: Some(scope), ..everyone.clone() });
        for key in [Some(everyone), own].into_iter().flatten() {
            if let Err(error) = settings.store.remove(&key).await {
                tracing::error!(
                    target: "palisade::cache",
                    error = %error,
                    path = key.path(),
                    "a changed resource could not be removed from the store: it may be served until it is stale"
                );
            }
        }
    }
    Ok(answer)
}

/// The response to `only-if-cached` without a stored response: 504 (RFC 9111, section 5.2.1.7).
fn not_cached<B>(settings: &Settings, head: &request::Parts) -> Answer<B> {
    let mut response = ErrorContext::of(head).render(ApiError::from(NOT_CACHED)).map(Body::full);
    if settings.shows_status {
        CacheStatus::OnlyIfCached.append(response.headers_mut());
    }
    response
}
