//! What is left of a body when the response begins.

use super::*;

#[tokio::test]
async fn unread_body_is_drained_up_to_the_limit_only() {
    let chunks = ["1234"; 100];
    let body = Chunked::new(&chunks);
    let taken = body.taken();
    let limited = BodyLimit::new(8).layer(service_fn(ignores));
    let response = limited.oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(taken.load(Ordering::SeqCst), 3, "the one that went over is the last");
}

#[tokio::test]
async fn rejection_does_not_wait_for_the_body() {
    let limited = BodyLimit::new(8).layer(service_fn(|_: Request<LimitedBody<Chunked>>| async {
        let (head, ()) = Request::new(()).into_parts();
        let refusal = ErrorContext::from_request(&head).render(ApiError::forbidden());
        Ok::<_, Infallible>(refusal.map(Full::new))
    }));
    let body = Chunked::new(&["12"]).stalling();
    let taken = body.taken();
    let response = limited.oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(taken.load(Ordering::SeqCst), 0);
}

#[derive(Clone)]
struct Redirects;

impl palisade_core::Policy for Redirects {
    type Grant = ();

    fn decide(&self, _: &http::request::Parts) -> palisade_core::Decision<()> {
        palisade_core::Decision::reply(
            Response::builder()
                .status(303)
                .header("location", "/login")
                .body(Bytes::new())
                .unwrap(),
        )
    }
}

#[tokio::test]
async fn response_of_a_policy_does_not_wait_for_the_body() {
    let inner = PolicyLayer::new(Redirects).layer(service_fn(ignores));
    let body = Chunked::new(&[]).stalling();
    let response = BodyLimit::new(8).layer(inner).oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[tokio::test(start_paused = true)]
async fn unread_body_must_arrive_within_the_drain_time() {
    let start = tokio::time::Instant::now();
    for (limit, seconds) in
        [(BodyLimit::new(8), 10), (BodyLimit::new(8).drain_within(Duration::from_secs(2)), 2)]
    {
        let begun = start.elapsed();
        let request = Request::new(Chunked::new(&["12"]).stalling());
        let response = limit.layer(service_fn(ignores)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        assert_eq!((start.elapsed() - begun).as_secs(), seconds);
    }
}

#[tokio::test]
async fn unread_body_can_be_ignored() {
    let limit = BodyLimit::new(8).ignore_unread();
    let body = Chunked::new(&["1234", "56789"]);
    let taken = body.taken();
    let response = limit.layer(service_fn(ignores)).oneshot(Request::new(body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    // what is read still counts
    let response =
        limit.layer(service_fn(swallows)).oneshot(chunked(&["1234", "56789"])).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// Answers with what it reads, as it reads it.
async fn streams(
    request: Request<LimitedBody<Chunked>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, BoxError> {
    // The error is swallowed even here.
    let body = SwallowsErrors(request.into_body());
    Ok(Response::new(body.boxed_unsync()))
}

struct SwallowsErrors(LimitedBody<Chunked>);

impl http_body::Body for SwallowsErrors {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx).map(|frame| frame?.ok().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

#[tokio::test]
async fn streamed_response_is_aborted_over_the_limit() {
    let limited = BodyLimit::new(8).layer(service_fn(streams));
    let response = limited.clone().oneshot(chunked(&["1234", "5678"])).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "12345678");

    let response = limited.oneshot(chunked(&["1234", "56789"])).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "1234");
    // the handler's stream ends here as if all were well
    assert!(body.frame().await.unwrap().unwrap_err().is::<LengthLimitError>());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn waiting_response_is_woken_if_the_body_exceeds_the_limit() {
    // the handler reads in a task of its own, and answers with a stream that never ends
    let limited =
        BodyLimit::new(8).layer(service_fn(|request: Request<LimitedBody<Chunked>>| async {
            tokio::spawn(async {
                tokio::task::yield_now().await;
                let _ = request.into_body().collect().await;
            });
            Ok::<_, Infallible>(Response::new(Chunked::new(&[]).stalling()))
        }));
    let response = limited.oneshot(chunked(&["1234", "56789"])).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(error.is::<LengthLimitError>());
}

#[tokio::test]
async fn ended_response_is_aborted_if_the_body_exceeds_the_limit() {
    // the handler reads in a task of its own, and has answered with nothing
    let reading = Arc::new(std::sync::Mutex::new(None));
    let task = Arc::clone(&reading);
    let limited =
        BodyLimit::new(8).layer(service_fn(move |request: Request<LimitedBody<Chunked>>| {
            let read = async { request.into_body().collect().await.is_ok() };
            *task.lock().unwrap() = Some(tokio::spawn(read));
            std::future::ready(text(""))
        }));
    let response = limited.oneshot(chunked(&["1234", "56789"])).await.unwrap();
    let mut body = response.into_body();
    let reading = reading.lock().unwrap().take().unwrap();
    assert!(!reading.await.unwrap());
    assert!(!http_body::Body::is_end_stream(&body), "a server would not ask again");
    assert!(body.frame().await.unwrap().unwrap_err().is::<LengthLimitError>());
    assert!(http_body::Body::is_end_stream(&body));
}

#[tokio::test]
async fn grpc_response_does_not_wait_for_unread_messages() {
    let mut request = Request::new(Chunked::new(&["12"]).stalling());
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let limit = BodyLimit::new(8).per_grpc_message();
    let response = limit.layer(service_fn(ignores)).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ignored");
}
