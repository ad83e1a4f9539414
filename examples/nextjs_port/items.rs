//! The basic handlers: methods, parameters of paths, queries, JSON bodies, and the envelope.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use garde::Validate;
use palisade::{
    ApiError, ConfigError, Envelope, Pagination, WithAuth,
    auth::{Identity, Jwt},
    headers::Deprecation,
    validate::{Messages, Valid, Validation},
};
use serde::{Deserialize, Serialize};

use crate::{errors::AppError, users::Claims};

#[derive(Clone, Serialize)]
pub(crate) struct Item {
    id: u64,
    #[serde(flatten)]
    content: NewItem,
}

/// `z.object({ name: z.string().min(1).max(100), price: …, tags: z.array(z.string()).max(5).default([]) })`
#[derive(Clone, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewItem {
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    #[garde(range(min = 0.0, max = 10_000.0))]
    unit_price: f64,
    #[serde(default)]
    #[garde(length(max = 5), inner(length(chars, min = 1, max = 20)))]
    tags: Vec<String>,
}

/// `?q=lamp&page=2&limit=20&tag=new&tag=red&sort=price`
#[derive(Deserialize, Validate)]
#[serde(default)]
struct List {
    #[garde(length(chars, max = 100))]
    q: String,
    #[garde(range(min = 1))]
    page: u64,
    #[garde(range(min = 1, max = 100))]
    limit: u64,
    #[garde(length(max = 5))]
    tag: Vec<String>,
    #[garde(skip)]
    sort: Sort,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Name,
    Price,
}

impl Default for List {
    fn default() -> Self {
        Self { q: String::new(), page: 1, limit: 20, tag: Vec::new(), sort: Sort::Name }
    }
}

/// The `[id]` of `app/api/items/[id]/route.ts`.
#[derive(Deserialize, Validate)]
struct ItemId {
    #[garde(range(min = 1))]
    id: u64,
}

/// Stands for your database.
#[derive(Clone)]
pub(crate) struct Items(Arc<Mutex<Vec<Item>>>);

impl Items {
    pub(crate) fn new() -> Self {
        let item = |id, name: &str, unit_price| {
            let content =
                NewItem { name: name.to_owned(), unit_price, tags: vec!["new".to_owned()] };
            Item { id, content }
        };
        Self(Arc::new(Mutex::new(vec![item(1, "lamp", 25.0), item(2, "chair", 80.0)])))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn list(
    State(items): State<Items>,
    Valid(Query(list)): Valid<Query<List>>,
) -> Envelope<Vec<Item>> {
    let mut found = items.lock().clone();
    found.retain(|Item { content, .. }| {
        content.name.contains(&list.q) && list.tag.iter().all(|tag| content.tags.contains(tag))
    });
    match list.sort {
        Sort::Name => found.sort_by(|a, b| a.content.name.cmp(&b.content.name)),
        Sort::Price => found.sort_by(|a, b| a.content.unit_price.total_cmp(&b.content.unit_price)),
    }
    let total = found.len() as u64;
    let before = (list.page - 1).saturating_mul(list.limit).min(total) as usize;
    let page = found.into_iter().skip(before).take(list.limit as usize).collect();
    Envelope::new(page).with_pagination(Pagination::pages(list.page, list.limit, total))
}

async fn show(
    State(items): State<Items>,
    Valid(Path(ItemId { id })): Valid<Path<ItemId>>,
) -> Result<Envelope<Item>, ApiError> {
    let item = items.lock().iter().find(|item| item.id == id).cloned();
    Ok(Envelope::new(item.ok_or(AppError::NotFound)?))
}

async fn create(
    State(items): State<Items>,
    _: Identity<Claims>,
    Valid(Json(content)): Valid<Json<NewItem>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut items = items.lock();
    if items.iter().any(|item| item.content.name == content.name) {
        return Err(AppError::NameTaken)?;
    }
    let id = items.iter().map(|item| item.id).max().unwrap_or(0) + 1;
    let item = Item { id, content };
    items.push(item.clone());
    let location = [(header::LOCATION, format!("/api/items/{id}"))];
    Ok((StatusCode::CREATED, location, Envelope::new(item)))
}

async fn remove(
    State(items): State<Items>,
    Valid(Path(ItemId { id })): Valid<Path<ItemId>>,
) -> Result<StatusCode, ApiError> {
    let mut items = items.lock();
    let before = items.len();
    items.retain(|item| item.id != id);
    if items.len() == before { Err(AppError::NotFound)? } else { Ok(StatusCode::NO_CONTENT) }
}

/// `app/api/docs/[[...slug]]/route.ts`: the route without the parameter, and the one with it.
async fn docs(slug: Option<Path<String>>) -> Envelope<Vec<String>> {
    let slug = slug.map(|Path(slug)| slug).unwrap_or_default();
    Envelope::new(slug.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// A route whose database is down.
async fn broken() -> Result<Envelope<Item>, ApiError> {
    Err(AppError::Database(std::io::ErrorKind::ConnectionRefused.into()))?
}

pub(crate) fn routes(items: Items, auth: &Jwt<Claims>) -> Result<Router, ConfigError> {
    // `z.string().min(1, "Name is required")`
    let words = Messages::new().field("name", "too_short", "Name is required");
    let words = Validation::new().messages(words).layer();
    let version_1 = Deprecation::since("Tue, 30 Jun 2026 00:00:00 GMT")
        .sunset("Wed, 30 Jun 2027 00:00:00 GMT")
        .successor("/api/items")
        .build()?;
    Ok(Router::new()
        .route("/api/items", get(list).merge(post(create).layer(words).with_auth(auth)))
        .route("/api/items/{id}", get(show).merge(delete(remove).with_role(auth, ["admin"])))
        .route("/api/docs", get(docs))
        .route("/api/docs/{*slug}", get(docs))
        .route("/api/broken", get(broken))
        .route("/api/v1/items", get(list).layer(version_1.layer()))
        .with_state(items))
}
