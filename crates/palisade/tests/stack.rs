//! The whole stack around a service, without a server.

use std::{convert::Infallible, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, response};
use http_body_util::{BodyExt, Full};
use palisade::{
    ApiError, Body, BoxError, ErrorFormat, ErrorLayer, PeerAddr, Principal, TrustedProxies,
    auth::{Identity, Jwt, RequireRole, public, rules::role, testing::sign_hs256},
    body::{BodyLimit, Deadline},
    cors::Cors,
    headers::SecurityHeaders,
    observe::{Observe, RequestIds},
    rate_limit::{Quota, RateLimit},
    stack,
    testing::{Contract, Probe, ProbeError, Script, Step},
    validate::ValidateLayer,
    webhook::Webhook,
};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};

const SECRET: &str = "a signing key of at least thirty-two bytes";

#[derive(serde::Deserialize)]
struct Claims {
    sub: String,
}

#[derive(serde::Deserialize, garde::Validate)]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Item {
    name: String,
}

fn auth() -> Jwt<Claims> {
    Jwt::hs256(SECRET).any_audience().build().unwrap()
}

fn cors() -> Cors {
    Cors::allow_origins(["https://app.example.com"]).build().unwrap()
}

fn per_address(limit: u32) -> RateLimit {
    RateLimit::per_address(Quota::per(limit, Duration::from_secs(3600))).build().unwrap()
}

/// A request that every policy allows.
fn request<B>(body: B) -> Request<B> {
    let token = sign_hs256(SECRET, &json!({"sub": "ada", "exp": u32::MAX, "roles": ["admin"]}));
    let mut request = Request::post("/items")
        .header(header::ORIGIN, "https://app.example.com")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .unwrap();
    request.extensions_mut().insert(PeerAddr(([192, 0, 2, 1], 4000).into()));
    request
}

fn good() -> Request<Full<Bytes>> {
    request(Full::from(r#"{"name":"lamp"}"#))
}

async fn answer<S, B>(service: S, request: Request<Full<Bytes>>) -> (response::Parts, Value)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn each_step_rejects_and_outer_steps_process_the_rejection() {
    let limit = per_address(6);
    let per_user =
        RateLimit::per_principal(Quota::per(2, Duration::from_secs(3600))).build().unwrap();
    let service = stack()
        .observe(RequestIds::new())
        .errors(ErrorLayer::new())
        .cors(cors())
        .rate_limit(&limit)
        .auth(&auth())
        .role(["admin"])
        .rate_limit(&per_user)
        .timeout(Deadline::new(Duration::from_secs(60)))
        .body_limit(BodyLimit::new(100))
        .validate(ValidateLayer::<Item>::new())
        .wrap(service_fn(|request: Request<_>| async move {
            let identity =
                Identity::<Claims>::from_extensions(request.extensions()).expect("auth ran");
            assert_eq!(identity.claims().sub, "ada");
            assert!(request.extensions().get::<Principal>().is_some());
            let body = request.into_body();
            Ok::<_, Infallible>(Response::new(body))
        }));

    let mut nobody = good();
    nobody.headers_mut().remove(header::AUTHORIZATION);
    let mut preflight = good();
    *preflight.method_mut() = http::Method::OPTIONS;
    preflight.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
    #[rustfmt::skip]
    let steps = [
        (preflight, 204, Value::Null),
        (nobody, 401, json!("UNAUTHENTICATED")),
        (request(Full::from("{}")), 400, json!("VALIDATION_ERROR")),
        (good(), 200, Value::Null),
        // the third of this principal
        (good(), 429, json!("RATE_LIMITED")),
        (good(), 429, json!("RATE_LIMITED")),
        (good(), 429, json!("RATE_LIMITED")),
        // the seventh of this address: the preflight was free
        (good(), 429, json!("RATE_LIMITED")),
    ];
    for (step, (request, status, code)) in steps.into_iter().enumerate() {
        let (head, body) = answer(service.clone(), request).await;
        assert_eq!((head.status.as_u16(), &body["error"]["code"]), (status, &code), "step {step}");
        assert_eq!(head.headers["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(head.headers["vary"], "Origin");
        assert!(head.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn service_failure_passes_all_policies_on_the_way_out() {
    async fn fails(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
        assert!(request.uri().path() == "/never", "a panic");
        Err("an error".into())
    }
    for format in [ErrorFormat::Envelope, ErrorFormat::Problem, ErrorFormat::Flat] {
        for path in ["/panics", "/never"] {
            let service = stack()
                .observe(RequestIds::new())
                .errors(ErrorLayer::new().format(format.clone()))
                .cors(cors())
                .rate_limit(per_address(10))
                .wrap(service_fn(fails));
            let mut request = good();
            *request.uri_mut() = path.parse().unwrap();
            let (head, body) = answer(service, request).await;
            assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(head.headers["access-control-allow-origin"], "https://app.example.com");
            assert!(head.headers.contains_key("ratelimit"), "the limit finished too");
            let problem = matches!(format, ErrorFormat::Problem);
            let media_type = if problem { "application/problem+json" } else { "application/json" };
            assert_eq!(head.headers["content-type"], media_type);
            assert_eq!(body.to_string().matches("INTERNAL").count(), 1, "{body}");
        }
    }
}

#[tokio::test]
async fn undecided_response_is_withheld_in_the_stack_format() {
    let errors = || ErrorLayer::new().format(ErrorFormat::Flat);
    let hello = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::from("\"hello\"")))
    });
    let undecided = stack().errors(errors()).cors(cors()).deny_undecided();

    let (head, body) = answer(undecided.wrap(hello), good()).await;
    assert_eq!((head.status, &body["code"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")));
    assert_eq!(head.headers["access-control-allow-origin"], "https://app.example.com");

    // an identity is no decision, a rule is, inside and outside
    let service = stack().errors(errors()).auth(&auth()).deny_undecided().wrap(hello);
    assert_eq!(answer(service, good()).await.0.status, StatusCode::FORBIDDEN);
    let service = stack().errors(errors()).deny_undecided().layer(public().layer()).wrap(hello);
    assert_eq!(answer(service, good()).await.1, json!("hello"));
    let service = stack().auth(&auth()).rule(role("admin")).deny_undecided().wrap(hello);
    assert_eq!(answer(service, good()).await.1, json!("hello"));
    let service = stack().auth(&auth()).deny_undecided().policy(RequireRole::any(["admin"]));
    assert_eq!(answer(service.wrap(hello), good()).await.1, json!("hello"));
    let service = stack().auth(&auth()).rule(role("root")).deny_undecided().wrap(hello);
    assert_eq!(answer(service, good()).await.0.status, StatusCode::FORBIDDEN);
}

#[derive(Debug)]
struct OutOfStock;

impl fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of stock")
    }
}

impl std::error::Error for OutOfStock {}

#[tokio::test]
async fn chains_of_policies_work_in_every_step() {
    use palisade::{Policy, WithAuth, any_of, auth::Authenticate};
    let staff = || auth().then(RequireRole::any(["admin"]));
    let nobody = || auth().then(RequireRole::any(["nobody"]));
    macro_rules! status {
        ($layer:expr) => {{
            let handler = service_fn(async |request: Request<_>| {
                let caller = request.extensions().get::<Principal>().map(Principal::method);
                let body = Full::from(caller.unwrap_or_default());
                Ok::<_, Infallible>(Response::new(body))
            });
            let service = Layer::layer(&$layer, handler);
            let response = service.oneshot(good()).await.unwrap();
            (response.status().as_u16(), response.collect().await.unwrap().to_bytes())
        }};
    }
    let passes = (200, Bytes::from("jwt"));
    assert_eq!(status!(stack().auth(&staff())), passes);
    assert_eq!(status!(stack().policy(staff())), passes);
    assert_eq!(status!(stack().auth(&any_of(nobody(), staff())).role(["admin"])), passes);
    assert_eq!(status!(stack().auth(&any_of(auth(), auth()).optional())), passes);
    assert_eq!(status!(ServiceBuilder::new().with_auth(&any_of(nobody(), auth()))), passes);
    assert_eq!(status!(ServiceBuilder::new().with_role(&staff(), ["admin"])), passes);
    assert_eq!(status!(stack().auth(&nobody())).0, 403);
    assert_eq!(status!(stack().policy(any_of(nobody(), nobody()))).0, 403);
}

#[tokio::test]
async fn custom_error_is_mapped_inside_any_layer() {
    let errors = ErrorLayer::new().map(|_: &OutOfStock| ApiError::conflict().with_code("SOLD_OUT"));
    let service = stack()
        .errors(errors)
        .cors(cors())
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .policy(())
        .wrap(service_fn(|_: Request<Full<Bytes>>| async {
            Err::<Response<Full<Bytes>>, BoxError>(OutOfStock.into())
        }));
    let (head, body) = answer(service, good()).await;
    assert_eq!((head.status.as_u16(), &body["error"]["code"]), (409, &json!("SOLD_OUT")));
    assert!(head.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn stack_without_errors_keeps_the_error_type_of_the_service() {
    let service = stack().cors(cors()).policy(()).wrap(Probe::new().failing());
    let outcome: Result<_, ProbeError> = service.oneshot(good()).await;
    assert_eq!(outcome.unwrap_err(), ProbeError);
}

#[test]
fn full_stack_keeps_the_layer_contract() {
    let contract = || {
        Contract::new(|| {
            request(Script::from_steps([Step::Data("{\"name\":"), Step::Data("\"lamp\"}")]))
        })
    };
    let (limit, auth, cors) = (per_address(u32::MAX), auth(), cors());
    let per_user =
        RateLimit::per_principal(Quota::per(u32::MAX, Duration::from_secs(60))).build().unwrap();
    // the deadline arms tokio's timer
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    contract().check(|| stack().cors(&cors).rate_limit(&limit).auth(&auth).role(["admin"]));
    contract().where_failures_are_responses().check(|| {
        stack()
            .observe(RequestIds::new())
            .errors(ErrorLayer::new())
            .cors(&cors)
            .rate_limit(&limit)
            .auth(&auth)
            .role(["admin"])
            .rate_limit(&per_user)
            .timeout(Deadline::new(Duration::from_secs(60)))
            .body_limit(BodyLimit::new(1024))
            .validate(ValidateLayer::<Item>::new())
    });
}

/// A service that Palisade has put one body around, and nothing else.
fn has_one_body<S, ReqB>(_: &S)
where
    S: Service<Request<ReqB>, Response = Response<Body<Full<Bytes>>>>,
{
}

#[test]
fn all_steps_of_a_stack_share_one_body() {
    async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::from("hello")))
    }
    /// Checks the response body of a stack and of the same stack as a layer.
    macro_rules! has_one_body {
        ($($stack:expr),+ $(,)?) => {$(
            let stack = $stack;
            has_one_body::<_, Full<Bytes>>(&stack.wrap(service_fn(hello)));
            let service = ServiceBuilder::new().layer(stack).service_fn(hello);
            has_one_body::<_, Full<Bytes>>(&service);
        )+};
    }
    let (limit, auth, cors) = (per_address(9), auth(), cors());
    let security = SecurityHeaders::api().build().unwrap();
    let timeout = Deadline::new(Duration::from_secs(60)).idle(Duration::from_secs(60));
    let body_limit = BodyLimit::new(1024);
    let webhook = Webhook::github("an example key of thirty-two bytes, or more").build().unwrap();
    let validate = ValidateLayer::<Item>::new();
    let ids = || stack().observe(RequestIds::new());
    let errors = || stack().errors(ErrorLayer::new());
    has_one_body! {
        ids(),
        errors(),
        stack().policy(()),
        stack().timeout(timeout),
        stack().body_limit(&body_limit),
        stack().webhook(&webhook),
        stack().validate(&validate),
        ids().errors(ErrorLayer::new()),
        ids().body_limit(&body_limit),
        errors().timeout(timeout),
        errors().webhook(&webhook).policy(()).validate(&validate),
        errors().deny_undecided().policy(()).timeout(timeout),
        ids().policy(()).timeout(timeout).policy(()).body_limit(&body_limit).policy(()),
        stack().timeout(timeout).body_limit(&body_limit).webhook(&webhook).validate(&validate),
        stack()
            .client_ip(TrustedProxies::networks(["192.0.2.0/24"]).build().unwrap())
            .observe(Observe::new())
            .errors(ErrorLayer::new())
            .security_headers(&security)
            .cors(&cors)
            .rate_limit(&limit)
            .auth(&auth)
            .role(["admin"])
            .deny_undecided()
            .timeout(timeout)
            .body_limit(&body_limit)
            .webhook(&webhook)
            .validate(&validate)
            .policy(()),
    }
}

#[test]
fn stack_is_a_clonable_layer() {
    fn is_layer<L: Layer<Probe> + Clone + Send + Sync + 'static>(_: &L) {}
    let stack = stack().observe(RequestIds::new()).errors(ErrorLayer::new()).cors(cors());
    is_layer(&stack);
    assert_eq!(format!("{stack:?}"), "Stack { at: \"CrossOrigin\", .. }");
}
