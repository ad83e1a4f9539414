//! Responses to authenticated requests and the caches between: whichever scheme authenticated the caller, on either side of
//! `CacheControl`, on tower and on axum, and through a real nginx.

use std::{
    convert::Infallible,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, request};
use http_body_util::{BodyExt, Full};
use palisade::{
    BoxError, BoxFuture, Decision, Policy, PolicyLayer, Principal, Stage, WithAuth, any_of,
    auth::{
        ApiKey, ApiKeys, Attempt, Authenticate, Basic, Identity, InMemoryApiKeys, Jwt, NewApiKey,
        Password, SessionStore, Sessions, testing::sign_hs256,
    },
    headers::CacheControl,
};
use palisade_tests::{Client, did_not_run};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

const SECRET: &str = "a signing key of at least thirty-two bytes";
const MINUTE: Duration = Duration::from_secs(60);
const USERS: [&str; 2] = ["ada", "eve"];

fn public() -> CacheControl {
    CacheControl::public().max_age(MINUTE).build().unwrap()
}

fn insecure() -> CacheControl {
    CacheControl::public().max_age(MINUTE).insecure_share_authenticated().build().unwrap()
}

/// The header field that each of the users sends.
type Credentials = [String; 2];

#[derive(Clone)]
struct Names;

impl SessionStore for Names {
    type Claims = ();

    fn find(&self, token: &str) -> BoxFuture<Result<Option<Identity<()>>, BoxError>> {
        let user = USERS.contains(&token).then(|| Identity::new((), Principal::new(token)));
        Box::pin(async move { Ok(user) })
    }
}

fn cookies() -> (Sessions<Names>, Credentials) {
    let sessions = Sessions::builder(Names).build().unwrap();
    (sessions, USERS.map(|user| format!("cookie: __Host-session={user}")))
}

fn api_keys() -> (ApiKeys<InMemoryApiKeys>, Credentials) {
    let keys = USERS.map(|user| ApiKey::generate("acme", Principal::new(user)).unwrap());
    let fields = keys.each_ref().map(|key| format!("x-api-key: {}", key.plaintext()));
    let store = InMemoryApiKeys::from_iter(keys.map(NewApiKey::into_record));
    (ApiKeys::builder("acme", store).build().unwrap(), fields)
}

fn basic() -> (impl Authenticate<Claims = ()> + Policy + Clone, Credentials) {
    let basic = Basic::builder(|user: String, password: Password| {
        let good = password.matches(&"right".into()) && USERS.contains(&&*user);
        async move { Ok::<_, BoxError>(good.then(|| Identity::new((), Principal::new(user)))) }
    });
    // `ada:right` and `eve:right`
    let fields = ["YWRhOnJpZ2h0", "ZXZlOnJpZ2h0"].map(|it| format!("authorization: Basic {it}"));
    (basic.build().unwrap(), fields)
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

fn jwt() -> (Jwt<Claims>, Credentials) {
    let fields = USERS.map(|sub| {
        let claims = Claims { sub: sub.into(), aud: "orders".into(), exp: u64::MAX / 2 };
        format!("authorization: Bearer {}", sign_hs256(SECRET, &claims))
    });
    (Jwt::hs256(SECRET).audience("orders").build().unwrap(), fields)
}

/// A scheme of the user's own.
#[derive(Clone)]
struct Gateway;

impl Authenticate for Gateway {
    type Claims = ();

    fn authenticate(&self, request: &request::Parts) -> Attempt<()> {
        match request.headers.get("x-gateway-user").and_then(|user| user.to_str().ok()) {
            Some(user) => Attempt::Now(Ok(Identity::new((), Principal::new(user)))),
            None => Attempt::Absent(self.invalid()),
        }
    }

    fn fields(&self) -> Vec<http::HeaderName> {
        vec![http::HeaderName::from_static("x-gateway-user")]
    }
}

impl Policy for Gateway {
    type Grant = Option<Identity<()>>;

    fn decide(&self, request: &request::Parts) -> Decision<Self::Grant> {
        self.authenticate(request).into_decision()
    }

    fn admit(&self, identity: &mut Self::Grant, request: &mut request::Parts) {
        if let Some(identity) = identity.take() {
            self.leave_identity(identity, request);
        }
    }
}

fn gateway() -> (Gateway, Credentials) {
    (Gateway, USERS.map(|user| format!("x-gateway-user: {user}")))
}

/// Every scheme, with what its users send.
macro_rules! for_each_scheme {
    (|$auth:ident, $credentials:ident| $body:block) => {
        for_each_scheme!(@ cookies() api_keys() basic() jwt() gateway(), |$auth, $credentials| $body);
        {
            let ((jwt, fields), (keys, _)) = (jwt(), api_keys());
            let ($auth, $credentials) = (any_of(keys, jwt), fields);
            $body
        }
    };
    (@ $($scheme:expr)*, |$auth:ident, $credentials:ident| $body:block) => {$({
        let ($auth, $credentials) = $scheme;
        $body
    })*};
}

async fn me(caller: Option<Principal>) -> String {
    caller.map_or_else(|| "nobody".to_owned(), |caller| caller.subject().to_owned())
}

/// The same page in every order of layers.
fn pages<P: Authenticate + Policy + Clone>(auth: &P) -> Router {
    let (public, insecure) = (public(), insecure());
    let private = CacheControl::private().max_age(MINUTE).build().unwrap();
    Router::new()
        .route("/outside", get(me).with_auth(auth).layer(public.layer()))
        .route("/inside", get(me).layer(public.layer()).with_auth(auth))
        .route("/chain", get(me).layer(PolicyLayer::new(public.clone().then(auth.clone()))))
        .route("/reverse", get(me).layer(PolicyLayer::new(auth.clone().then(public.clone()))))
        .route(
            "/far",
            get(me)
                .with_auth(auth)
                .layer::<_, Infallible>(CacheControl::new().layer())
                .layer(public.layer()),
        )
        .route("/optional", get(me).with_auth(&auth.clone().optional()).layer(public.layer()))
        .route("/bare", get(me).with_auth(auth))
        .route("/private", get(me).with_auth(auth).layer(private.layer()))
        .route("/shared", get(me).with_auth(auth).layer(insecure.layer()))
        .route("/open", get(me).layer(public.layer()))
}

/// The pages that are for one caller, and what they say to caches.
const PERSONAL: [(&str, &str); 8] = [
    ("/outside", "private, no-store"),
    ("/inside", "private, no-store"),
    ("/chain", "private, no-store"),
    ("/reverse", "private, no-store"),
    ("/far", "private, no-store"),
    ("/optional", "private, no-store"),
    ("/bare", "private"),
    ("/private", "private, max-age=60"),
];

fn page(path: &str, field: &str) -> request::Builder {
    let (name, value) = field.split_once(": ").unwrap();
    Request::get(path).header(name, value)
}

#[tokio::test]
async fn axum_responses_to_authenticated_requests_are_never_public() {
    for_each_scheme!(|auth, credentials| {
        let app = pages(&auth);
        let ask = async |path: &str, field: &str| {
            let request = page(path, field).body(axum::body::Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let value = response.headers()["cache-control"].to_str().unwrap().to_owned();
            (response.status(), value)
        };
        for field in &credentials {
            for (path, expected) in PERSONAL {
                assert_eq!(
                    ask(path, field).await,
                    (StatusCode::OK, expected.to_owned()),
                    "{path} {field}"
                );
            }
            let (_, value) = ask("/shared", field).await;
            assert_eq!(value, "public, max-age=60", "{field}");
        }
        let (_, value) = ask("/optional", "accept: */*").await;
        assert_eq!(value, "public, max-age=60");
    });
}

#[tokio::test]
async fn tower_responses_to_authenticated_requests_are_never_public() {
    async fn hello(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::from("hello")))
    }
    async fn value<S, B>(service: S, field: &str) -> String
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    {
        let response =
            service.oneshot(page("/", field).body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.headers()["cache-control"].to_str().unwrap().to_owned()
    }
    fn stage<P: Stage>(policy: P) -> PolicyLayer<P> {
        PolicyLayer::new(policy)
    }
    for_each_scheme!(|auth, credentials| {
        let builder = ServiceBuilder::new;
        for field in &credentials {
            let outside =
                builder().layer(public().layer()).with_auth(&auth).service(service_fn(hello));
            let inside =
                builder().with_auth(&auth).layer(public().layer()).service(service_fn(hello));
            let bare = builder().layer(stage(auth.clone())).service(service_fn(hello));
            assert_eq!(value(outside, field).await, "private, no-store", "outside {field}");
            assert_eq!(value(inside, field).await, "private, no-store", "inside {field}");
            assert_eq!(value(bare, field).await, "private", "{field}");
        }
    });
}

/// An nginx that stores every page that it is not forbidden to, under its path alone.
struct Nginx {
    directory: PathBuf,
    process: Child,
    address: SocketAddr,
}

impl Nginx {
    /// Returns `None`, with a loud message, where nginx is not installed.
    async fn start(upstream: SocketAddr) -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("palisade-nginx-{}", upstream.port()));
        fs::create_dir_all(&directory).unwrap();
        let address = free_address();
        let user = if is_root() { "user root;" } else { "" };
        let shown = directory.display();
        let config = format!(
            "{user} daemon off; worker_processes 1; pid {shown}/pid; error_log {shown}/error.log;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; fastcgi_temp_path {shown}/fastcgi;
                uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi;
                proxy_cache_path {shown}/cache keys_zone=pages:1m;
                server {{
                    listen {address};
                    location / {{
                        proxy_pass http://{upstream};
                        proxy_cache pages;
                        proxy_cache_key $uri;
                        proxy_cache_valid 200 60s;
                        add_header x-cache $upstream_cache_status always;
                    }}
                }}
            }}"
        );
        fs::write(directory.join("nginx.conf"), config).unwrap();
        let started = command(&directory).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(process) = started else { return did_not_run("nginx is missing") };
        let nginx = Self { directory, process, address };
        for _ in 0..2_000 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Some(nginx);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = fs::read_to_string(nginx.directory.join("error.log")).unwrap_or_default();
        panic!("nginx does not answer: {log}");
    }
}

/// Ends this nginx and no other: its pid is in its own directory.
impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = command(&self.directory).args(["-s", "stop"]).stderr(Stdio::null()).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn command(directory: &std::path::Path) -> Command {
    // Debian has it where only root's path looks.
    let debians = std::path::Path::new("/usr/sbin/nginx");
    let mut command =
        Command::new(if debians.exists() { debians.as_os_str() } else { "nginx".as_ref() });
    command.arg("-p").arg(directory).arg("-e").arg(directory.join("error.log"));
    command.arg("-c").arg(directory.join("nginx.conf"));
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn free_address() -> SocketAddr {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn nginx_never_serves_a_page_of_another_caller() {
    for_each_scheme!(|auth, credentials| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let server = tokio::spawn(axum::serve(listener, pages(&auth)).into_future());
        let Some(nginx) = Nginx::start(upstream).await else { return };
        let client = Client::new(nginx.address, Version::HTTP_11);
        let ask = async |path: &str, fields: &[&str]| {
            let answer = client.get(path, fields).await;
            let cache = answer.header("x-cache").unwrap_or_default().to_owned();
            (answer.status.as_u16(), answer.text(), cache)
        };
        let [ada, eve] = credentials.each_ref().map(String::as_str);

        // the cache works: what is public is stored, and what is shared by an insecure choice leaks
        ask("/open", &[]).await;
        assert_eq!(ask("/open", &[]).await, (200, "nobody".to_owned(), "HIT".to_owned()));
        ask("/shared", &[ada]).await;
        assert_eq!(ask("/shared", &[eve]).await, (200, "ada".to_owned(), "HIT".to_owned()));

        for (path, _) in PERSONAL {
            for (user, field) in [("ada", ada), ("eve", eve), ("ada", ada)] {
                let (status, body, cache) = ask(path, &[field]).await;
                assert_eq!((status, &*body), (200, user), "{path} {field}");
                assert_ne!(cache, "HIT", "{path} {field}");
            }
            let (status, body, _) = ask(path, &[]).await;
            let expected = if path == "/optional" { (200, "nobody") } else { (401, "") };
            assert_eq!(status, expected.0, "{path}");
            assert!(status == 401 || body == expected.1, "{path} {body}");
        }
        // what was stored for anonymous callers is not for those with credentials
        assert_eq!(ask("/optional", &[]).await.2, "HIT");
        assert_eq!(ask("/optional", &[ada]).await.1, "ada");
        drop(nginx);
        server.abort();
    });
}

#[tokio::test]
async fn cache_control_of_the_handler_is_unchanged() {
    let (auth, [ada, _]) = cookies();
    let app = Router::<()>::new().route(
        "/",
        get(async || ([("cache-control", "private, max-age=5")], "in")).with_auth(&auth),
    );
    let request = page("/", &ada).body(axum::body::Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "private, max-age=5");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "in");
}
