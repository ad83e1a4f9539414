//! What a real browser makes of security headers: it says in its console which parts of them it ignores.

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use http::{HeaderName, HeaderValue};
use palisade::headers::{
    ContentSecurityPolicy, CspNonce, FrameOptions, Framing, PermissionsPolicy, SecurityHeaders,
};
use palisade_tests::Browser;
use tokio::{net::TcpListener, sync::mpsc};
use tower::ServiceBuilder;

const NOT_TESTED: &str = "
!!! NOT TESTED: chromium is not installed, so no real browser has read the security headers.
!!! Install it (apt-get install chromium), name it in CHROMIUM, or run scripts/test as root.

";

/// How long a browser may take to start and to report.
const PATIENCE: Duration = Duration::from_secs(120);

/// The sources that do not build.
const IGNORED: &str = include_str!("../crates/palisade-headers/src/sources/ignored.txt");

fn chromium() -> Option<PathBuf> {
    let installed = Browser::installed();
    if installed.is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "chromium is missing, and this is where it must be tested; scripts/test installs it"
        );
        let _ = std::io::stderr().write_all(NOT_TESTED.as_bytes());
    }
    installed
}

struct Site {
    address: SocketAddr,
    reports: mpsc::UnboundedReceiver<String>,
}

impl Site {
    async fn start(app: Router) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let report = async move |body: String| {
            let _ = sender.send(body);
        };
        let app = app.route("/report", post(report));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, reports }
    }

    async fn visit(&mut self, chromium: &PathBuf) -> (Browser, String) {
        let browser = Browser::open(chromium, &format!("http://{}/", self.address));
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        (browser, report.expect("the page reports in time").expect("a report"))
    }
}

const REPORTS: &str = "fetch('/report', { method: 'POST', body: document.title })";

#[tokio::test]
async fn chromium_ignores_every_source_that_we_reject() {
    let Some(chromium) = chromium() else { return };
    let policy = format!("img-src {}", IGNORED.lines().collect::<Vec<_>>().join(" "));
    let value = HeaderValue::try_from(policy).unwrap();
    let name = HeaderName::from_static("content-security-policy");
    let page = async move || ([(name, value)], Html(format!("<script>{REPORTS}</script>")));
    let mut site = Site::start(Router::new().route("/", get(page))).await;
    let (browser, _) = site.visit(&chromium).await;
    let never_said: Vec<_> = IGNORED
        .lines()
        .filter(|source| !browser.has_said(&format!("invalid source: '{source}'")))
        .collect();
    assert_eq!(never_said, [""; 0], "{:#?}", browser.console());
    for source in IGNORED.lines() {
        let csp = ContentSecurityPolicy::default_src(["'self'"]).img_src([source]);
        let error = SecurityHeaders::api().content_security_policy(csp).build().unwrap_err();
        assert!(error.to_string().starts_with("img_src "), "{error}");
    }
}

#[tokio::test]
async fn chromium_accepts_the_built_policy_and_requires_the_nonce() {
    let Some(chromium) = chromium() else { return };
    let nonce = ContentSecurityPolicy::NONCE;
    let csp = ContentSecurityPolicy::default_src(["'self'"])
        .script_src([nonce, "'strict-dynamic'", "'unsafe-hashes'", "'report-sample'"])
        .script_src_elem([nonce])
        .script_src_attr(["'none'"])
        .style_src(["'self'", nonce, "'report-sample'"])
        .style_src_elem(["'self'", nonce])
        .style_src_attr(["'unsafe-inline'"])
        .img_src(["*", "data:", "https://*:*", "*:8080", "chrome-extension://abcdef"])
        .connect_src(["'self'", "wss://*.example.com:*", "localhost:3000"])
        .font_src(["https://fonts.example.com/a%20b/@scope/", "127.0.0.1:3000"])
        .frame_src(["*.example.com:443"])
        .child_src(["https:"])
        .worker_src(["'self'", "blob:"])
        .manifest_src(["'self'"])
        .media_src(["'none'"])
        .object_src(["'none'"])
        .base_uri(["'none'"])
        .form_action(["'self'"])
        .sandbox(["allow-scripts", "allow-same-origin", "allow-popups-to-escape-sandbox"])
        .trusted_types(["default", "dompurify#1", "'allow-duplicates'"])
        .require_trusted_types_for_script()
        .report_to("csp");
    let permissions = PermissionsPolicy::deny(["camera", "microphone", "display-capture", "usb"])
        .allow_self("geolocation")
        .allow("fullscreen", ["self", "https://a.example", "https://*.example.org:8443"]);
    let framing = Framing::by(["'self'", "https://*.example.com", "chrome-extension://abcdef"])
        .x_frame_options(FrameOptions::SameOrigin);
    let security = SecurityHeaders::pages()
        .content_security_policy(csp)
        .framing(framing)
        .permissions_policy(permissions)
        .reporting_endpoint("csp", "/csp-reports")
        .legacy_headers()
        .build()
        .unwrap();
    let page = async |nonce: CspNonce| {
        Html(format!(
            "<script>document.title += 'forged '</script>\
             <script nonce=\"AAAAAAAAAAAAAAAAAAAAAA\">document.title += 'guessed '</script>\
             <script nonce=\"{nonce}\">document.title += 'allowed'; {REPORTS}</script>"
        ))
    };
    let app =
        Router::new().route("/", get(page)).layer(ServiceBuilder::new().layer(security.layer()));
    let mut site = Site::start(app).await;
    let (browser, title) = site.visit(&chromium).await;
    assert_eq!(title, "allowed", "only the script with the nonce of the response runs");
    assert!(browser.has_said("script"), "the console tells of the scripts that were blocked");
    let complaints: Vec<_> = browser
        .console()
        .into_iter()
        .filter(|line| !line.contains("Executing inline script violates"))
        // what the page asks for here, and nothing that was ignored
        .filter(|line| !line.contains("can escape its sandboxing"))
        .collect();
    assert_eq!(complaints, [""; 0]);
}
