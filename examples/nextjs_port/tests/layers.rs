//! Layers: limits, browsers, webhooks, caches, redirects and probes.

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use palisade::{Clock, PeerAddr, SystemClock, webhook::Stripe};
use tower::ServiceExt;

use super::Api;
use crate::{
    config::{Config, MissingVariables},
    webhooks::partner_scheme,
};

#[tokio::test]
async fn sliding_window_counts_by_address_and_by_user() {
    let api = Api::new();
    let search = async |user: String, address: String| {
        let request = Request::get("/api/search").header("x-forwarded-for", address);
        api.send(request.header("authorization", api.bearer(&user, &[])), Body::empty()).await
    };
    // Two windows may meet during the test, so that up to 20 requests are admitted.
    let mut by_user = 0;
    let limited = loop {
        let answer = search("ada".to_owned(), format!("203.0.113.{by_user}")).await;
        if answer.status != 200 {
            break answer;
        }
        by_user += 1;
    };
    assert!((10..=20).contains(&by_user), "{by_user}");
    assert_eq!((limited.status, &*limited.code()), (429, "RATE_LIMITED"));
    assert!(limited.header("retry-after").parse::<u32>().unwrap() <= 11);
    let mut by_address = 0;
    while search(format!("user {by_address}"), "203.0.113.99".to_owned()).await.status == 200 {
        by_address += 1;
    }
    assert!((10..=20).contains(&by_address), "{by_address}");
    assert_eq!(search("grace".to_owned(), "203.0.113.100".to_owned()).await.status, 200);
}

#[tokio::test]
async fn preflight_of_a_listed_origin_is_answered() {
    let api = Api::new();
    let preflight = async |origin: &str| {
        let request = Request::options("/api/items").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "content-type");
        api.send(request, Body::empty()).await
    };
    let listed = preflight("https://app.example.com").await;
    assert_eq!(listed.status, 204);
    assert!(listed.header("access-control-allow-methods").contains("POST"));
    assert_eq!(listed.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(listed.header("access-control-allow-credentials"), "true");
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "");
    // Errors have the headers too, so that a page can read them.
    let request = Request::get("/api/me").header("origin", "https://app.example.com");
    let error = api.send(request, Body::empty()).await;
    assert_eq!(error.header("access-control-allow-origin"), "https://app.example.com");
}

#[tokio::test]
async fn webhooks_are_verified_over_the_raw_body() {
    let api = Api::new();
    let send = async |path: &str, headers: HeaderMap, body: &str| {
        let mut request = Request::post(path);
        request.headers_mut().unwrap().extend(headers);
        api.send(request, body.to_owned()).await
    };
    let now = SystemClock.unix();
    let event = r#"{"id": "evt_1",  "type": "invoice.paid"}"#;
    let signed = Stripe::sign(api.config.stripe_secret.clone(), now, event.as_bytes()).unwrap();
    let stripe = "/api/webhooks/stripe";
    assert_eq!(send(stripe, signed.clone(), event).await.json()["data"], "invoice.paid");
    let again = send(stripe, signed.clone(), event).await;
    assert_eq!((again.status, again.text().contains("invoice")), (200, false));
    assert_eq!(send(stripe, signed, &event.replace("  ", " ")).await.status, 401);
    assert_eq!(send(stripe, HeaderMap::new(), event).await.status, 401);

    let secret = api.config.partner_secret.clone();
    let signed = partner_scheme().sign(secret, "", now, b"hello").unwrap();
    assert_eq!(send("/api/webhooks/partner", signed.clone(), "hello").await.json()["data"], 5);
    assert_eq!(send("/api/webhooks/partner", signed, "hullo").await.status, 401);
}

#[tokio::test]
async fn each_response_has_a_request_id_and_security_headers() {
    let api = Api::new();
    for path in ["/api/items", "/nowhere", "/api/me"] {
        let answer = api.get(path).await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
}

#[tokio::test]
async fn streams_and_events_are_sent() {
    let api = Api::new();
    let stream = api.get("/api/stream").await;
    assert_eq!(stream.header("content-type"), "application/x-ndjson");
    assert_eq!(stream.text(), "{\"line\":1}\n{\"line\":2}\n{\"line\":3}\n");
    let events = api.get("/api/events").await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert!(events.text().starts_with("data: tick 1\n\n"));
}

#[tokio::test]
async fn cached_response_is_kept_until_its_tag_is_revalidated() {
    let api = Api::new();
    assert_eq!(api.get("/api/posts").await.json()["data"], 1);
    let hit = api.get("/api/posts").await;
    assert!(hit.header("cache-status").contains("hit"));
    assert_eq!(hit.json()["data"], 1);
    let revalidate =
        |bearer: String| Request::post("/api/revalidate/posts").header("authorization", bearer);
    assert_eq!(api.send(revalidate(api.bearer("ada", &[])), Body::empty()).await.status, 403);
    assert_eq!(
        api.send(revalidate(api.bearer("eve", &["admin"])), Body::empty()).await.status,
        204
    );
    assert_eq!(api.get("/api/posts").await.json()["data"], 2);
    let shared = "public, s-maxage=60, stale-while-revalidate=600";
    assert_eq!(api.get("/api/prices").await.header("cache-control"), shared);
}

#[tokio::test]
async fn other_methods_are_405_and_options_is_automatic() {
    let api = Api::new();
    let send = async |method: &str| {
        let request = Request::builder().method(method).uri("/api/items");
        api.send(request, Body::empty()).await
    };
    let patch = send("PATCH").await;
    assert_eq!((patch.status, &*patch.code()), (405, "METHOD_NOT_ALLOWED"));
    let options = send("OPTIONS").await;
    assert_eq!((options.status, options.text()), (204, String::new()));
    for answer in [patch, options] {
        let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    }
    let head = send("HEAD").await;
    assert_eq!((head.status, head.text()), (200, String::new()));
}

#[tokio::test]
async fn redirects_and_the_login() {
    let api = Api::new();
    let items = api.get("/items").await;
    assert_eq!((items.status, items.header("location")), (308, "/api/items"));
    assert_eq!(api.get("/me").await.status, 307);
    assert_eq!(api.get("/account").await.status, 401);
    let browser = Request::get("/account").header("accept", "text/html");
    let redirect = api.send(browser, Body::empty()).await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (303, "/login?return_to=%2Faccount")
    );

    let log_in = async |origin: &str, password: &str| {
        let request =
            Request::post("/login").header("host", "app.example").header("origin", origin);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        api.send(request, format!("password={password}&return_to=/account")).await
    };
    assert_eq!(log_in("https://evil.example", "correct+horse").await.status, 403);
    assert_eq!(log_in("https://app.example", "wrong").await.status, 401);
    let session = log_in("https://app.example", "correct+horse").await;
    assert_eq!((session.status, session.header("location")), (303, "/account"));
    let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
    let account = Request::get("/account").header("cookie", cookie);
    assert!(api.send(account, Body::empty()).await.text().contains("Hello Ada"));
}

#[tokio::test]
async fn bodies_responses_and_handlers_have_limits() {
    let api = Api::new();
    let json = |path| Request::post(path).header("content-type", "application/json");
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(api.send(json("/api/contact"), large).await.status, 413);
    assert_eq!(api.get("/api/slow").await.code(), "DEADLINE_EXCEEDED");
    let export = api.get("/api/export").await;
    assert_eq!((export.status, &*export.code()), (500, "RESPONSE_TOO_LARGE"));
}

#[tokio::test]
async fn country_is_believed_from_proxies_only() {
    let api = Api::new();
    let offers = |country| Request::get("/api/offers").header("x-vercel-ip-country", country);
    assert_eq!(api.send(offers("DE"), Body::empty()).await.text(), "offers for DE\n");
    assert_eq!(api.send(offers("US"), Body::empty()).await.code(), "COUNTRY_NOT_ALLOWED");
    assert_eq!(api.get("/api/offers").await.status, 403);
    let direct = offers("DE").extension(PeerAddr(([203, 0, 113, 7], 1).into()));
    let response = api.router.clone().oneshot(direct.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn feed_is_xml() {
    let feed = Api::new().get("/feed.xml").await;
    assert_eq!(feed.header("content-type"), "application/rss+xml; charset=utf-8");
    assert!(feed.text().contains("<title>Lamps &amp; chairs</title>"));
}

#[tokio::test]
async fn probes_are_outside_of_limits_and_logs() {
    let api = Api::new();
    for path in ["/health", "/ready"] {
        let probe = api.get(path).await;
        assert_eq!((probe.status, probe.header("x-request-id")), (200, ""));
    }
}

#[tokio::test]
async fn old_version_announces_its_end() {
    let old = Api::new().get("/api/v1/items").await;
    assert_eq!((old.status, old.header("deprecation")), (200, "@1782777600"));
    assert_eq!(old.header("sunset"), "Wed, 30 Jun 2027 00:00:00 GMT");
    assert_eq!(old.header("link"), "</api/items>; rel=\"successor-version\"");
}

#[test]
fn all_missing_variables_are_listed_at_once() {
    let some = |name: &str| (name == "TOKEN_SECRET").then(|| "secret".to_owned());
    let MissingVariables(missing) = Config::from_vars(some).err().unwrap();
    let rest = ["STRIPE_WEBHOOK_SECRET", "PARTNER_WEBHOOK_SECRET", "ADMIN_PASSWORD", "APP_ORIGIN"];
    assert_eq!(missing, rest);
    assert!(Config::from_vars(|_| Some("a value".to_owned())).is_ok());
}
