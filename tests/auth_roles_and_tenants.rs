//! The example of roles and tenants, as it answers to curl: over HTTP/1.1 and HTTP/2.

use http::Method;
use palisade_tests::{Answer, Client, Example};
use serde_json::json;

/// The header of each caller that the example made a token for.
struct Callers {
    viewer: String,
    admin: String,
    suspended: String,
    stranger: String,
}

fn start() -> (Example, Callers) {
    let mut example = Example::start("auth_roles_and_tenants");
    let mut header = |whom| format!("authorization: Bearer {}", example.token(whom));
    let callers = Callers {
        viewer: header("viewer"),
        admin: header("admin"),
        suspended: header("suspended"),
        stranger: header("stranger"),
    };
    (example, callers)
}

/// Status and code of a refusal.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.error_code())
}

fn says(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("auth_roles_and_tenants");
    let output = example.output_until("/forgotten");
    for needed in ["viewer token:", "admin token:", "suspended token:", "stranger token:"] {
        assert!(output.contains(needed), "{needed} is not in the output");
    }
    assert!(output.lines().filter(|line| line.contains("curl ")).count() >= 12);
}

#[tokio::test]
async fn organisation_is_accessible_to_its_members_only() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        let list = async |path: &str, fields: &[&str]| client.get(path, fields).await;
        let own = list("/orgs/acme/reports", &[&callers.viewer]).await;
        assert_eq!(own.status, 200);
        let ids = |answer: &Answer| {
            let reports = answer.json();
            reports
                .as_array()
                .unwrap()
                .iter()
                .map(|report| report["id"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&own), [json!(1)], "a list holds what its reader may read");
        assert_eq!(ids(&list("/orgs/acme/reports", &[&callers.admin]).await), [json!(1), json!(2)]);

        let stranger = list("/orgs/acme/reports", &[&callers.stranger]).await;
        assert_eq!(refusal(&stranger), says(403, "FORBIDDEN"));
        assert!(stranger.header("www-authenticate").is_none());
        let nobody = list("/orgs/acme/reports", &[]).await;
        assert_eq!(refusal(&nobody), says(401, "UNAUTHENTICATED"));
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"api\""));
    }
}

#[tokio::test]
async fn alternative_spellings_of_a_path_are_rejected() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        for path in [
            "/orgs/globex/../acme/reports",
            "/orgs/globex%2F..%2Facme/reports",
            "/orgs/%61cme/reports",
            "//orgs/acme/reports",
            "/orgs//acme/reports",
            "/orgs/acme%2Freports",
            "/orgs/acme/reports/",
            "/orgs/acme/reports/1%2F",
            "/Orgs/acme/reports",
            "/%6frgs/acme/reports",
            "/orgs/acme;globex/reports",
        ] {
            let answer = client.get(path, &[&callers.stranger]).await;
            assert!([403, 404].contains(&answer.status.as_u16()), "{path}: {answer:?}");
        }
        let encoded = client.get("/orgs/%61cme/reports", &[&callers.viewer]).await;
        assert_eq!(encoded.status, 200, "the rule and the handler read the same name");
    }
}

#[tokio::test]
async fn forbidden_report_is_indistinguishable_from_an_absent_one() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        let read = async |id: u32, caller: &str| {
            client.get(&format!("/orgs/acme/reports/{id}"), &[caller, "x-request-id: same"]).await
        };
        assert_eq!(read(1, &callers.viewer).await.json()["title"], "Notes on the engine");
        assert_eq!(read(2, &callers.admin).await.json()["author"], "grace");

        let hidden = read(2, &callers.viewer).await;
        let absent = read(9, &callers.viewer).await;
        assert_eq!(refusal(&hidden), says(404, "NOT_FOUND"));
        assert_eq!((hidden.status, &hidden.body), (absent.status, &absent.body));
        let without_date = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&hidden), without_date(&absent));
        // another organisation's report is not here either
        assert_eq!(refusal(&read(3, &callers.admin).await), says(404, "NOT_FOUND"));
    }
}

#[tokio::test]
async fn role_includes_lower_roles_and_explicit_deny_overrides() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        let remove = async |fields: &[&str]| {
            client.call(Method::DELETE, "/orgs/acme/reports/1", fields).await
        };
        assert_eq!(remove(&[&callers.admin]).await.status, 204);
        for caller in [&callers.viewer, &callers.suspended, &callers.stranger] {
            assert_eq!(refusal(&remove(&[caller]).await), says(403, "FORBIDDEN"));
        }
        assert_eq!(refusal(&remove(&[]).await), says(401, "UNAUTHENTICATED"));
    }
}

#[tokio::test]
async fn missing_scope_is_named_in_the_challenge() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        let export =
            async |caller: &str| client.call(Method::POST, "/orgs/acme/exports", &[caller]).await;
        assert_eq!(export(&callers.admin).await.status, 202);
        let lacking = export(&callers.viewer).await;
        assert_eq!(refusal(&lacking), says(403, "FORBIDDEN"));
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"reports:export\"";
        assert_eq!(lacking.header("www-authenticate"), Some(challenge));
        // who has the scope elsewhere is told nothing of it here
        let stranger = export(&callers.stranger).await;
        assert_eq!(refusal(&stranger), says(403, "FORBIDDEN"));
        assert!(stranger.header("www-authenticate").is_none());
    }
}

#[tokio::test]
async fn only_public_routes_are_open() {
    let (example, callers) = start();
    for client in Client::of_each_version(example.address) {
        assert_eq!(client.get("/health", &[]).await.text(), "ok");
        assert_eq!(refusal(&client.get("/nothing", &[]).await), says(404, "NOT_FOUND"));
        for fields in [&[][..], &[callers.admin.as_str()]] {
            let forgotten = client.get("/forgotten", fields).await;
            assert_eq!(refusal(&forgotten), says(403, "FORBIDDEN"));
            assert!(!forgotten.text().contains("nobody reads this"));
        }
    }
}
