use super::*;

fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": {
            "/health": {"get": {"responses": {"200": {"description": "fine"}}}},
            "/items/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": true}],
                "get": {"responses": {}},
                "put": {
                    "requestBody": {}, "security": [],
                    "responses": {"400": {"description": "mine", "content": {"application/json": {"schema": {"type": "string"}}}}},
                },
            },
        },
    })
}

fn described() -> Value {
    let mut document = document();
    StackDescription::new()
        .request_ids()
        .rate_limit(["ratelimit"])
        .auth("key", json!({"type": "apiKey", "in": "header", "name": "x-api-key"}))
        .public("/health")
        .rule()
        .timeout()
        .body_limit()
        .validate(StatusCode::UNPROCESSABLE_ENTITY)
        .describe(&mut document)
        .unwrap();
    document
}

fn statuses(operation: &Value) -> Vec<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn each_operation_lists_its_possible_responses() {
    let document = described();
    let paths = &document["paths"];
    assert_eq!(statuses(&paths["/health"]["get"]), ["200", "429", "500", "504"]);
    let get = &paths["/items/{id}"]["get"];
    assert_eq!(statuses(get), ["400", "401", "403", "422", "429", "500", "504"]);
    let put = &paths["/items/{id}"]["put"];
    assert_eq!(statuses(put), ["400", "408", "413", "415", "422", "429", "500", "504"]);
    assert_eq!(document["components"]["securitySchemes"]["key"]["name"], "x-api-key");
}

#[test]
fn existing_responses_of_the_document_are_kept() {
    let document = described();
    let response = &document["paths"]["/items/{id}"]["put"]["responses"]["400"];
    assert_eq!(response["description"], "mine");
    let schemas = &response["content"]["application/json"]["schema"]["anyOf"];
    assert_eq!(schemas[0], json!({"type": "string"}));
    let codes = &schemas[1]["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"];
    assert_eq!(*codes, json!(["BAD_REQUEST", "INVALID_JSON"]));
    assert!(response["headers"]["X-Request-Id"].is_object());
}

#[test]
fn error_format_determines_the_response_schema() {
    for (format, media_type) in [
        (ErrorFormat::Problem, Some("application/problem+json")),
        (ErrorFormat::Flat, Some("application/json")),
        (ErrorFormat::Text, None),
    ] {
        let mut document = document();
        StackDescription::new().format(format).describe(&mut document).unwrap();
        let response = &document["paths"]["/health"]["get"]["responses"]["500"];
        let content = response.get("content").and_then(Value::as_object);
        assert_eq!(content.and_then(|all| all.keys().next()).map(String::as_str), media_type);
    }
}

#[test]
fn documents_other_than_openapi_3_are_errors() {
    for other in
        [json!({}), json!({"openapi": "3.1.0"}), json!({"swagger": "2.0", "paths": {}}), json!(1)]
    {
        assert!(StackDescription::new().describe(&mut other.clone()).is_err(), "{other}");
    }
}
