use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request, response,
};
use palisade_core::{ApiError, BodyEnd, ClientIp, PeerAddr, RequestId, Trail, WatchBody};

use crate::{
    RequestReport, TraceContext,
    settings::Settings,
    summary::{RequestEnd, Summary},
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The record of one request, from its head to the end of its response. It is reported on drop, so that there is exactly one
/// event in all cases.
pub(crate) struct Record {
    settings: Arc<Settings>,
    pub(crate) id: RequestId,
    trace: TraceContext,
    pub(crate) trail: Trail,
    pub(crate) explained: bool,
    method: Method,
    uri: Uri,
    client: Option<ClientIp>,
    peer: Option<IpAddr>,
    /// The length that the request's body was declared to have.
    declared: u64,
    answer: Option<ResponseRecord>,
    end: Option<RequestEnd>,
}

/// The observed properties of the response.
struct ResponseRecord {
    status: StatusCode,
    after: Duration,
    grpc_status: Option<HeaderValue>,
    code: Option<Box<str>>,
    rate_limit: Option<HeaderValue>,
    /// The length of the complete body, if known.
    expected: Option<u64>,
    bytes: u64,
}

impl Record {
    /// Creates a record. Returns `None` if no output is enabled.
    pub(crate) fn begin(
        request: &request::Parts,
        id: &RequestId,
        trace: &TraceContext,
        settings: &Arc<Settings>,
    ) -> Option<Self> {
        let explained = settings.explain.as_ref().is_some_and(|explain| explain.asks(request));
        if !explained && !settings.are_wanted() {
            return None;
        }
        #[cfg(feature = "metrics")]
        if settings.metrics {
            crate::metrics::begins();
        }
        Some(Self {
            id: id.clone(),
            trace: trace.clone(),
            trail: Trail::new(Arc::clone(&settings.clock)),
            explained,
            method: request.method.clone(),
            uri: request.uri.clone(),
            client: ClientIp::from_extensions(&request.extensions),
            peer: PeerAddr::from_extensions(&request.extensions)
                .map(|peer| peer.0.ip().to_canonical()),
            declared: declared_length(&request.headers).unwrap_or(0),
            answer: None,
            end: None,
            settings: Arc::clone(settings),
        })
    }

    /// There is a response.
    pub(crate) fn answered(&mut self, response: &response::Parts) {
        let (status, headers) = (response.status, &response.headers);
        let bodiless = self.method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let error = response.extensions.get::<ApiError>();
        self.answer = Some(ResponseRecord {
            status,
            after: self.trail.age(),
            grpc_status: headers.get(GRPC_STATUS).cloned(),
            code: error.map(|error| error.code().into()),
            rate_limit: headers.get(RATELIMIT).cloned(),
            expected: if bodiless { Some(0) } else { declared_length(headers) },
            bytes: 0,
        });
    }

    /// There will be none.
    pub(crate) fn service_failed(&mut self) {
        self.end = Some(RequestEnd::Failed);
    }

    fn ended(&mut self, end: BodyEnd) {
        let is_whole = |answer: &ResponseRecord| answer.expected == Some(answer.bytes);
        self.end = Some(match end {
            BodyEnd::Complete => RequestEnd::Complete,
            BodyEnd::Failed => RequestEnd::BodyFailed,
            BodyEnd::Panicked => RequestEnd::BodyPanicked,
            // A server does not poll the body of a HEAD response, nor a body again that has reached its length.
            _ if self.answer.as_ref().is_some_and(is_whole) => RequestEnd::Complete,
            _ => RequestEnd::Aborted,
        });
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Drop for Record {
    fn drop(&mut self) {
        let end = match self.end {
            Some(end) => end,
            None if std::thread::panicking() => RequestEnd::Panicked,
            None => RequestEnd::Cancelled,
        };
        let settings = Arc::clone(&self.settings);
        let answer = self.answer.as_ref();
        let grpc_status = answer.and_then(|answer| answer.grpc_status.as_ref()?.to_str().ok());
        let method = || settings.methods.template(self.uri.path(), grpc_status);
        let summary = Summary {
            id: &self.id,
            trace: &self.trace,
            method: &self.method,
            uri: &self.uri,
            route: self.trail.route().or_else(method),
            status: answer.map(|answer| answer.status),
            grpc_status,
            code: answer.and_then(|answer| answer.code.as_deref()),
            rate_limit: answer.and_then(|answer| answer.rate_limit.as_ref()?.to_str().ok()),
            end,
            duration: self.trail.age(),
            first_byte: answer.map(|answer| answer.after),
            bytes_in: self.trail.body_bytes().max(self.declared),
            bytes_out: answer.map_or(0, |answer| answer.bytes),
            client: self.client,
            peer: self.peer,
            principal: self.trail.principal(),
            steps: self.trail.take_steps(),
        };
        #[cfg(feature = "metrics")]
        if settings.metrics {
            crate::metrics::ends(&summary);
        }
        if let Some(log) = &settings.access_log {
            log.write(&summary);
        }
        if !settings.reporters.is_empty() {
            let log = settings.access_log.as_ref();
            let report = RequestReport::new(&summary, log, settings.clock.unix());
            settings.reporters.iter().for_each(|reporter| reporter(&report));
        }
    }
}

/// Sees the response's body go by.
pub(crate) struct Watcher(pub(crate) Box<Record>);

impl WatchBody for Watcher {
    fn data(&mut self, bytes: usize) {
        if let Some(answer) = &mut self.0.answer {
            answer.bytes += bytes as u64;
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let (Some(answer), Some(status)) = (&mut self.0.answer, trailers.get(GRPC_STATUS)) {
            answer.grpc_status = Some(status.clone());
        }
    }

    fn end(mut self: Box<Self>, end: BodyEnd) {
        self.0.ended(end);
    }
}
