//! `withAuth`, `withRole`, `getCurrentUser`, members of organizations, and owners.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use palisade::{
    ApiError, ConfigError, Envelope, WithAuth,
    auth::{
        Authenticate, Identity, Jwt,
        rules::{Rule, owner, role, tenant_from_path},
    },
};
use serde::{Deserialize, Serialize};

use crate::{config::Config, errors::AppError};

/// The claims of an access token.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) exp: u64,
    pub(crate) roles: Vec<String>,
    /// The organizations of which the user is a member.
    pub(crate) orgs: Vec<String>,
}

pub(crate) fn auth(config: &Config) -> Result<Jwt<Claims>, ConfigError> {
    Jwt::hs256(config.token_secret.clone()).audience("nextjs_port").tenants_at(["orgs"]).build()
}

/// `const user = await getCurrentUser()`: the user is an argument, and the handler does not run without one.
async fn me(user: Identity<Claims>) -> Envelope<Claims> {
    Envelope::new(user.claims().clone())
}

/// The same for a route that also accepts callers who are not logged in.
async fn greeting(user: Option<Identity<Claims>>) -> String {
    format!("hello {}\n", user.as_ref().map_or("stranger", |user| &user.claims().sub))
}

async fn users() -> Envelope<[&'static str; 2]> {
    Envelope::new(["ada", "grace"])
}

#[derive(Clone, Serialize)]
struct Project {
    id: u64,
    org: &'static str,
    owner: &'static str,
}

/// Stands for your database.
const PROJECTS: [Project; 2] =
    [Project { id: 1, org: "acme", owner: "ada" }, Project { id: 2, org: "acme", owner: "grace" }];

async fn projects(Path(org): Path<String>) -> Envelope<Vec<Project>> {
    Envelope::new(PROJECTS.into_iter().filter(|project| project.org == org).collect())
}

type MayRemove = Arc<dyn Rule<About = Project>>;

async fn remove_project(
    State(may_remove): State<MayRemove>,
    Path((org, id)): Path<(String, u64)>,
    user: Identity<Claims>,
) -> Result<StatusCode, ApiError> {
    let project = PROJECTS.into_iter().find(|project| project.org == org && project.id == id);
    user.require(&may_remove, &project.ok_or(AppError::NotFound)?)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn routes(auth: &Jwt<Claims>) -> Result<Router, ConfigError> {
    let is_member = tenant_from_path("/api/orgs/{org}/projects", "org")?;
    let is_member_of_parent = tenant_from_path("/api/orgs/{org}/projects/{id}", "org")?;
    let owner_or_admin: MayRemove =
        Arc::new(owner(|project: &Project| project.owner).or(role("admin")));
    Ok(Router::new()
        .route("/api/me", get(me).with_auth(auth))
        .route("/api/greeting", get(greeting).with_auth(auth.clone().optional()))
        .route("/api/admin/users", get(users).with_role(auth, ["admin"]))
        .route("/api/orgs/{org}/projects", get(projects).with_rule(auth, is_member))
        .route(
            "/api/orgs/{org}/projects/{id}",
            delete(remove_project).with_rule(auth, is_member_of_parent),
        )
        .with_state(owner_or_admin))
}
