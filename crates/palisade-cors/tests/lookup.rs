//! Lookups of origins, and configurations that change during requests.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{HeaderMap, Request, Response, StatusCode, header, request};
use palisade_core::{
    Decision, Halt, Policy,
    testing::{Contract, Script},
};
use palisade_cors::{Cors, CorsBuilder, CorsGrant};
use tokio::sync::oneshot;

const APP: &str = "https://app.example.com";
const SHOP: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";

/// A database that knows one origin, and fails at another.
fn asks(asked: &Arc<Mutex<Vec<String>>>) -> CorsBuilder {
    let asked = Arc::clone(asked);
    Cors::allow_origins([APP]).allow_credentials(true).allow_origin_lookup(move |origin| {
        asked.lock().unwrap().push(origin.clone());
        async move {
            tokio::task::yield_now().await;
            match &*origin {
                SHOP => Ok(true),
                "https://fails.example" => Err(io::Error::other("the database is down")),
                _ => Ok(false),
            }
        }
    })
}

fn head(method: &str, origin: &str) -> request::Parts {
    let mut request = Request::builder().method(method).header(header::ORIGIN, origin);
    if method == "OPTIONS" {
        request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    }
    request.body(()).unwrap().into_parts().0
}

async fn decided(cors: &Cors, method: &str, origin: &str) -> Result<CorsGrant, Halt> {
    match cors.decide(&head(method, origin)) {
        Decision::Now(decided) => decided,
        Decision::Later(decision) => decision.await,
    }
}

fn finished(cors: &Cors, grant: CorsGrant) -> HeaderMap {
    let (mut response, ()) = Response::new(()).into_parts();
    cors.finish(grant, &mut response);
    assert_eq!(response.headers[header::VARY], "Origin");
    response.headers
}

async fn allowed(cors: &Cors, origin: &str) -> bool {
    let headers = finished(cors, decided(cors, "GET", origin).await.unwrap());
    let allows = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    assert_eq!(allows.is_some(), headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    assert!(allows.is_none_or(|allowed| allowed == origin));
    allows.is_some()
}

async fn preflight(cors: &Cors, origin: &str) -> (StatusCode, bool) {
    match decided(cors, "OPTIONS", origin).await {
        Err(Halt::Reply(reply)) => {
            assert_eq!(reply.headers()[header::VARY], "Origin");
            (reply.status(), reply.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN))
        }
        Err(Halt::Refuse(error)) => {
            assert_eq!(error.headers()[header::VARY], "Origin");
            (error.status(), false)
        }
        Ok(_) => panic!("a preflight is answered"),
    }
}

#[tokio::test]
async fn origin_allowed_by_the_lookup_may_read() {
    let asked = Arc::default();
    let cors = asks(&asked).build().unwrap();
    assert!(allowed(&cors, SHOP).await);
    assert!(!allowed(&cors, EVIL).await);
    assert_eq!(preflight(&cors, SHOP).await, (StatusCode::NO_CONTENT, true));
    assert_eq!(preflight(&cors, EVIL).await, (StatusCode::FORBIDDEN, false));
    assert_eq!(*asked.lock().unwrap(), [SHOP, EVIL], "each answer is remembered");
}

#[tokio::test]
async fn lookup_runs_for_unlisted_origins_only() {
    let asked = Arc::default();
    let cors = asks(&asked).build().unwrap();
    assert!(allowed(&cors, APP).await);
    for origin in [
        "null",
        "",
        "https://shop.example/",
        "https://Shop.example",
        "https://shop.example, https://shop.example",
        "https://shop.example:443",
        "https://shop.example' or 1=1",
        "http://shop.example", // an attacker on the network can forge this page, and credentials are allowed
    ] {
        assert!(!allowed(&cors, origin).await, "{origin}");
        assert_eq!(preflight(&cors, origin).await, (StatusCode::FORBIDDEN, false), "{origin}");
    }
    let (request, ()) = Request::get("/").body(()).unwrap().into_parts();
    assert!(matches!(cors.decide(&request), Decision::Now(Ok(_))));
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn failed_lookup_allows_no_page_and_is_503_in_strict_mode() {
    let asked = Arc::default();
    let fails = "https://fails.example";
    let cors = asks(&asked).build().unwrap();
    assert!(!allowed(&cors, fails).await, "the request is served, and stays unreadable");
    assert_eq!(preflight(&cors, fails).await, (StatusCode::SERVICE_UNAVAILABLE, false));

    let strict = asks(&asked).strict(true).build().unwrap();
    let Err(Halt::Refuse(error)) = decided(&strict, "POST", fails).await else {
        panic!("a strict policy that cannot tell lets nobody in")
    };
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error.headers()[header::VARY], "Origin");
    let Err(Halt::Refuse(error)) = decided(&strict, "POST", EVIL).await else {
        panic!("a strict policy refuses")
    };
    assert_eq!(error.status(), StatusCode::FORBIDDEN);
    assert!(decided(&strict, "POST", SHOP).await.is_ok());
}

#[test]
fn keeps_the_policy_contract_during_a_lookup() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let request = |origin: &'static str| {
        move || Request::get("/").header(header::ORIGIN, origin).body(Script::empty()).unwrap()
    };
    let cors = || {
        Cors::builder()
            .allow_origin_lookup(|origin| async move { Ok::<_, io::Error>(origin == SHOP) })
            .build()
            .unwrap()
    };
    Contract::new(request(SHOP)).check_policy(cors);
    Contract::new(request(EVIL)).check_policy(cors);
}

#[tokio::test]
async fn request_keeps_its_configuration() {
    let cors = Cors::allow_origins([APP]).allow_credentials(true).build().unwrap();
    let clone = cors.clone();
    let begun = decided(&cors, "GET", APP).await.unwrap();
    let refused = decided(&cors, "GET", SHOP).await.unwrap();

    cors.handle().reconfigure(Cors::allow_origins([SHOP]).expose_headers(["ETag"])).unwrap();

    let headers = finished(&cors, begun);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("Retry"));
    assert!(!finished(&cors, refused).contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));

    for cors in [&cors, &clone] {
        let headers = finished(cors, decided(cors, "GET", SHOP).await.unwrap());
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert_eq!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS], "ETag");
        assert_eq!(preflight(cors, APP).await, (StatusCode::FORBIDDEN, false));
    }
}

#[tokio::test]
async fn lookup_keeps_its_configuration() {
    let (sender, answer) = oneshot::channel();
    let answer = Mutex::new(Some(answer));
    let cors = Cors::allow_origins([APP])
        .max_age(std::time::Duration::from_secs(60))
        .allow_origin_lookup(move |_| answer.lock().unwrap().take().expect("asked once"))
        .build()
        .unwrap();
    let Decision::Later(decision) = cors.decide(&head("OPTIONS", SHOP)) else { panic!("asks") };
    cors.handle().reconfigure(Cors::allow_origins([EVIL])).unwrap();
    sender.send(true).unwrap();
    let Err(Halt::Reply(reply)) = decision.await else { panic!("a preflight is answered") };
    assert_eq!(reply.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
    assert_eq!(reply.headers()[header::ACCESS_CONTROL_MAX_AGE], "60");
    assert_eq!(preflight(&cors, SHOP).await, (StatusCode::FORBIDDEN, false));
}

#[test]
fn invalid_reconfiguration_changes_nothing() {
    let cors = Cors::allow_origins([APP]).build().unwrap();
    let error = cors.handle().reconfigure(Cors::allow_origins(["https://b.com/"])).unwrap_err();
    assert_eq!(error.setting(), "allow_origin");
    let Decision::Now(Ok(grant)) = cors.decide(&head("GET", APP)) else { panic!("passes") };
    assert_eq!(finished(&cors, grant)[header::ACCESS_CONTROL_ALLOW_ORIGIN], APP);
}

/// Two configurations take turns while requests run: each response is one of the two, whole.
#[test]
fn each_response_follows_one_configuration() {
    let one = || Cors::allow_origins([APP]).allow_credentials(true).expose_headers(["One"]);
    let two = || Cors::builder().any_origin().expose_headers(["Two"]);
    let cors = one().build().unwrap();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let handle = cors.handle();
        let done = &done;
        scope.spawn(move || {
            while done.load(Ordering::Relaxed) < 2 {
                handle.reconfigure(two()).unwrap();
                handle.reconfigure(one()).unwrap();
            }
        });
        for _ in 0..2 {
            let cors = cors.clone();
            scope.spawn(move || {
                for _ in 0..2000 {
                    let Decision::Now(Ok(grant)) = cors.decide(&head("GET", APP)) else { panic!() };
                    let (mut response, ()) = Response::new(()).into_parts();
                    cors.finish(grant, &mut response);
                    let text = |name| response.headers.get(name).map(|v| v.to_str().unwrap());
                    let seen = (
                        text(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                        text(header::ACCESS_CONTROL_ALLOW_CREDENTIALS),
                        text(header::ACCESS_CONTROL_EXPOSE_HEADERS),
                        text(header::VARY),
                    );
                    let of_one = (Some(APP), Some("true"), Some("One"), Some("Origin"));
                    let of_two = (Some("*"), None, Some("Two"), None);
                    assert!(seen == of_one || seen == of_two, "{seen:?}");
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
}
