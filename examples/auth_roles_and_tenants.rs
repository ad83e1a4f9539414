//! Authorization in organisations: role hierarchies, members of a tenant, scopes, owners, explicit denials, and a default denial
//! for routes without a decision. Run it, and paste the commands that it prints:
//!
//! ```sh
//! cargo run --example auth_roles_and_tenants
//! PALISADE_ADDR=127.0.0.1:8080 cargo run --example auth_roles_and_tenants
//! ```

use std::{env, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use palisade::{
    ApiError, Clock, ErrorLayer, SystemClock, WithAuth,
    auth::{
        Identity, Jwt,
        rules::{RoleHierarchy, Rule, deny, owner, scope, tenant_from_path},
        testing,
    },
    observe::RequestIds,
    stack,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

/// The claims of a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
    roles: Vec<String>,
    scope: String,
    orgs: Vec<String>,
}

#[derive(Clone, Serialize)]
struct Report {
    id: u32,
    org: &'static str,
    author: &'static str,
    title: &'static str,
}

const REPORTS: [Report; 3] = [
    Report { id: 1, org: "acme", author: "ada", title: "Notes on the engine" },
    Report { id: 2, org: "acme", author: "grace", title: "A moth in the relay" },
    Report { id: 3, org: "globex", author: "mallory", title: "Plans" },
];

/// A rule that handlers evaluate for a report that they have loaded.
type MayRead = Arc<dyn Rule<About = Report>>;

async fn list(
    State(may_read): State<MayRead>,
    Path(org): Path<String>,
    identity: Identity<Claims>,
) -> Json<Vec<Report>> {
    let in_org = REPORTS.into_iter().filter(|report| report.org == org);
    Json(in_org.filter(|report| identity.may(&may_read, report)).collect())
}

async fn read(
    State(may_read): State<MayRead>,
    Path((org, id)): Path<(String, u32)>,
    identity: Identity<Claims>,
) -> Result<Json<Report>, ApiError> {
    let report = REPORTS.into_iter().find(|report| report.org == org && report.id == id);
    let report = report.ok_or_else(ApiError::not_found)?;
    // A caller who may not read the report gets the same 404 as for a missing one.
    identity.require(&may_read, &report)?;
    Ok(Json(report))
}

async fn remove(Path((_org, _id)): Path<(String, u32)>) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn export() -> StatusCode {
    StatusCode::ACCEPTED
}

async fn nothing_here() -> ApiError {
    ApiError::not_found()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // A new secret at each start: the tokens below are valid until this process ends.
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    // The claim `orgs` lists the organisations of the caller.
    let auth =
        Jwt::<Claims>::hs256(secret.as_str()).audience("reports").tenants_at(["orgs"]).build()?;

    // An admin is also an editor, an editor also a viewer. A role that is not listed is an error when the server starts.
    let roles = RoleHierarchy::new()
        .role("admin")
        .includes(["editor"])
        .role("editor")
        .includes(["viewer"])
        .role("viewer")
        .role("suspended")
        .build()?;

    let may_read: MayRead = Arc::new(
        owner(|report: &Report| report.author).or(roles.role("editor")?).hide_as_not_found(),
    );
    let may_list = tenant_from_path("/orgs/{org_id}/reports", "org_id")?.and(roles.role("viewer")?);
    let of_the_org = tenant_from_path("/orgs/{org_id}/reports/{id}", "org_id")?;
    let may_open = of_the_org.clone().and(roles.role("viewer")?);
    let may_remove = of_the_org.and(roles.role("editor")?).and(deny(roles.role("suspended")?));
    let may_export =
        tenant_from_path("/orgs/{org_id}/exports", "org_id")?.and(scope("reports:export"));

    let app = Router::new()
        .route("/health", get(|| async { "ok" }).with_public())
        .route("/orgs/{org_id}/reports", get(list).with_rule(&auth, may_list))
        .route(
            "/orgs/{org_id}/reports/{id}",
            get(read.with_rule(&auth, may_open)).merge(delete(remove.with_rule(&auth, may_remove))),
        )
        .route("/orgs/{org_id}/exports", post(export).with_rule(&auth, may_export))
        // Without an authorization decision, every request is rejected.
        .route("/forgotten", get(|| async { "nobody reads this" }))
        .fallback(nothing_here.with_public())
        .with_state(may_read)
        .layer(stack().observe(RequestIds::new()).errors(ErrorLayer::new()).deny_undecided());

    let address = env::var("PALISADE_ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    print_what_to_try(listener.local_addr()?, |name, roles, org, scope| {
        let claims = Claims {
            sub: name.to_owned(),
            aud: "reports".to_owned(),
            exp: (SystemClock.unix() + Duration::from_secs(3600)).as_secs(),
            roles: roles.iter().map(ToString::to_string).collect(),
            scope: scope.to_owned(),
            orgs: vec![org.to_owned()],
        };
        testing::sign_hs256(secret.as_str(), &claims)
    });
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

fn print_what_to_try(address: SocketAddr, token: impl Fn(&str, &[&str], &str, &str) -> String) {
    let viewer = token("ada", &["viewer"], "acme", "");
    let admin = token("grace", &["admin"], "acme", "reports:export");
    let suspended = token("eve", &["admin", "suspended"], "acme", "");
    let stranger = token("mallory", &["admin"], "globex", "reports:export");
    println!(
        r##"listening on http://{address}

viewer token:    {viewer}
admin token:     {admin}
suspended token: {suspended}
stranger token:  {stranger}

Tenants: a member of acme, an admin of another organisation, and nobody
  curl -i http://{address}/orgs/acme/reports -H 'Authorization: Bearer {viewer}'
  curl -i http://{address}/orgs/acme/reports -H 'Authorization: Bearer {stranger}'
  curl -i http://{address}/orgs/acme/reports

Another spelling of the path opens no door
  curl -i --path-as-is http://{address}/orgs/globex/../acme/reports -H 'Authorization: Bearer {stranger}'
  curl -i http://{address}/orgs/acme%2Freports -H 'Authorization: Bearer {stranger}'

Owners: her own report, that of another (as if it were not there), and an admin, who is an editor too
  curl -i http://{address}/orgs/acme/reports/1 -H 'Authorization: Bearer {viewer}'
  curl -i http://{address}/orgs/acme/reports/2 -H 'Authorization: Bearer {viewer}'
  curl -i http://{address}/orgs/acme/reports/2 -H 'Authorization: Bearer {admin}'

Roles, and an explicit no: an admin, a viewer, and an admin who is suspended
  curl -i -X DELETE http://{address}/orgs/acme/reports/1 -H 'Authorization: Bearer {admin}'
  curl -i -X DELETE http://{address}/orgs/acme/reports/1 -H 'Authorization: Bearer {viewer}'
  curl -i -X DELETE http://{address}/orgs/acme/reports/1 -H 'Authorization: Bearer {suspended}'

Scopes: a token with reports:export, and one without
  curl -i -X POST http://{address}/orgs/acme/exports -H 'Authorization: Bearer {admin}'
  curl -i -X POST http://{address}/orgs/acme/exports -H 'Authorization: Bearer {viewer}'

Open on purpose, and forgotten: 403, and a line in the log that names the route
  curl -i http://{address}/health
  curl -i http://{address}/forgotten
"##
    );
}
