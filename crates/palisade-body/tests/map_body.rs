//! Bodies that are handed on in another type.

mod chunked;

use std::{
    marker::PhantomPinned,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use chunked::{Chunked, trailers};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use palisade_body::{BodyLimit, BoxedBody, MapRequestBody};
use palisade_core::{
    BoxError,
    testing::{Contract, Script, Step},
};
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn boxed_body_forwards_hint_frames_and_errors() {
    let whole = BoxedBody::new(Full::<Bytes>::from("hello"));
    assert_eq!(whole.size_hint().exact(), Some(5));
    assert!(!whole.is_end_stream());
    assert!(BoxedBody::new(Full::<Bytes>::default()).is_end_stream());

    let steps = [Step::Data("12"), Step::Wait, Step::Data("34"), Step::Trailers(&[("x-sum", "7")])];
    let collected = BoxedBody::new(Chunked::script(steps)).collect().await.unwrap();
    assert_eq!(trailers(collected.trailers().unwrap()), [("x-sum", "7")]);
    assert_eq!(collected.to_bytes(), "1234");

    let broken = BoxedBody::new(Chunked::script([Step::Data("12"), Step::Fail]));
    assert!(broken.collect().await.is_err());
}

#[tokio::test]
async fn service_receives_the_request_with_the_mapped_body() {
    let upper = |body: String| body.to_uppercase();
    let service = MapRequestBody::new(upper).layer(service_fn(|request: Request<String>| async {
        assert_eq!(request.headers()["x-kept"], "yes");
        Ok::<_, BoxError>(Response::new(request.into_body()))
    }));
    let request = Request::post("/").header("x-kept", "yes").body("hello".to_owned()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().into_body(), "HELLO");
}

#[tokio::test]
async fn unmovable_body_can_be_boxed_before_the_limit() {
    for (limit, expected) in [(5, 200), (4, 413)] {
        let body = Immovable { body: Chunked::new(&["hel", "lo"]), stays: PhantomPinned };
        let service = MapRequestBody::new(Box::pin).layer(BodyLimit::new(limit).layer(service_fn(
            |request: Request<_>| async {
                let body: palisade_body::LimitedBody<_> = request.into_body();
                Ok::<_, BoxError>(Response::new(Full::new(body.collect().await?.to_bytes())))
            },
        )));
        let response = service.oneshot(Request::new(body)).await.unwrap();
        assert_eq!(response.status(), expected);
    }
}

pin_project_lite::pin_project! {
    /// A body that is not `Unpin`.
    struct Immovable {
        #[pin]
        body: Chunked,
        #[pin]
        stays: PhantomPinned,
    }
}

impl Body for Immovable {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx)
    }
}

#[test]
fn the_layer_keeps_the_contract() {
    Contract::new(|| Request::post("/").body(Script::from_steps([Step::Data("body")])).unwrap())
        .check(|| MapRequestBody::new(BoxedBody::new));
}
