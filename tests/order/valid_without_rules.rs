use axum::Json;
use palisade::validate::Valid;

#[derive(serde::Deserialize)]
pub struct Item {
    pub name: String,
}

pub async fn create(body: Valid<Json<Item>>) -> String {
    body.0.name.clone()
}
