use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    ApiError, ErrorContext, ErrorFormat, bodies,
    body_fields::{is_of_the_body, make_room},
    grpc,
    log::log,
    problem_types::ProblemTypes,
    rendered::Rendered,
};
use crate::{RequestId, set_header};

impl ErrorContext {
    /// Renders the default format: the envelope, or gRPC (native, web or web-text) if the request is gRPC. The error stays in
    /// the response's extensions, where an [`ErrorLayer`](crate::ErrorLayer) finds it.
    ///
    /// A 5xx is logged with its cause, at level ERROR, target `palisade::errors`.
    pub fn render(&self, mut error: ApiError) -> Response<Bytes> {
        let rendered = if self.known { Rendered::ByDefault } else { Rendered::No };
        // Without a request, an outer error layer logs it with more data.
        if self.known && error.status().is_server_error() {
            log(&mut error, self.request_id());
        }
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        // There is room: the error has no more than a response may have.
        make_room(headers, &error);
        for (name, value) in error.headers() {
            let _ = headers.try_append(name.clone(), value.clone());
        }
        self.dress(response, error, &ErrorFormat::Envelope, &ProblemTypes::default(), rendered)
    }

    /// Gives a response the status and the body of `error` and leaves its other headers alone: those that the error
    /// owes are there from its first rendering, others were added by the policies outside of it.
    pub(crate) fn dress(
        &self,
        mut response: Response<Bytes>,
        mut error: ApiError,
        format: &ErrorFormat,
        types: &ProblemTypes,
        rendered: Rendered,
    ) -> Response<Bytes> {
        let headers = response.headers_mut();
        make_room(headers, &error);
        // Most responses have none of them, and fewer fields than there are names to look up.
        let is_replaced =
            |name: &&HeaderName| is_of_the_body(name, &error) || grpc::OF_THE_STATUS.contains(name);
        let replaced: Vec<HeaderName> = headers.keys().filter(is_replaced).cloned().collect();
        for name in &replaced {
            headers.remove(name);
        }
        if let Some((wire, _)) = self.grpc.as_deref() {
            *response.body_mut() = grpc::dress(*wire, response.headers_mut(), &error, self);
            *response.status_mut() = StatusCode::OK;
        } else {
            let id = self.request_id().map(RequestId::as_str);
            *response.body_mut() = bodies::render(format, &error, types, id);
            let media_type = HeaderValue::from_static(format.media_type());
            set_header(response.headers_mut(), header::CONTENT_TYPE, media_type);
            *response.status_mut() = error.status();
            self.without_forbidden_body(&mut response);
        }
        error.set_rendered(rendered);
        response.extensions_mut().insert(error);
        response
    }

    /// Removes the body of responses to HEAD, but keeps its length. Statuses without a body (RFC 9110, section 6.4.1) lose its
    /// headers too.
    pub(crate) fn without_forbidden_body(&self, response: &mut Response<Bytes>) {
        let status = response.status();
        let never = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
        if never.contains(&status) || status.is_informational() {
            *response.body_mut() = Bytes::new();
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        } else if self.is_head {
            let length = std::mem::take(response.body_mut()).len();
            let length = HeaderValue::from(length);
            set_header(response.headers_mut(), header::CONTENT_LENGTH, length);
        }
    }
}
