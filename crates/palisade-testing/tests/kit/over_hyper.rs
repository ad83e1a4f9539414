use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use palisade::{
    BoxError, PeerAddr,
    auth::{Identity, Jwt, RequireRole},
    stack,
};
use palisade_testing::{RouteTable, TestClient, TestIssuer};

use crate::{SECRET, text_of};

type Request = http::Request<Incoming>;

#[tokio::test]
async fn services_of_hyper_are_called_through_memory() {
    let issuer = TestIssuer::hs256(SECRET);
    let auth = Jwt::<()>::with_keys(issuer.keys()).any_audience().build().unwrap();
    let hello = tower::service_fn(|request: Request| async move {
        let user = Identity::<()>::from_extensions(request.extensions()).unwrap();
        let peer = PeerAddr::from_extensions(request.extensions()).unwrap().0;
        let hello = format!("{} from {}", user.principal().subject(), peer.ip());
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>(http::Response::new(Full::new(Bytes::from(format!("{hello}: {body:?}")))))
    });
    let app = stack().auth(&auth).role(RequireRole::any(["admin"])).wrap(hello);
    let client = TestClient::for_hyper(app).with_issuer(&issuer);
    let ada = client.as_user("ada").role("admin");
    ada.post("/").text("hi").await.assert_text("ada from 192.0.2.1: b\"hi\"");
    client.as_user("bob").get("/").await.assert_rejected("FORBIDDEN");
    let large = "x".repeat(1 << 20);
    ada.post("/").text(large).await.assert_success();

    let report = RouteTable::new(&client).routes(["GET /"]).caller("admin", ada).probe().await;
    report.assert_every_route_decides();
    let expected = "\
route  anonymous            admin  policies
GET /  401 UNAUTHENTICATED  200    Jwt, RequireRole
";
    assert_eq!(report.to_string(), expected);
}

#[tokio::test]
async fn errors_of_hyper_services_are_shown() {
    let failing = tower::service_fn(|_: Request| async {
        Err::<http::Response<Full<Bytes>>, _>(std::io::Error::other("the disk is full"))
    });
    let client = TestClient::for_hyper(failing);
    let sent = tokio::spawn(async move { client.get("/").await });
    let message = text_of(&*sent.await.unwrap_err().into_panic());
    assert!(message.contains("the disk is full"), "{message}");
    let empty = tower::service_fn(|_: Request| async {
        Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    TestClient::for_hyper(empty).get("/").await.assert_success();
}
