//! The field of a response that says why its request was rejected.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body_util::Full;
use palisade_core::{ApiError, Decision, Description, Policy, PolicyLayer, shadow};
use palisade_observe::{Explain, Observe};
use tower::{Layer, ServiceExt, service_fn};

struct Named(&'static str, bool);

impl Policy for Named {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        if self.1 { Decision::grant(()) } else { Decision::refuse(ApiError::forbidden()) }
    }

    fn describe(&self) -> Description {
        Description::new(self.0)
    }
}

async fn ask(observe: &Observe, request: Request<()>) -> HeaderMap {
    let chain = observe
        .clone()
        .then(Named("cors", true))
        .then(shadow(Named("new_rule", false)))
        .then(Named("old_rule", false));
    let service = PolicyLayer::new(chain).layer(service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    service.oneshot(request).await.unwrap().headers().clone()
}

const SECRET: &str = "a secret of at least sixteen bytes";

#[tokio::test]
async fn request_with_the_secret_gets_the_outcome_of_each_policy() {
    let explain = Explain::for_requests_with("x-explain", SECRET).unwrap();
    let observe = Observe::new().explain(explain);
    let request = |secret: &str| Request::get("/").header("x-explain", secret).body(()).unwrap();
    let told = ask(&observe, request(SECRET)).await;
    let told = told["x-palisade-explain"].to_str().unwrap().to_owned();
    let without_times: String = told.chars().filter(|c| !c.is_ascii_digit()).collect();
    assert_eq!(
        without_times,
        "cors=granted;us, new_rule=refused(FORBIDDEN) in shadow;us, old_rule=refused(FORBIDDEN);us"
    );
    for other in ["", "guess", &SECRET[1..]] {
        let headers = ask(&observe, request(other)).await;
        assert!(!headers.contains_key("x-palisade-explain"), "{other:?}");
    }
    let silent = ask(&Observe::new(), request(SECRET)).await;
    assert!(!silent.contains_key("x-palisade-explain"), "it is off by default");
    let open = Observe::new().explain(Explain::insecure_to_everybody());
    assert!(ask(&open, request("")).await.contains_key("x-palisade-explain"));
}
