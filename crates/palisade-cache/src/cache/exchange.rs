//! A request that cannot be answered at once.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header, request};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use palisade_core::{ApiError, Body, BoxError, DecisionFlag, ErrorContext, HttpResponse};
use tokio::runtime::Handle;

use super::{
    NOT_CACHED,
    answer::{Answer, Client, from_service, from_stored, from_whole, with_fields_of},
    fetch::{Fetch, Fetched, Inner},
    settings::{Access, Found, Settings, TakeOff},
};
use crate::{
    entry::{Key, KeyRef, Stored, content_id},
    rules::{
        CHANGED, CacheStatus, Directives, invalidates, make_conditional, matches,
        same_origin_target,
    },
    store::{Joined, Landing, Purged, landed},
};

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
    let (scope, most_query_bytes) = match settings.access(&head, !body.is_end_stream()) {
        Access::Lookup(scope) => (scope, None),
        Access::Query(scope, most) => (scope, Some(most)),
        Access::Bypass => {
            return pass(&settings, inner, head, Body::new(body), CacheStatus::Bypass).await;
        }
        Access::Method => return change(&settings, inner, head, body).await,
    };
    let is_known = most_query_bytes
        .is_none_or(|most| body.size_hint().exact().is_some_and(|length| length <= most));
    let key = KeyRef::of_request(&head, scope).map(KeyRef::to_key).filter(|_| is_known);
    let Some(mut key) = key else {
        return pass(&settings, inner, head, Body::new(body), CacheStatus::Bypass).await;
    };
    let mut content = None;
    let body = match most_query_bytes {
        None => Body::new(body),
        Some(_) => match body.collect().await {
            Ok(read) => {
                let bytes = read.to_bytes();
                key.content = Some(content_id(&head.headers, &bytes));
                content = Some(bytes.clone());
                Body::full(bytes)
            }
            Err(_) => {
                let error = ApiError::bad_request().with_message("the request body is incomplete");
                return Ok(ErrorContext::from_request(&head).render(error).map(Body::full));
            }
        },
    };
    let client = Client::of_request(&head);
    let directives = settings.client_directives(&head.headers);
    let (mut status, mut stale, mut flight) = (CacheStatus::Hit, None, None);
    for _ in 0..MOST_WAITS {
        match settings.find(&key, &head.headers, &directives).await {
            Found::Fresh(stored) => return Ok(from_stored(&settings, &stored, &client, status)),
            Found::Renewable(stored) => {
                let answer = from_stored(&settings, &stored, &client, CacheStatus::StaleHit);
                renew(&settings, inner, head, content, key, stored);
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
                match settings.take_off(&key, &head.headers, &directives, lead).await {
                    TakeOff::Found(stored) => {
                        let status = CacheStatus::Collapsed;
                        return Ok(from_stored(&settings, &stored, &client, status));
                    }
                    TakeOff::Lead(lead, mark) => flight = Some((lead, mark)),
                }
                break;
            }
            Joined::Wait(other) => match landed(other).await {
                Landing::Shared(stored) => {
                    status = CacheStatus::Collapsed;
                    if matches(&stored.nominated, &head.headers)
                        && settings.is_fresh(&stored, &directives)
                    {
                        return Ok(from_stored(&settings, &stored, &client, status));
                    }
                }
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
    let fetched = fetch.run(&mut inner, head, body).await?;
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
    content: Option<Bytes>,
    key: Key,
    stale: Arc<Stored>,
) where
    S: Inner<B>,
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else { return };
    let Joined::Lead(mut flight) = settings.flights.join(&key) else { return };
    let body = match content {
        None => {
            head.method = Method::GET;
            Body::empty()
        }
        Some(content) => Body::full(content),
    };
    // The client's conditions are not those of the store, and its directives are about its own response.
    make_conditional(&mut head.headers, &stale.headers);
    head.headers.remove(header::CACHE_CONTROL);
    // The layers outside have read the client's.
    if let Some(decision) = head.extensions.get_mut::<DecisionFlag>() {
        *decision = DecisionFlag::default();
    }
    let settings = Arc::clone(settings);
    runtime.spawn(async move {
        // Another machine may be renewing it.
        let Some(mark) = settings.store.depart(&key, &mut flight).await else { return };
        // Or it has renewed it since this request found it.
        let anything = Directives::default();
        if let Found::Fresh(_) = settings.find(&key, &head.headers, &anything).await {
            return;
        }
        let fetch = Fetch::new(&settings, key, &head, Some(stale), Some((flight, mark))).await;
        if let Ok(Fetched::Answer(answer)) = fetch.run(&mut inner, head, body).await {
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
    body: Body<B>,
    status: CacheStatus,
) -> Result<Answer<S::ResponseBody>, S::Error>
where
    S: Inner<B>,
    B: HttpBody<Data = Bytes>,
{
    let response = inner.call(Request::from_parts(head, body)).await?;
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
    let answer = pass(settings, inner, head, Body::new(body), CacheStatus::Method).await?;
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
        let everyone = Key {
            host: host.into(),
            path_and_query: path_and_query.into(),
            scope: None,
            content: None,
        };
        let own = scope.map(|scope| Key { scope: Some(scope), ..everyone.clone() });
        let removed = match settings.most_query_bytes {
            // The keys of the responses to a QUERY contain its content.
            Some(_) => vec![Purged::Path(everyone.path().into())],
            None => [Some(everyone), own].into_iter().flatten().map(Purged::Key).collect(),
        };
        for removed in removed {
            if let Err(error) = settings.store.remove_all(removed).await {
                tracing::error!(
                    target: "palisade::cache",
                    error = %error,
                    path = target.path(),
                    "a changed resource could not be removed from the store: it may be served until it is stale"
                );
            }
        }
    }
    Ok(answer)
}

/// The response to `only-if-cached` without a stored response: 504 (RFC 9111, section 5.2.1.7).
fn not_cached<B>(settings: &Settings, head: &request::Parts) -> Answer<B> {
    let mut response =
        ErrorContext::from_request(head).render(ApiError::from(NOT_CACHED)).map(Body::full);
    if settings.shows_status {
        CacheStatus::OnlyIfCached.append(response.headers_mut());
    }
    response
}
