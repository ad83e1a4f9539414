use std::time::Duration;

use http::{HeaderValue, Request, request};
use palisade_core::{Decision, DecisionFlag, OneTimeUse, Policy, PolicyLayer, Principal};
use tower::Layer;

use super::*;

/// What an authentication of any scheme leaves.
fn by(principal: &Principal) -> request::Builder {
    Request::get("/me").extension(principal.clone())
}

#[tokio::test]
async fn responses_to_authenticated_requests_are_not_stored() {
    for cache_control in ["max-age=60", "public, max-age=60", "s-maxage=60, must-revalidate"] {
        for builder in [Cache::honour(), Cache::revalidate(Duration::from_secs(60))] {
            let site = Site::new(builder, move |_, _| ok().header("cache-control", cache_control));
            let ada = by(&Principal::new("ada"));
            assert_eq!(site.send(ada).await.1, "answer 1");
            let basic = Request::get("/me").header("authorization", "Basic YTpi");
            assert_eq!(site.send(basic).await.1, "answer 2");
            assert_eq!(site.get("/me").await.1, "answer 3", "{cache_control}");
            for name in ["x-api-key", "api-key", "x-auth-token", "x-access-token"] {
                let unknown = site.send(Request::get("/me").header(name, "k")).await;
                assert_eq!(status(&unknown.0), "Palisade; fwd=bypass", "{name}");
            }
            let calls = site.calls() + 1;
            let grace = by(&Principal::new("grace"));
            let (_, answer) = site.send(grace).await;
            assert_eq!(answer, format!("answer {calls}"), "nor are they served to others");
        }
    }
}

/// An authentication by a header that no cache knows.
struct ApiKey;

impl Policy for ApiKey {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        if request.headers.contains_key("x-own-key") {
            request.extensions.insert(Principal::new("ada"));
        }
    }
}

#[tokio::test]
async fn authentication_inside_the_cache_is_detected() {
    // also if the service itself allows all caches to store the response
    for own in [None, Some("max-age=60")] {
        let cache = Cache::revalidate(Duration::from_secs(60)).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let handler = tower::service_fn(move |_: Asked| {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut response = Response::new(Text::from("hello"));
            if let Some(own) = own {
                response.headers_mut().insert("cache-control", HeaderValue::from_static(own));
            }
            async { Ok::<_, Infallible>(response) }
        });
        let service = cache.layer(PolicyLayer::new(ApiKey).layer(handler));
        for expected in 1..=2 {
            let request = Request::get("/").header("x-own-key", "k").body(Text::default()).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()["cache-control"], own.unwrap_or("private"));
            assert_eq!(calls.load(Ordering::SeqCst), expected, "{own:?}");
        }
    }
}

#[tokio::test]
async fn entries_of_a_principal_require_the_same_roles_and_scopes() {
    let site = Site::new(Cache::honour().per_principal(), |_, _| {
        ok().header("cache-control", "private, max-age=60")
    });
    let ada = Principal::new("ada");
    let callers = [
        ada.clone(),
        Principal::new("grace"),
        ada.clone().issued_by("https://partner.example"),
        ada.clone().as_foreign(),
        ada.clone().with_roles(["admin"]),
        ada.clone().with_scopes(["admin"]),
        ada.clone().with_tenants(["admin"]),
        ada.clone().with_tenants(["admin"]).in_tenant("admin").unwrap(),
        ada.clone().with_roles(["a", "b"]),
        ada.clone().with_roles(["a"]).with_scopes(["b"]),
    ];
    for _ in 0..2 {
        for (number, caller) in callers.iter().enumerate() {
            let (_, body) = site.send(by(caller)).await;
            assert_eq!(body, format!("answer {}", number + 1), "{caller:?}");
        }
    }
    for _ in 0..2 {
        let (head, _) = site.get("/me").await;
        assert_eq!(status(&head), "Palisade; fwd=miss; detail=private", "without a caller");
    }
    let unchecked = Request::get("/me").header("authorization", "Bearer x");
    assert_eq!(status(&site.send(unchecked).await.0), "Palisade; fwd=bypass");
}

#[tokio::test]
async fn entries_of_a_tenant_are_shared_by_its_members() {
    let site = Site::new(Cache::honour().per_tenant(), |_, request| match request.uri().path() {
        "/me" => minute(),
        _ => ok().header("cache-control", "private, max-age=60"),
    });
    let member = |name: &str, tenant: &'static str| {
        Principal::new(name).with_tenants([tenant]).in_tenant(tenant).unwrap()
    };
    assert_eq!(site.send(by(&member("ada", "acme"))).await.1, "answer 1");
    assert_eq!(site.send(by(&member("grace", "acme"))).await.1, "answer 1");
    assert_eq!(site.send(by(&member("ada", "globex"))).await.1, "answer 2");
    let outside = Principal::new("ada").with_tenants(["acme"]);
    assert_eq!(status(&site.send(by(&outside)).await.0), "Palisade; fwd=bypass");
    let private = Request::get("/private").extension(member("ada", "acme"));
    assert_eq!(status(&site.send(private).await.0), "Palisade; fwd=miss; detail=private");
}

#[tokio::test]
async fn sharing_between_callers_requires_an_insecure_setting() {
    let site = Site::new(Cache::honour().insecure_share_authenticated(), |number, _| {
        let response = minute();
        if number == 1 { response } else { response.header("set-cookie", "a=b") }
    });
    assert_eq!(site.send(by(&Principal::new("ada"))).await.1, "answer 1");
    assert_eq!(site.send(by(&Principal::new("grace"))).await.1, "answer 1");
    for expected in ["answer 2", "answer 3"] {
        assert_eq!(site.get("/cookie").await.1, expected, "cookies are not shared in any mode");
    }
    assert!(Cache::honour().insecure_share_authenticated().per_principal().build().is_err());
}

#[tokio::test]
async fn hits_omit_fields_that_belong_to_the_first_request() {
    let site = Site::new(Cache::honour(), |number, request| {
        let origin = request.headers().get("origin").cloned();
        let response = minute().header("x-request-id", number).header("ratelimit", "r=1");
        let response = response.header("strict-transport-security", "max-age=1");
        match origin {
            Some(origin) => response.header("access-control-allow-origin", origin),
            None => response,
        }
    });
    let from = |origin: &str| Request::get("/a").header("origin", origin);
    let (first, _) = site.send(from("https://a.example")).await;
    assert_eq!(first.headers["access-control-allow-origin"], "https://a.example");
    let (hit, _) = site.send(from("https://b.example")).await;
    assert_eq!(status(&hit), "Palisade; hit");
    for name in
        ["access-control-allow-origin", "x-request-id", "ratelimit", "strict-transport-security"]
    {
        assert!(!hit.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn rejections_and_errors_of_palisade_are_not_stored() {
    let site = Site::with_handler(Cache::honour(), |_, request| {
        let error = palisade_core::ApiError::not_found();
        let (head, _) = request.into_parts();
        let mut response =
            palisade_core::ErrorContext::from_request(&head).render(error).map(Text::new);
        response.headers_mut().insert("cache-control", "max-age=60".parse().unwrap());
        Box::pin(std::future::ready(Ok(response)))
    });
    for _ in 0..2 {
        let (head, _) = site.get("/a").await;
        assert_eq!(status(&head), "Palisade; fwd=miss; detail=made-by-policy");
    }
}

/// A page with a nonce is broken if it is served with another one.
#[tokio::test]
async fn response_whose_handler_used_a_nonce_is_not_stored() {
    for (used, expected) in
        [(true, "Palisade; fwd=miss; detail=nonce"), (false, "Palisade; fwd=miss; stored")]
    {
        let site = Site::new(Cache::honour(), move |_, request| {
            if used {
                request.extensions().get::<OneTimeUse>().unwrap().record();
            }
            minute()
        });
        let mut request = Request::get("/a").body(Text::default()).unwrap();
        request.extensions_mut().insert(OneTimeUse::default());
        assert_eq!(status(&site.send_with(request).await.0), expected);
    }
}

/// The layer that requires a decision is outside, and the policy that decides is inside.
#[tokio::test]
async fn hits_report_the_decision_of_open_routes_only() {
    for (rule, expected) in [(false, true), (true, false)] {
        let site = Site::new(Cache::revalidate(Duration::from_secs(60)), move |_, request| {
            let decision = request.extensions().get::<DecisionFlag>().unwrap();
            decision.record_open();
            if rule {
                decision.record_rule();
            }
            ok()
        });
        let ask = async || {
            let mut request = Request::get("/a").body(Text::default()).unwrap();
            let decision = DecisionFlag::for_request(request.extensions_mut());
            let (head, _) = site.send_with(request).await;
            (status(&head).to_owned(), decision.is_decided())
        };
        assert!(ask().await.1);
        assert_eq!(ask().await, ("Palisade; hit".to_owned(), expected));
        site.wait(61);
        let stale = "Palisade; hit; detail=stale-while-revalidate".to_owned();
        assert_eq!(ask().await, (stale, expected));
        settle().await;
        assert_eq!(ask().await, ("Palisade; hit".to_owned(), expected), "after a renewal");
    }
}
