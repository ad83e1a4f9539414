//! The error responses of a stack, in documents that aide and utoipa have made.

use http::StatusCode;
use palisade::openapi::StackDescription;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// Something that is sold.
#[derive(ToSchema)]
#[allow(dead_code)]
struct Item {
    #[schema(min_length = 1)]
    name: String,
}

#[utoipa::path(
    post,
    path = "/items",
    request_body = Item,
    responses((status = 201, description = "created", body = Item), (status = 429, description = "of the handler")),
)]
#[allow(dead_code)]
fn create() {}

#[utoipa::path(get, path = "/items/{id}", params(("id" = u32, Path)), responses((status = 200, body = Item)))]
#[allow(dead_code)]
fn show() {}

#[utoipa::path(get, path = "/health", security(()), responses((status = 200)))]
#[allow(dead_code)]
fn health() {}

#[derive(OpenApi)]
#[openapi(paths(create, show, health))]
struct Document;

fn description() -> StackDescription {
    StackDescription::new()
        .request_ids()
        .rate_limit(["ratelimit"])
        .auth("token", json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}))
        .body_limit()
        .validate(StatusCode::UNPROCESSABLE_ENTITY)
}

fn statuses(operation: &Value) -> Vec<&str> {
    let mut statuses: Vec<_> =
        operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn utoipa_document_gets_the_responses_of_the_stack() {
    let mut document = serde_json::to_value(Document::openapi()).unwrap();
    description().describe(&mut document).unwrap();
    let paths = &document["paths"];
    let create = &paths["/items"]["post"];
    assert_eq!(statuses(create), ["201", "400", "401", "413", "415", "422", "429", "500"]);
    let show = &paths["/items/{id}"]["get"];
    assert_eq!(statuses(show), ["200", "400", "401", "422", "429", "500"]);
    // `security(())` is an operation without authentication.
    assert_eq!(statuses(&paths["/health"]["get"]), ["200", "429", "500"]);

    let responses = &create["responses"];
    assert_eq!(responses["429"]["description"], "of the handler");
    assert!(responses["429"]["headers"]["Retry-After"].is_object());
    assert!(responses["401"]["headers"]["WWW-Authenticate"].is_object());
    assert!(responses["201"]["headers"]["ratelimit"].is_object());
    assert!(responses["201"]["headers"]["X-Request-Id"].is_object());
    let codes =
        "/422/content/application~1json/schema/allOf/1/properties/error/properties/code/enum";
    assert_eq!(responses.pointer(codes), Some(&json!(["VALIDATION_ERROR"])));
    assert_eq!(document["components"]["schemas"]["Item"]["properties"]["name"]["minLength"], 1);
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["security"], json!([{"token": []}]));

    // Both libraries can read the result.
    let again: utoipa::openapi::OpenApi = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap()["paths"], document["paths"]);
    let aide: aide::openapi::OpenApi = serde_json::from_str(&document.to_string()).unwrap();
    assert_eq!(aide.paths.unwrap().paths.len(), 3);
}

#[test]
fn describing_a_document_twice_changes_nothing() {
    let mut document = serde_json::to_value(Document::openapi()).unwrap();
    description().describe(&mut document).unwrap();
    let once = document.clone();
    description().describe(&mut document).unwrap();
    assert_eq!(document["components"], once["components"]);
    assert_eq!(
        statuses(&document["paths"]["/items"]["post"]),
        statuses(&once["paths"]["/items"]["post"])
    );
}
