//! What a real browser makes of an extension that calls an API: its origin is `chrome-extension://` and the extension's id.

use std::{fs, io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use axum::{Router, routing::get};
use palisade::cors::Cors;
use palisade_tests::Browser;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

const NOT_TESTED: &str = "
!!! NOT TESTED: chromium is not installed, so no real extension has called an API.
!!! Install it (apt-get install chromium), name it in CHROMIUM, or run scripts/test as root.

";

/// How long a browser may take to start and to run the extension.
const PATIENCE: Duration = Duration::from_secs(120);

/// A public key, of which the browser makes the extension's id.
const KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxx+YoqVItSvzx+X/k5uT9jWl/PzZeW/x3dZJ2X+avErA/zaYNhQYkA9TCQsI1LsrKBl+MSHRhRWyQvV1wnlYAM7GB9UWUjMIWWT8HKbKpUY0b/2jng+WVwO5NV/anpOH/W/zFDpE3SWducke6IdDeHtXQ9Z4pRChuHsmJ78lXGLGKXlRKVG0XyerTq0xjvqe55y8c/ZEy/QIbesJ5FAbBnuvBl6AA0hu1eoy543Y84fhBQ5CM3xouX+y6qBsWWhyhNy6Lb6pk99aEJYIai5zKwKc2mqk5ONA6a82z5oFMS1O6dkEeeVCoXQdSFX4zSw0OCQj+R9633sN5ceT8R2RMQIDAQAB";
const ORIGIN: &str = "chrome-extension://agamkmmaccmoablgokjjahgclljfpcof";

/// Calls each route and reports what it could read. The report itself needs no answer.
const WORKER: &str = r#"
async function read(path, init) {
    try {
        const response = await fetch("{api}" + path, init);
        return { status: response.status, body: await response.text() };
    } catch (error) {
        return { unreadable: error.name };
    }
}
(async () => {
    const put = { method: "PUT", credentials: "include" };
    const report = {
        origin: self.origin,
        listed: await read("/listed", put),
        predicate: await read("/predicate", put),
        other: await read("/other", put),
        simple: await read("/other"),
    };
    await fetch("{api}/report", { method: "POST", mode: "no-cors", body: JSON.stringify(report) });
})();
"#;

/// A folder with an unpacked extension, until it is dropped.
struct Extension(PathBuf);

impl Extension {
    fn calling(api: SocketAddr) -> Self {
        let name = format!("palisade-extension-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let manifest = json!({
            "manifest_version": 3,
            "name": "palisade",
            "version": "1",
            "key": KEY,
            "background": { "service_worker": "worker.js" },
        });
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        let worker = WORKER.replace("{api}", &format!("http://{api}"));
        fs::write(folder.join("worker.js"), worker).unwrap();
        Self(folder)
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn api() -> (SocketAddr, mpsc::UnboundedReceiver<Value>) {
    let listed = Cors::allow_origins([ORIGIN]);
    let predicate = Cors::builder().allow_origin_if(|origin| origin.as_str() == ORIGIN);
    let other = Cors::allow_origins(["chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    let [listed, predicate, other] = [listed, predicate, other].map(|cors| {
        cors.allow_methods([http::Method::PUT]).allow_credentials(true).build().unwrap()
    });
    let route = || get(async || "read").put(async || "written");
    let (sender, reports) = mpsc::unbounded_channel();
    let report = async move |body: String| {
        let _ = sender.send(serde_json::from_str(&body).expect("a report"));
    };
    let app = Router::new()
        .route("/listed", route().layer(listed.layer()))
        .route("/predicate", route().layer(predicate.layer()))
        .route("/other", route().layer(other.layer()))
        .route("/report", axum::routing::post(report));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, reports)
}

#[tokio::test]
async fn browser_extension_reads_responses_that_list_its_origin_only() {
    let Some(chromium) = Browser::installed() else {
        assert!(
            std::env::var("CI").is_err(),
            "chromium is missing, and this is where it must be tested; scripts/test installs it"
        );
        let _ = std::io::stderr().write_all(NOT_TESTED.as_bytes());
        return;
    };
    let (address, mut reports) = api().await;
    let extension = Extension::calling(address);
    let _browser = Browser::with_extension(&chromium, &extension.0);
    let report = tokio::time::timeout(PATIENCE, reports.recv()).await;
    let report = report.expect("the extension reports in time").expect("a report");
    let written = json!({ "status": 200, "body": "written" });
    let unreadable = json!({ "unreadable": "TypeError" });
    assert_eq!(report["origin"], ORIGIN);
    assert_eq!(report["listed"], written);
    assert_eq!(report["predicate"], written);
    assert_eq!(report["other"], unreadable, "its preflight is refused");
    assert_eq!(report["simple"], unreadable);
}
