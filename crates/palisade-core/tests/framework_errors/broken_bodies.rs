//! Bodies that end early.

use super::*;

/// A body that ends with an error in the middle of a part.
fn cut_off(error: impl Into<BoxError>) -> Body {
    let begins =
        Bytes::from_static(b"--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nhalf");
    let frames = [Ok(http_body::Frame::data(begins)), Err(error.into())];
    Body::new(http_body_util::StreamBody::new(Frames(frames.into())))
}

struct Frames(std::collections::VecDeque<Result<http_body::Frame<Bytes>, BoxError>>);

impl futures_core::Stream for Frames {
    type Item = Result<http_body::Frame<Bytes>, BoxError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[tokio::test]
async fn form_with_a_truncated_body_is_400() {
    let form = |body| {
        let request = Request::post("/parts");
        request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=x").body(body).unwrap()
    };
    let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let answer = send(typed(), form(cut_off(gone()))).await;
    assert_eq!(answer.json()["error"]["message"], "the request body could not be read");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    // a layer that the body was read through knows better
    let answer = send(typed(), form(cut_off(ApiError::request_timeout()))).await;
    assert_eq!(answer.json()["error"]["code"], "REQUEST_TIMEOUT");
    // the field ends with the body, and the form does not
    let half = Body::from("--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nhalf");
    assert_eq!(send(app(), form(half)).await.json()["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn error_text_that_fails_to_load_is_500() {
    struct BreaksOff;
    impl http_body::Body for BreaksOff {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Ready(Some(Err(std::io::Error::other("gone"))))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(9)
        }
    }
    let handler = || async { made(400, TEXT, Body::new(BreaksOff)).into_response() };
    let app = Router::new().fallback(handler).layer(ErrorLayer::new().framework_errors());
    let answer = send(app, request(Method::GET, "/", "", "")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}
