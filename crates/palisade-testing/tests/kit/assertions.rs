use axum::{Json, Router, routing::get};
use palisade::{ApiError, ErrorFormat, ErrorLayer, WithAuth, auth::Jwt};
use palisade_testing::{TestClient, TestIssuer, TestResponse};
use serde_json::{Value, json};

use crate::{SECRET, message_of};

fn client() -> TestClient {
    let issuer = TestIssuer::hs256(SECRET);
    let auth = Jwt::<Value>::with_keys(issuer.keys()).any_audience().build().unwrap();
    let app = Router::new()
        .route("/items", get(|| async { Json(["lamp"]) }))
        .route("/admin", get(|| async {}).with_role(&auth, ["admin"]));
    TestClient::new(app).with_issuer(&issuer)
}

/// Checks that an assertion fails, and what its message contains.
#[track_caller]
fn fails(response: &TestResponse, assert: impl Fn(&TestResponse), parts: &[&str]) {
    let message = message_of(|| assert(response));
    for part in parts {
        assert!(message.contains(part), "`{part}` in:\n{message}");
    }
}

#[tokio::test]
async fn failed_assertion_contains_expected_and_actual_values() {
    let ok = client().get("/items").await;
    let parts = [
        "GET /items (sent at",
        "tests/kit/assertions.rs:",
        "expected status 404, got 200 OK",
        r#"["lamp"]"#,
    ];
    fails(
        &ok,
        |r| {
            r.assert_status(404);
        },
        &parts,
    );
    fails(
        &ok,
        |r| {
            r.assert_rejected("FORBIDDEN");
        },
        &["FORBIDDEN, got 200 OK without an error code"],
    );
    fails(
        &ok,
        |r| {
            r.assert_header("etag", "1");
        },
        &["`etag: 1`, got no such header"],
    );
    let wrong = "got `application/json`";
    fails(
        &ok,
        |r| {
            r.assert_header("content-type", "text/html");
        },
        &[wrong],
    );
    fails(
        &ok,
        |r| {
            r.assert_no_header("content-type");
        },
        &["no header `content-type`"],
    );
    fails(
        &ok,
        |r| {
            r.assert_json(&json!([]));
        },
        &[r#"body [], got ["lamp"]"#],
    );
    fails(
        &ok,
        |r| {
            r.assert_text("lamp");
        },
        &[r#"body "lamp""#],
    );
    fails(
        &ok,
        |r| {
            r.json::<u8>();
        },
        &["not a `u8`"],
    );
    fails(
        &ok,
        |r| {
            r.assert_grpc_status(0);
        },
        &["gRPC status 0, got none"],
    );
    fails(
        &ok,
        |r| {
            r.grpc_message();
        },
        &["gRPC message"],
    );
    let missing = client().get("/missing").await;
    fails(
        &missing,
        |r| {
            r.assert_success();
        },
        &["expected success, got 404"],
    );
    fails(
        &missing,
        |r| {
            r.assert_rejected("NOT_FOUND");
        },
        &["without an error code"],
    );
}

#[tokio::test]
async fn failed_assertion_names_the_user_and_the_reason() {
    let bob = client().as_user("bob").role("user").get("/admin").await;
    let parts = [
        "as bob {\"roles\":[\"user\"]}",
        "expected status 200, got 403 Forbidden",
        "why: FORBIDDEN: access is denied",
        "policies: Jwt=granted, RequireRole=refused(FORBIDDEN)",
        "log:\n  INFO palisade::auth",
        "request:\n  GET /admin\n",
        "  authorization: … (",
        "response:\n  403 Forbidden\n",
        "\"FORBIDDEN\"",
    ];
    fails(
        &bob,
        |r| {
            r.assert_status(200);
        },
        &parts,
    );
    fails(
        &bob,
        |r| {
            r.assert_rejected("UNAUTHENTICATED");
        },
        &["UNAUTHENTICATED, got FORBIDDEN"],
    );
    let message = message_of(|| {
        bob.assert_status(200);
    });
    assert!(!message.contains("Bearer ey"), "{message}");

    // the client only learns that the token is not valid: the log knows which check failed
    let expired = client().as_user("ada").with_token(palisade_testing::TestToken::expired);
    let expired = expired.get("/admin").await;
    fails(
        &expired,
        |r| {
            r.assert_success();
        },
        &["check=\"expiry\""],
    );
}

#[tokio::test]
async fn codes_are_read_from_each_error_format() {
    for format in [
        ErrorFormat::Envelope,
        ErrorFormat::Flat,
        ErrorFormat::Problem,
        ErrorFormat::Text,
        ErrorFormat::Html,
    ] {
        let app = Router::new()
            .route("/", get(|| async { ApiError::conflict().with_code("SOLD_OUT") }))
            .layer(ErrorLayer::new().format(format.clone()));
        TestClient::new(app).get("/").await.assert_status(409).assert_rejected("SOLD_OUT");
    }
}
