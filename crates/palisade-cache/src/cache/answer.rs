use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header, request, response};
use palisade_core::{Body, DecisionFlag};

use super::settings::Settings;
use crate::{
    entry::Stored,
    preconditions::{Preconditions, Validators, Verdict},
    rules::{CACHE_STATUS, CacheStatus, unix_of_date},
};

/// The response of the service, or a stored one.
pub(super) type Answer<B> = Response<Body<B>>;

/// The fields of a 304 (RFC 9110, section 15.4.5), of what is stored.
const OF_A_304: [HeaderName; 7] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::VARY,
];

/// Returns a stored response for a request (RFC 9111, section 4), or 304 if the client has it (section 4.3.2).
#[inline]
pub(super) fn from_stored<B>(
    settings: &Settings,
    stored: &Stored,
    asked: &Client,
    status: CacheStatus,
) -> Answer<B> {
    let now = settings.clock.unix_coarse();
    let age = seconds(stored.terms.age(now).as_secs());
    let is_current = asked.conditions.as_ref().is_some_and(|conditions| {
        stored.status.is_success()
            && conditions.evaluate(&validators(stored)) == Verdict::NotModified
    });
    let mut response = Response::new(Body::empty());
    if is_current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in &OF_A_304 {
            for value in stored.headers.get_all(name) {
                let _ = response.headers_mut().try_append(name.clone(), value.clone());
            }
        }
    } else {
        *response.status_mut() = stored.status;
        *response.headers_mut() = stored.headers.clone();
        if !asked.is_head {
            *response.body_mut() = Body::full(stored.body.clone());
        }
    }
    // The policies that have decided about the stored response are inside, and are not asked again.
    if let (true, Some(decision)) = (stored.is_open, &asked.decision) {
        decision.record_open();
    }
    let headers = response.headers_mut();
    let _ = headers.try_insert(header::AGE, age);
    if settings.shows_status && (is_current || status != CacheStatus::Hit) {
        let _ = headers.try_insert(CACHE_STATUS, status.value());
    }
    response
}

/// Returns a number as a field value: one allocation, where `HeaderValue::from` makes two.
fn seconds(mut number: u64) -> HeaderValue {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    HeaderValue::from_bytes(&digits[start..]).expect("digits are a valid field value")
}

/// What a client asks of a response.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) is_head: bool,
    /// `If-None-Match` and `If-Modified-Since`.
    pub(super) conditions: Option<Preconditions>,
    /// Whether a policy has authorized the request, for a layer outside.
    decision: Option<DecisionFlag>,
}

impl Client {
    #[inline]
    pub(super) fn of_request(head: &request::Parts) -> Self {
        let has_conditions = head.headers.contains_key(header::IF_NONE_MATCH)
            || head.headers.contains_key(header::IF_MODIFIED_SINCE);
        let conditions = has_conditions.then(|| Preconditions::from_request(head));
        let decision = head.extensions.get().cloned();
        Self { is_head: head.method == Method::HEAD, conditions, decision }
    }
}

/// Section 4.3.2: without `Last-Modified`, `Date` takes its place.
fn validators(stored: &Stored) -> Validators {
    let validators = Validators::of_headers(&stored.headers);
    if stored.headers.contains_key(header::LAST_MODIFIED) {
        return validators;
    }
    match unix_of_date(&stored.headers, &header::DATE) {
        Some(date) => validators.modified(date),
        None => validators,
    }
}

/// Returns the service's own response, or 304 if the client has it. Other than a stored one it has all of its fields.
pub(super) fn from_whole<B>(client: &Client, mut head: response::Parts, bytes: Bytes) -> Answer<B> {
    let is_current = client.conditions.as_ref().is_some_and(|conditions| {
        head.status.is_success()
            && conditions.evaluate(&Validators::of_headers(&head.headers)) == Verdict::NotModified
    });
    if !is_current {
        return Response::from_parts(head, Body::full(bytes));
    }
    head.status = StatusCode::NOT_MODIFIED;
    for name in &OF_THE_CONTENT {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::empty())
}

/// The fields that a 304 does not repeat (RFC 9110, section 15.4.5). All others stay: CORS, cookies, caching.
pub(crate) const OF_THE_CONTENT: [HeaderName; 5] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
];

/// Adds the fields of the service's 304 that are not stored: they are made for this request.
pub(super) fn with_fields_of<B>(
    mut answer: Response<B>,
    confirmation: response::Parts,
) -> Response<B> {
    let own = answer.headers_mut();
    for name in confirmation.headers.keys() {
        if !own.contains_key(name) && !OF_THE_CONTENT.contains(name) {
            for value in confirmation.headers.get_all(name) {
                let _ = own.try_append(name.clone(), value.clone());
            }
        }
    }
    *answer.extensions_mut() = confirmation.extensions;
    answer
}

/// Returns the service's own response.
pub(super) fn from_service<B>(
    settings: &Settings,
    response: Response<Body<B>>,
    status: CacheStatus,
) -> Answer<B> {
    let (mut head, body) = response.into_parts();
    if settings.shows_status {
        status.append(&mut head.headers);
    }
    Response::from_parts(head, body)
}
