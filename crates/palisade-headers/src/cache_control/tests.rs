use std::time::Duration;

use http::{HeaderName, Request, Response, StatusCode};
use tower::{Layer, ServiceExt};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The response's headers, after the service answered with this status and these headers.
fn finished(
    cache: &CacheControl,
    request: Request<()>,
    status: StatusCode,
    own: Pairs<'_>,
) -> HeaderMap {
    let (request, ()) = request.into_parts();
    let Decision::Now(Ok(asked)) = cache.decide(&request) else {
        panic!("the request was rejected")
    };
    let (mut response, ()) = Response::new(()).into_parts();
    response.status = status;
    for (name, value) in own {
        let name: HeaderName = name.parse().unwrap();
        response.headers.append(name, value.parse().unwrap());
    }
    cache.finish(asked, &mut response);
    response.headers
}

fn value(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::CACHE_CONTROL).iter();
    let value = values.next();
    assert!(values.next().is_none(), "Cache-Control comes once");
    value.map(|value| value.to_str().unwrap())
}

fn get() -> Request<()> {
    Request::new(())
}

fn with_credentials() -> Request<()> {
    Request::get("/").header("authorization", "Bearer x").body(()).unwrap()
}

fn of_ada() -> Request<()> {
    Request::get("/").extension(Principal::new("ada")).body(()).unwrap()
}

fn by(method: &str) -> Request<()> {
    Request::builder().method(method).body(()).unwrap()
}

#[test]
fn each_kind_of_response_gets_its_cache_control() {
    let public = || CacheControl::public().max_age(MINUTE);
    let all = [
        CacheControl::new(),
        public().build().unwrap(),
        CacheControl::private().max_age(MINUTE).build().unwrap(),
        public().insecure_share_authenticated().build().unwrap(),
        CacheControl::no_cache().build().unwrap(),
    ];
    let cookie: Pairs<'_> = &[("set-cookie", "a=b")];
    const OF_PUBLIC: Option<&str> = Some("public, max-age=60");
    const OF_PRIVATE: Option<&str> = Some("private, max-age=60");
    const NO_CACHE: Option<&str> = Some("no-cache");
    const NO_STORE: Option<&str> = Some("no-store");
    const PERSONAL: Option<&str> = Some("private, no-store");
    let declared = [None, OF_PUBLIC, OF_PRIVATE, OF_PUBLIC, NO_CACHE];
    let personal = [PERSONAL, PERSONAL, OF_PRIVATE, OF_PUBLIC, PERSONAL];
    let failed = [NO_STORE; 5];
    type Row<'a> = (Request<()>, u16, Pairs<'a>, [Option<&'a str>; 5]);
    let rows: [Row<'_>; 26] = [
        (get(), 200, &[], declared),
        (by("HEAD"), 200, &[], declared),
        (get(), 206, &[], declared),
        (get(), 304, &[], declared),
        (get(), 301, &[], declared),
        // with Set-Cookie, or after Authorization
        (get(), 200, cookie, personal),
        (get(), 304, cookie, personal),
        (with_credentials(), 200, &[], personal),
        (by("HEAD"), 200, cookie, personal),
        (of_ada(), 200, &[], personal),
        (with_credentials(), 200, cookie, personal),
        // errors
        (get(), 400, &[], failed),
        (get(), 401, &[], failed),
        (with_credentials(), 403, &[], failed),
        (get(), 404, &[], failed),
        (get(), 405, &[], failed),
        (get(), 429, cookie, failed),
        (get(), 500, &[], failed),
        (get(), 503, &[], failed),
        // Methods whose responses are not cached.
        (by("POST"), 200, &[], failed),
        (by("DELETE"), 204, &[], failed),
        (by("QUERY"), 200, &[], failed),
        (by("OPTIONS"), 204, &[], failed),
        // Headers of the service.
        (get(), 404, &[("expires", "Thu, 01 Dec 1994 16:00:00 GMT")], [None; 5]),
        (get(), 200, &[("expires", "0")], [None; 5]),
        // no response yet
        (get(), 101, &[], [None; 5]),
    ];
    for (request, status, own, expected) in rows {
        for (cache, expected) in all.iter().zip(expected) {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = finished(cache, request.clone(), status, own);
            assert_eq!(value(&headers), expected, "{cache:?} {request:?} {status} {own:?}");
        }
    }
}

#[test]
fn cache_control_of_the_service_is_unchanged() {
    let cache = CacheControl::public().max_age(MINUTE).build().unwrap();
    for own in ["max-age=5", "public, max-age=1", "no-cache", ""] {
        for request in [get(), with_credentials(), by("POST")] {
            for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
                let pairs = [("cache-control", own), ("set-cookie", "a=b")];
                let headers = finished(&cache, request.clone(), status, &pairs);
                assert_eq!(value(&headers), Some(own));
                assert!(!headers.contains_key(header::VARY));
            }
        }
    }
}

#[test]
fn shared_responses_vary_by_authorization() {
    let public = CacheControl::public().max_age(MINUTE);
    let shared = public.clone().build().unwrap();
    let for_all = public.insecure_share_authenticated().build().unwrap();
    let private = CacheControl::private().max_age(MINUTE).build().unwrap();
    let vary = |cache: &CacheControl, request, own| {
        let headers = finished(cache, request, StatusCode::OK, own);
        let lines = headers.get_all(header::VARY).iter();
        lines.map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(vary(&shared, get(), &[]), ["Authorization"]);
    assert_eq!(vary(&shared, get(), &[("vary", "Origin")]), ["Origin, Authorization"]);
    assert_eq!(vary(&shared, get(), &[("vary", "authorization")]), ["authorization"]);
    for (cache, request) in [
        (&shared, with_credentials()),
        (&for_all, get()),
        (&private, get()),
        (&CacheControl::new(), get()),
    ] {
        assert!(vary(cache, request, &[]).is_empty());
    }
}

#[test]
fn grpc_rejection_with_200_is_not_cached() {
    let cache = CacheControl::public().max_age(MINUTE).build().unwrap();
    let Decision::Now(Ok(asked)) = cache.decide(&get().into_parts().0) else { panic!() };
    let (mut response, ()) = Response::new(()).into_parts();
    response.extensions.insert(ApiError::rate_limited());
    cache.finish(asked, &mut response);
    assert_eq!(value(&response.headers), Some("no-store"));
}

#[test]
fn directives_follow_rfc_9111() {
    let second = Duration::from_secs(1);
    for (builder, expected) in [
        (
            CacheControl::public()
                .max_age(MINUTE)
                .s_maxage(second)
                .stale_while_revalidate(second)
                .stale_if_error(MINUTE)
                .no_transform(),
            "public, max-age=60, s-maxage=1, stale-while-revalidate=1, stale-if-error=60, no-transform",
        ),
        (CacheControl::public().max_age(MINUTE).immutable(), "public, max-age=60, immutable"),
        (
            CacheControl::private().max_age(Duration::ZERO).must_revalidate(),
            "private, max-age=0, must-revalidate",
        ),
        (CacheControl::no_cache().private(), "private, no-cache"),
        (CacheControl::no_store().private().no_transform(), "private, no-store, no-transform"),
        (CacheControl::no_cache().max_age(Duration::ZERO), "no-cache, max-age=0"),
        (
            CacheControl::public().s_maxage(MINUTE).proxy_revalidate(),
            "public, s-maxage=60, proxy-revalidate",
        ),
        (
            CacheControl::public().max_age(Duration::from_secs(1 << 31)),
            "public, max-age=2147483648",
        ),
    ] {
        let cache = builder.build().unwrap();
        assert_eq!(cache.0.declared.as_ref().unwrap().value, expected);
    }
}

#[test]
fn contradictory_directives_are_config_errors() {
    let (public, private, no_store, no_cache) = (
        CacheControl::public,
        CacheControl::private,
        CacheControl::no_store,
        CacheControl::no_cache,
    );
    for (builder, setting) in [
        (public().private(), "public"),
        (private().public(), "public"),
        (no_store().max_age(MINUTE), "no_store"),
        (no_store().max_age(Duration::ZERO), "no_store"),
        (no_store().s_maxage(MINUTE), "no_store"),
        (no_store().stale_if_error(MINUTE), "no_store"),
        (no_store().stale_while_revalidate(MINUTE), "no_store"),
        (no_store().immutable(), "no_store"),
        (no_store().public(), "no_store"),
        (no_store().no_cache(), "no_store"),
        (no_store().must_revalidate(), "no_store"),
        (private().s_maxage(MINUTE), "s_maxage"),
        (private().max_age(MINUTE).proxy_revalidate(), "proxy_revalidate"),
        (no_cache().max_age(MINUTE), "no_cache"),
        (no_cache().s_maxage(MINUTE), "no_cache"),
        (public().immutable(), "immutable"),
        (public().max_age(Duration::ZERO).immutable(), "immutable"),
        (public().s_maxage(MINUTE).immutable(), "immutable"),
        (no_cache().immutable(), "immutable"),
        (public().stale_while_revalidate(MINUTE), "stale"),
        (public().max_age(MINUTE).must_revalidate().stale_if_error(MINUTE), "stale"),
        (no_cache().stale_while_revalidate(MINUTE), "stale"),
        (public().must_revalidate(), "must_revalidate"),
        (private().insecure_share_authenticated(), "insecure_share_authenticated"),
        (public().max_age(Duration::from_millis(1)), "max_age"),
        (public().s_maxage(Duration::from_secs((1 << 31) + 1)), "s_maxage"),
        (CacheControlBuilder::default(), "cache_control"),
    ] {
        let error = builder.clone().build().expect_err(setting);
        assert_eq!(error.setting(), setting, "{builder:?}");
    }
}

#[test]
fn page_with_a_nonce_is_never_shared() {
    let cache = CacheControl::public().max_age(MINUTE).build().unwrap();
    let csp = crate::ContentSecurityPolicy::default_src([crate::ContentSecurityPolicy::NONCE]);
    let security = crate::SecurityHeaders::pages().content_security_policy(csp).build().unwrap();
    for cache_is_outside in [true, false] {
        let (mut request, ()) = get().into_parts();
        let asked_outside = cache.decide(&request);
        let Decision::Now(Ok(mut grant)) = security.decide(&request) else { panic!("it passes") };
        security.admit(&mut grant, &mut request);
        let asked = if cache_is_outside { asked_outside } else { cache.decide(&request) };
        let Decision::Now(Ok(asked)) = asked else { panic!("it passes") };
        let (mut response, ()) = Response::new(()).into_parts();
        if cache_is_outside {
            security.finish(grant, &mut response);
            cache.finish(asked, &mut response);
        } else {
            cache.finish(asked, &mut response);
            security.finish(grant, &mut response);
        }
        assert_eq!(value(&response.headers), Some("private, no-store"), "{cache_is_outside}");
    }
}

/// Authenticates all requests, inside of the policy under test.
struct Certificate;

impl Policy for Certificate {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(Principal::new("ada"));
    }
}

#[tokio::test]
async fn authentication_inside_makes_public_responses_private() {
    let service = || {
        tower::service_fn(async |_: Request<()>| {
            Ok::<_, std::convert::Infallible>(Response::new(""))
        })
    };
    let cache = CacheControl::public().max_age(MINUTE).build().unwrap();
    let chain = PolicyLayer::new(cache.clone().then(Certificate)).layer(service());
    let nested = cache.layer().layer(PolicyLayer::new(Certificate).layer(service()));
    let chain = chain.oneshot(get()).await.unwrap();
    let nested = nested.oneshot(get()).await.unwrap();
    for headers in [chain.headers(), nested.headers()] {
        assert_eq!(value(headers), Some("private, no-store"));
    }
}
