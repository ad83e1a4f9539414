use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header, request, response};

use super::{
    accept,
    config::Config,
    framework::{self, FrameworkReason, Verdict, is_routed},
};
use crate::{
    ApiError, BoxError, ErrorContext, ErrorFormat, LeaveAsIs, RequestId,
    error::{Rendered, X_REQUEST_ID, is_of_the_body, log, make_room},
    panics::panicked,
    vary_by,
};

const ACCEPT: HeaderValue = HeaderValue::from_static("Accept");

/// Header fields that may be there more than once, and mean all that they say.
const ADD_UP: [HeaderName; 7] = [
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::LINK,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    HeaderName::from_static("server-timing"),
];

/// The state that is needed to render the error of one request.
pub(crate) struct Exchange {
    context: ErrorContext,
    /// The head of the request, for a custom format.
    head: Option<Box<request::Parts>>,
    accept: Option<HeaderValue>,
    routed: bool,
}

/// Takes the error of a response, which is rendered again with it.
fn take_error(head: &mut response::Parts) -> Option<ApiError> {
    head.extensions.remove()
}

/// What to do with the body of a response.
pub(super) enum Settled {
    Unchanged,
    Replaced(Bytes),
    /// The response is an error whose reason is its text.
    MustBeRead(ApiError, FrameworkReason),
}

impl Exchange {
    /// Creates the state from a request.
    pub(super) fn begin(config: &Config, request: &request::Parts) -> Self {
        let accept = config.negotiated.then(|| accept::header(&request.headers)).flatten();
        let routed = config.framework.are_rendered() && is_routed(&request.extensions);
        let custom = matches!(config.format, ErrorFormat::Custom(_));
        let head = custom.then(|| Box::new(request.clone()));
        Self { context: ErrorContext::from_request(request), head, accept, routed }
    }

    /// Renders a response that carries an error, or is one of the framework. Leaves every other response unchanged.
    pub(super) fn settle(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
        length: impl FnOnce() -> Option<u64>,
    ) -> Settled {
        let replaced = if head.extensions.get::<LeaveAsIs>().is_some() {
            None
        } else if let Some(error) = head.extensions.get::<ApiError>() {
            let rendered = error.rendered();
            self.settle_error(config, head, rendered, take_error)
        } else {
            return self.settle_other(config, head, length);
        };
        replaced.map_or(Settled::Unchanged, Settled::Replaced)
    }

    /// Renders the refusal of a policy, or the failure of one. Returns the new body.
    pub(super) fn settle_refusal(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
    ) -> Option<Bytes> {
        if head.extensions.get::<LeaveAsIs>().is_some() {
            return None;
        }
        let rendered = head.extensions.get::<ApiError>()?.rendered();
        self.settle_error(config, head, rendered, take_error)
    }

    /// Renders an error as the configuration says, if it is not `rendered` so. `error` returns it.
    fn settle_error(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
        rendered: Rendered,
        error: impl FnOnce(&mut response::Parts) -> Option<ApiError>,
    ) -> Option<Bytes> {
        if rendered == Rendered::AsChosen {
            return None;
        }
        let named = self.find_request_id(head);
        let as_chosen = rendered == Rendered::ByDefault
            && !named
            && (self.context.is_grpc() || matches!(self.format(config), ErrorFormat::Envelope));
        if !as_chosen {
            let error = error(head)?;
            return Some(self.replace(config, head, error));
        }
        if let Some(error) = head.extensions.get_mut::<ApiError>() {
            log(error, self.context.request_id());
            error.set_rendered(Rendered::AsChosen);
        }
        self.vary(config, &mut head.headers);
        None
    }

    /// Makes the head of a response that of an error, and returns the body of the error.
    fn replace(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
        mut error: ApiError,
    ) -> Bytes {
        self.find_request_id(head);
        log(&mut error, self.context.request_id());
        let (empty, ()) = Response::new(()).into_parts();
        let before = Response::from_parts(std::mem::replace(head, empty), Bytes::new());
        let (made, body) = self.render(config, before, error).into_parts();
        *head = made;
        body
    }

    fn settle_other(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
        length: impl FnOnce() -> Option<u64>,
    ) -> Settled {
        #[cfg(feature = "tonic")]
        if let Some(error) = crate::tonic::error_behind(&head.extensions) {
            let replaced = self.settle_error(config, head, error.rendered(), |_| Some(error));
            return replaced.map_or(Settled::Unchanged, Settled::Replaced);
        }
        if !config.framework.are_rendered() {
            return Settled::Unchanged;
        }
        match config.framework.judge(head, length(), self.routed) {
            None => Settled::Unchanged,
            Some(Verdict::Error(error)) => Settled::Replaced(self.replace(config, head, error)),
            Some(Verdict::Text(error, reason)) => Settled::MustBeRead(error, reason),
        }
    }

    /// Makes the head of a response whose text has been read that of an error, and returns the body of the error.
    pub(super) fn settle_text(
        &mut self,
        config: &Config,
        head: &mut response::Parts,
        error: ApiError,
        reason: FrameworkReason,
        text: &Bytes,
    ) -> Bytes {
        self.replace(config, head, framework::with_reason(error, text, reason))
    }

    /// Returns the response that an error of the inner service becomes.
    pub(super) fn failed(&mut self, config: &Config, error: BoxError) -> Response<Bytes> {
        self.answer(config, config.api_error(error))
    }

    /// Returns the response of an error that no response carries yet.
    pub(super) fn answer(&mut self, config: &Config, mut error: ApiError) -> Response<Bytes> {
        log(&mut error, self.context.request_id());
        self.render(config, Response::new(Bytes::new()), error)
    }

    /// Looks for the id in the response, if the request has none: the policy that makes ids may stand inside of this layer.
    /// Returns true if the response has one.
    fn find_request_id(&mut self, response: &response::Parts) -> bool {
        if self.context.request_id().is_some() {
            return false;
        }
        let mut fields = response.headers.get_all(X_REQUEST_ID).iter();
        let id = match (response.extensions.get(), fields.next(), fields.next()) {
            (Some(id), ..) => Some(RequestId::clone(id)),
            // It goes into bodies and logs, so it must be as harmless as one that came with a request.
            (None, Some(id), None) => id.to_str().ok().and_then(RequestId::parse),
            _ => None,
        };
        let found = id.is_some();
        id.into_iter().for_each(|id| self.context.set_request_id(id));
        found
    }

    fn format(&self, config: &Config) -> ErrorFormat {
        if config.negotiated && !self.context.is_grpc() {
            accept::choose(self.accept.as_ref(), &config.format, config.html)
        } else {
            config.format.clone()
        }
    }

    fn vary(&self, config: &Config, headers: &mut HeaderMap) {
        if config.negotiated && !self.context.is_grpc() {
            vary_by(headers, &ACCEPT);
        }
    }

    /// Gives `response` the body of `error`, and the headers that the error owes, where they are not there yet.
    fn render(
        &self,
        config: &Config,
        mut response: Response<Bytes>,
        error: ApiError,
    ) -> Response<Bytes> {
        make_room(response.headers_mut(), &error);
        for name in error.headers().keys() {
            if !response.headers().contains_key(name) {
                for value in error.headers().get_all(name) {
                    let _ = response.headers_mut().try_append(name.clone(), value.clone());
                }
            }
        }
        let types = &config.types;
        let mut response = match (self.format(config), &self.head) {
            (ErrorFormat::Custom(custom), Some(head)) if !self.context.is_grpc() => {
                match catch_unwind(AssertUnwindSafe(|| custom.render(&error, head))) {
                    Ok(made) => self.merge(made, response, error),
                    Err(panic) => {
                        let mut error = panicked(&*panic);
                        log(&mut error, self.context.request_id());
                        let format = ErrorFormat::Envelope;
                        self.context.dress(response, error, &format, types, Rendered::AsChosen)
                    }
                }
            }
            (format, _) => self.context.dress(response, error, &format, types, Rendered::AsChosen),
        };
        self.vary(config, response.headers_mut());
        response
    }

    /// The user's own response, with the headers that the error owes and that policies have added.
    fn merge(
        &self,
        mut made: Response<Bytes>,
        rendered: Response<Bytes>,
        mut error: ApiError,
    ) -> Response<Bytes> {
        let (before, _) = rendered.into_parts();
        for name in before.headers.keys().filter(|name| !is_of_the_body(name, &error)) {
            let values = before.headers.get_all(name);
            if *name == header::VARY {
                // Responses vary by the values of all lines.
                let all = values.iter().filter_map(|value| value.to_str().ok());
                for own in all.flat_map(|value| value.split(',')).map(str::trim) {
                    if let Ok(own) = HeaderValue::from_str(own) {
                        vary_by(made.headers_mut(), &own);
                    }
                }
                continue;
            }
            if !ADD_UP.contains(name) {
                made.headers_mut().remove(name);
            }
            for value in values {
                if !made.headers().get_all(name).iter().any(|there| there == value) {
                    let _ = made.headers_mut().try_append(name.clone(), value.clone());
                }
            }
        }
        self.context.without_forbidden_body(&mut made);
        error.set_rendered(Rendered::AsChosen);
        made.extensions_mut().extend(before.extensions);
        made.extensions_mut().insert(error);
        made
    }
}
