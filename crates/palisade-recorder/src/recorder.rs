use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use palisade_observe::RequestReport;
use serde_json::Value;

use crate::{json, page};

/// The number of stored requests.
const KEPT: usize = 200;

/// Stores the last 200 requests with the decisions of their policies, and serves them as a page with a timeline and as JSON.
/// Clones share the requests.
///
/// It reveals how the service is protected and what its clients do, so serve the page on an internal address or behind
/// `with_role`. It shows the fields of the access log, so neither credentials nor queries.
///
/// ```
/// use http::Request;
/// use palisade_observe::Observe;
/// use palisade_recorder::Recorder;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let recorder = Recorder::new();
/// let service = Observe::new().report_to(recorder.reporter()).layer().layer(service_fn(|_: Request<String>| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// }));
/// drop(service.oneshot(Request::get("/items/7?token=s3cret").body(String::new()).unwrap()).await);
///
/// // for `Router::route_service`, or a server of its own
/// let page = recorder.page();
/// let response = page.oneshot(Request::get("/").body(()).unwrap()).await.unwrap();
/// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
/// assert_eq!(recorder.json()["requests"][0]["path"], "/items/7?…");
/// # });
/// ```
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<VecDeque<RequestReport>>>);

impl Recorder {
    /// Creates an empty recorder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the function that stores the reports of requests, for [`Observe::report_to`].
    ///
    /// [`Observe::report_to`]: palisade_observe::Observe::report_to
    pub fn reporter(&self) -> impl Fn(&RequestReport) + Send + Sync + use<> {
        let recorder = self.clone();
        move |report| recorder.keep(report)
    }

    /// Returns the requests as JSON, the latest first.
    ///
    /// ```
    /// use palisade_recorder::Recorder;
    ///
    /// assert_eq!(Recorder::new().json().to_string(), r#"{"requests":[]}"#);
    /// ```
    pub fn json(&self) -> Value {
        self.json_of(None)
    }

    /// Returns the page.
    ///
    /// ```
    /// use palisade_recorder::Recorder;
    ///
    /// assert!(Recorder::new().html().starts_with("<!doctype html>"));
    /// ```
    pub fn html(&self) -> String {
        self.html_of(None)
    }

    pub(crate) fn json_of(&self, id: Option<&str>) -> Value {
        let requests: Vec<Value> = self.latest(id).iter().map(json::request).collect();
        serde_json::json!({ "requests": requests })
    }

    pub(crate) fn html_of(&self, id: Option<&str>) -> String {
        page::render(&self.latest(id))
    }

    /// Returns a copy, so that the lock is not held while the response is written.
    fn latest(&self, id: Option<&str>) -> Vec<RequestReport> {
        let wanted = |report: &&RequestReport| id.is_none_or(|id| report.request_id.as_str() == id);
        self.kept().iter().rev().filter(wanted).cloned().collect()
    }

    fn keep(&self, report: &RequestReport) {
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(report.clone());
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<RequestReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.kept().len()).finish()
    }
}
