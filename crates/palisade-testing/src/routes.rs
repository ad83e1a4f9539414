use std::{collections::BTreeMap, fmt};

use http::{Method, StatusCode};
use serde_json::Value;

use crate::{TestClient, TestResponse};

/// Asks each route of a service as each kind of caller, and shows what came of it.
///
/// A router does not list its routes, so the table gets them: by hand, or from the OpenAPI document of the service. Each request is
/// sent, without a body: handlers run if a route allows the caller. Use a service with a database of the test.
///
/// ```
/// use axum::{Router, routing::{delete, get}};
/// use palisade::{WithAuth, auth::Jwt};
/// use palisade_testing::{RouteTable, TestClient, TestIssuer};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let issuer = TestIssuer::hs256("a signing key of at least thirty-two bytes");
/// let auth = Jwt::<()>::with_keys(issuer.keys()).any_audience().build()?;
/// let app: Router = Router::new()
///     .route("/health", get(|| async {}).with_public())
///     .route("/me", get(|| async {}).with_auth(&auth))
///     .route("/items/{id}", delete(|| async {}).with_role(&auth, ["admin"]));
///
/// let client = TestClient::new(app).with_issuer(&issuer);
/// let report = RouteTable::new(&client)
///     .routes(["GET /health", "GET /me", "DELETE /items/{id}"])
///     .caller("user", client.as_user("bob"))
///     .caller("admin", client.as_user("ada").role("admin"))
///     .probe()
///     .await;
/// report.assert_every_route_decides();
/// // a plain text, for `assert_eq!` or a snapshot
/// assert_eq!(report.to_string(), "\
/// route               anonymous            user           admin  policies
/// GET /health         200                  200            200    Public
/// GET /me             401 UNAUTHENTICATED  200            200    Jwt, Decided
/// DELETE /items/{id}  401 UNAUTHENTICATED  403 FORBIDDEN  200    Jwt, RequireRole
/// ");
/// # Ok::<_, palisade::ConfigError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "routes are asked by `probe`"]
pub struct RouteTable {
    routes: Vec<(Method, String)>,
    callers: Vec<(String, TestClient)>,
    parameters: BTreeMap<String, String>,
}

impl RouteTable {
    /// Creates a table whose first caller is `anonymous`: the client itself.
    pub fn new(client: &TestClient) -> Self {
        Self {
            routes: Vec::new(),
            callers: vec![("anonymous".to_owned(), client.clone())],
            parameters: BTreeMap::new(),
        }
    }

    /// Adds routes, each a method and a path: `DELETE /items/{id}`.
    ///
    /// # Panics
    ///
    /// If one is not of this form.
    #[track_caller]
    pub fn routes<'a>(mut self, routes: impl IntoIterator<Item = &'a str>) -> Self {
        for route in routes {
            let parsed = route.split_once(' ').and_then(|(method, path)| {
                let path = path.trim();
                let method = Method::from_bytes(method.as_bytes()).ok()?;
                path.starts_with('/').then(|| (method, path.to_owned()))
            });
            match parsed {
                Some(route) => self.routes.push(route),
                None => panic!("`{route}` is not a route: write `GET /items/{{id}}`"),
            }
        }
        self
    }

    /// Adds the operations of an OpenAPI document (3.0 or 3.1), such as aide and utoipa make it.
    ///
    /// ```
    /// # use palisade_testing::{RouteTable, TestClient};
    /// # let client = TestClient::new(axum::Router::new());
    /// let document = serde_json::json!({
    ///     "openapi": "3.1.0",
    ///     "paths": { "/items/{id}": { "get": {}, "delete": {} } },
    /// });
    /// let table = RouteTable::new(&client).openapi(&document);
    /// ```
    ///
    /// # Panics
    ///
    /// If the document has no operation.
    #[track_caller]
    pub fn openapi(mut self, document: &Value) -> Self {
        const METHODS: [Method; 8] = [
            Method::GET,
            Method::PUT,
            Method::POST,
            Method::DELETE,
            Method::OPTIONS,
            Method::HEAD,
            Method::PATCH,
            Method::TRACE,
        ];
        let before = self.routes.len();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                if item.get(method.as_str().to_ascii_lowercase()).is_some() {
                    self.routes.push((method, path.clone()));
                }
            }
        }
        assert!(self.routes.len() > before, "the document has no operation in `paths`");
        self
    }

    /// Adds a caller: `client.as_user("ada").role("admin")`, or a client with a key or a session.
    pub fn caller(mut self, name: impl Into<String>, client: impl Into<TestClient>) -> Self {
        self.callers.push((name.into(), client.into()));
        self
    }

    /// Sets the value of a path parameter. Default: `1`.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Sends a request to each route as each caller, one after another.
    pub async fn probe(self) -> RouteReport {
        let mut rows = Vec::with_capacity(self.routes.len());
        for (method, template) in &self.routes {
            let path = self.path(template);
            let (mut cells, mut policies) = (Vec::with_capacity(self.callers.len()), Vec::new());
            for (_, client) in &self.callers {
                let response = client.request(method.clone(), &path).without_log().await;
                if response.policies().len() >= policies.len() {
                    policies = response.policies().iter().map(|s| s.policy().to_owned()).collect();
                }
                cells.push(Cell::new(&response));
            }
            policies.dedup();
            rows.push(Row { route: format!("{method} {template}"), cells, policies });
        }
        let callers = self.callers.into_iter().map(|(name, _)| name).collect();
        RouteReport { callers, rows }
    }

    /// Replaces `{id}` and `{*rest}` by their values.
    fn path(&self, template: &str) -> String {
        let segment = |segment: &str| {
            let (Some(open), Some(close)) = (segment.find('{'), segment.find('}')) else {
                return segment.to_owned();
            };
            let name = segment[open + 1..close.max(open + 1)].trim_start_matches('*');
            let value = self.parameters.get(name).map_or("1", String::as_str);
            format!("{}{value}{}", &segment[..open], &segment[close + 1..])
        };
        template.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}

/// What each route answered to each caller. Made by [`RouteTable::probe`].
///
/// `Display` is the table. A cell has the status, with the error code if there is one, and `UNDECIDED` if the request reached the
/// service although no policy decided who may come in: see [`DenyUndecided`](palisade_auth::DenyUndecided). The last column has the
/// policies that were asked.
///
/// See the example at [`RouteTable`].
#[derive(Clone, Debug)]
pub struct RouteReport {
    callers: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    route: String,
    cells: Vec<Cell>,
    policies: Vec<String>,
}

#[derive(Clone, Debug)]
struct Cell {
    text: String,
    verdict: Verdict,
}

/// Whether a response shows that the route decides who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Decided,
    /// Another policy answered first, such as a rate limit.
    Unknown,
    Undecided,
}

impl Cell {
    fn new(response: &TestResponse) -> Self {
        let status = response.status();
        let is_refusal = matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        );
        let verdict = if response.is_decided() {
            Verdict::Decided
        } else if !response.is_from_policy() {
            Verdict::Undecided
        } else if is_refusal || status.is_redirection() || response.grpc_status().is_some() {
            Verdict::Decided
        } else {
            Verdict::Unknown
        };
        let mut text = status.as_str().to_owned();
        if verdict == Verdict::Undecided {
            text.push_str(" UNDECIDED");
        } else if let Some(code) = response.error_code() {
            text = format!("{text} {code}");
        }
        Self { text, verdict }
    }
}

impl RouteReport {
    /// Asserts that each route decides who may come in: by `with_auth`, `with_role`, `with_rule` or `with_public`, or by a
    /// rule of the stack.
    ///
    /// # Panics
    ///
    /// If a request reached the service without a decision, or no caller got as far as one; with the table.
    #[track_caller]
    pub fn assert_every_route_decides(&self) {
        let problem = |row: &&Row| {
            row.cells.iter().any(|cell| cell.verdict == Verdict::Undecided)
                || row.cells.iter().all(|cell| cell.verdict == Verdict::Unknown)
        };
        let routes: Vec<_> = self.rows.iter().filter(problem).map(|row| &*row.route).collect();
        assert!(
            !self.rows.is_empty(),
            "the table has no routes: add `.routes([…])` or `.openapi(…)`"
        );
        assert!(
            routes.is_empty(),
            "no policy decides who may come in at: {}\nadd with_auth, with_role, with_rule or with_public. 404 and 405 come from a router that has no such route\n\n{self}",
            routes.join(", ")
        );
    }
}

impl fmt::Display for RouteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = std::iter::once("route")
            .chain(self.callers.iter().map(String::as_str))
            .chain(["policies"])
            .map(str::to_owned);
        let mut lines: Vec<Vec<String>> = vec![header.collect()];
        for row in &self.rows {
            let cells = row.cells.iter().map(|cell| cell.text.clone());
            let line = std::iter::once(row.route.clone()).chain(cells);
            lines.push(line.chain([row.policies.join(", ")]).collect());
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<_> = (0..lines[0].len()).map(|column| width(column).unwrap_or(0)).collect();
        for line in &lines {
            let padded = line.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
            writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}
