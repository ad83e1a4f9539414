//! The stored requests and the page that shows them.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body_util::{BodyExt, Full};
use palisade_core::{ApiError, Decision, Description, Policy, PolicyLayer, Principal, shadow};
use palisade_observe::{AccessLog, Observe};
use palisade_recorder::Recorder;
use tower::{Layer, ServiceExt, service_fn};

struct Named(&'static str, bool);

impl Policy for Named {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        if self.1 { Decision::grant(()) } else { Decision::refuse(ApiError::forbidden()) }
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(Principal::new("<b>ada</b>"));
    }

    fn describe(&self) -> Description {
        Description::new(self.0)
    }
}

async fn ask(observe: &Observe, request: Request<()>) -> Response<Bytes> {
    let chain = observe
        .clone()
        .then(Named("cors", true))
        .then(shadow(Named("new_rule", false)))
        .then(Named("old_rule", false));
    let service = PolicyLayer::new(chain).layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    }));
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn stores_and_shows_the_last_200_requests() {
    let recorder = Recorder::new();
    let observe = Observe::new().without_access_log().report_to(recorder.reporter());
    for at in 0..203 {
        let request = Request::get("/").header("x-request-id", format!("req-{at}"));
        ask(&observe, request.body(()).unwrap()).await;
    }
    let all = recorder.json();
    let requests = all["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 200);
    assert_eq!(
        (&requests[0]["request_id"], &requests[199]["request_id"]),
        (&"req-202".into(), &"req-3".into())
    );
    let policies = &requests[0]["policies"];
    assert_eq!(policies.as_array().unwrap().len(), 3);
    assert_eq!(
        (&policies[1]["policy"], &policies[1]["shadow"]),
        (&"new_rule".into(), &true.into())
    );
    assert_eq!(
        (&policies[2]["outcome"], &policies[2]["code"]),
        (&"refused".into(), &"FORBIDDEN".into())
    );

    let show = async |uri: &str, accept: &str| {
        let request = Request::get(uri).header("accept", accept).body(()).unwrap();
        let (head, body) = recorder.page().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head, String::from_utf8(body.to_vec()).unwrap())
    };
    let (head, page) = show("/", "text/html").await;
    assert_eq!(head.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        head.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
    );
    assert_eq!(page.matches("<tr id=").count(), 200);
    for (uri, accept) in [("/?id=req-7&format=json", "*/*"), ("/?id=req-7", "application/json")] {
        let (head, json) = show(uri, accept).await;
        assert_eq!(head.headers["content-type"], "application/json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["requests"].as_array().unwrap().len(), 1);
        assert_eq!(json["requests"][0]["request_id"], "req-7");
    }
    let (_, page) = show("/?id=req-7", "text/html").await;
    assert_eq!(page.matches("<tr id=").count(), 1);

    let request = Request::builder().method(Method::POST).uri("/").body(()).unwrap();
    assert_eq!(recorder.page().oneshot(request).await.unwrap().status(), 405);
}

#[tokio::test]
async fn client_input_is_escaped_on_the_page() {
    let recorder = Recorder::new();
    let observe = Observe::new()
        .report_to(recorder.reporter())
        .access_log(AccessLog::new().query_parameters(["q"]));
    let request = Request::builder()
        .method("<I>")
        .uri("/%3Cscript%3E\"'&x?q='onload='alert(1)&token=s3cret")
        .body(());
    // what a URI may not have does not get this far
    let request = request.unwrap_or_else(|_| {
        Request::get("/a'b&c?q='onload='alert(1)&token=s3cret").body(()).unwrap()
    });
    ask(&observe, request).await;
    let page = recorder.html();
    assert!(!page.contains("s3cret"));
    assert!(!page.contains("'onload") && !page.contains("<b>ada"), "{page}");
    assert!(page.contains("&lt;b&gt;ada&lt;/b&gt;"));
    // self-contained: no script, nothing that is fetched
    for forbidden in ["<script", "src=", "<link", "@import", "url(", "http:", "https:"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}
