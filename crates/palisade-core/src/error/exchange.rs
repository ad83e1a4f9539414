use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header, request};

use super::{
    ApiError, ErrorContext, ErrorFormat, LeaveAsIs, accept,
    context::{Rendered, is_of_the_body, make_room},
    framework::{self, FrameworkReason, Verdict, is_routed},
    grpc::X_REQUEST_ID,
    layer::Config,
    log::log,
};
use crate::{Body, BoxError, RequestId, panics::panicked, vary_by};

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

/// What the answer to one request is made with.
pub(super) struct Exchange {
    config: Arc<Config>,
    context: ErrorContext,
    /// For a format of the user's own.
    head: Option<Box<request::Parts>>,
    accept: Option<HeaderValue>,
    routed: bool,
}

/// What becomes of a response.
pub(super) enum Settled<B> {
    Done(Response<Body<B>>),
    /// An error whose reason is the text of the response.
    MustBeRead(Response<B>, ApiError, FrameworkReason),
}

impl Exchange {
    /// Takes from a request what its error would need, and hands the request on.
    pub(super) fn begin<B>(config: &Arc<Config>, request: Request<B>) -> (Self, Request<B>) {
        let context = ErrorContext::of_request(&request);
        let accept = config.negotiated.then(|| accept::of(request.headers())).flatten();
        let routed = config.framework.are_rendered() && is_routed(request.extensions());
        let (request, head) = if matches!(config.format, ErrorFormat::Custom(_)) {
            let (head, body) = request.into_parts();
            (Request::from_parts(head.clone(), body), Some(Box::new(head)))
        } else {
            (request, None)
        };
        let exchange = Self { config: Arc::clone(config), context, head, accept, routed };
        (exchange, request)
    }

    /// Re-renders a response that carries an error; lets every other response pass.
    pub(super) fn settle<B: http_body::Body>(&mut self, response: Response<B>) -> Settled<B> {
        if response.extensions().get::<LeaveAsIs>().is_some() {
            return Settled::Done(response.map(Body::new));
        }
        match response.extensions().get::<ApiError>() {
            Some(error) => {
                let error = error.clone();
                Settled::Done(self.settle_error(response, error))
            }
            None => self.settle_other(response),
        }
    }

    fn settle_error<B>(&mut self, response: Response<B>, error: ApiError) -> Response<Body<B>> {
        if error.rendered() == Rendered::AsChosen {
            return response.map(Body::new);
        }
        let named = self.find_request_id(&response);
        let as_chosen = error.rendered() == Rendered::ByDefault
            && !named
            && (self.context.is_grpc() || matches!(self.format(), ErrorFormat::Envelope));
        if !as_chosen {
            return self.replace(response, error);
        }
        let mut response = response.map(Body::new);
        if let Some(error) = response.extensions_mut().get_mut::<ApiError>() {
            log(error, self.context.request_id());
            error.set_rendered(Rendered::AsChosen);
        }
        self.vary(response.headers_mut());
        response
    }

    /// The head of a response, with an error in place of its body.
    fn replace<B, R>(&mut self, response: Response<B>, mut error: ApiError) -> Response<Body<R>> {
        self.find_request_id(&response);
        log(&mut error, self.context.request_id());
        let (head, _) = response.into_parts();
        self.render(Response::from_parts(head, Bytes::new()), error)
    }

    fn settle_other<B: http_body::Body>(&mut self, response: Response<B>) -> Settled<B> {
        #[cfg(feature = "tonic")]
        if let Some(error) = crate::tonic::error_behind(response.extensions()) {
            return Settled::Done(self.settle_error(response, error));
        }
        if self.config.framework.are_rendered() {
            let length = response.body().size_hint().exact();
            let (head, body) = response.into_parts();
            let verdict = self.config.framework.judge(&head, length, self.routed);
            let response = Response::from_parts(head, body);
            return match verdict {
                None => Settled::Done(response.map(Body::new)),
                Some(Verdict::Error(error)) => Settled::Done(self.replace(response, error)),
                Some(Verdict::Text(error, reason)) => Settled::MustBeRead(response, error, reason),
            };
        }
        Settled::Done(response.map(Body::new))
    }

    /// Returns the error of a response whose text has been read.
    pub(super) fn settle_text<B>(
        &mut self,
        response: Response<()>,
        error: ApiError,
        reason: FrameworkReason,
        text: &Bytes,
    ) -> Response<Body<B>> {
        self.replace(response, framework::with_reason(error, text, reason))
    }

    /// Answers with what has become of an inner service's error.
    pub(super) fn failed<B>(&mut self, error: BoxError) -> Response<Body<B>> {
        let error = self.config.api_error(error);
        self.answer(error)
    }

    /// Answers with an error that no response carries yet.
    pub(super) fn answer<B>(&mut self, mut error: ApiError) -> Response<Body<B>> {
        log(&mut error, self.context.request_id());
        self.render(Response::new(Bytes::new()), error)
    }

    /// Who gives ids out may stand inside of this layer: then the response says which. True if that is so.
    fn find_request_id<B>(&mut self, response: &Response<B>) -> bool {
        if self.context.request_id().is_some() {
            return false;
        }
        let mut fields = response.headers().get_all(X_REQUEST_ID).iter();
        let id = match (response.extensions().get(), fields.next(), fields.next()) {
            (Some(id), ..) => Some(RequestId::clone(id)),
            // It goes into bodies and logs, so it must be as harmless as one that came with a request.
            (None, Some(id), None) => id.to_str().ok().and_then(RequestId::parse),
            _ => None,
        };
        let found = id.is_some();
        id.into_iter().for_each(|id| self.context.set_request_id(id));
        found
    }

    fn format(&self) -> ErrorFormat {
        if self.config.negotiated && !self.context.is_grpc() {
            accept::choose(self.accept.as_ref(), &self.config.format, self.config.html)
        } else {
            self.config.format.clone()
        }
    }

    fn vary(&self, headers: &mut HeaderMap) {
        if self.config.negotiated && !self.context.is_grpc() {
            vary_by(headers, &ACCEPT);
        }
    }

    /// Gives `response` the body of `error`, and the headers that the error owes, where they are not there yet.
    fn render<B>(&self, mut response: Response<Bytes>, error: ApiError) -> Response<Body<B>> {
        make_room(response.headers_mut(), &error);
        for name in error.headers().keys() {
            if !response.headers().contains_key(name) {
                for value in error.headers().get_all(name) {
                    let _ = response.headers_mut().try_append(name.clone(), value.clone());
                }
            }
        }
        let types = &self.config.types;
        let mut response = match (self.format(), &self.head) {
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
        self.vary(response.headers_mut());
        response.map(Body::full)
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
                // A cache must keep apart what any of them tells apart.
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
