//! The OpenAPI document of an example, against the answers of the example.

use std::{env, path::PathBuf, process::Command};

use http::{Method, Request, Version};
use http_body_util::Full;
use palisade_tests::{Client, Example, did_not_run};
use serde_json::{Value, json};

/// Headers of each HTTP response, which OpenAPI does not describe.
const OF_HTTP: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
    "vary",
];

/// The expected status, the documented path, the method, the target, headers and the body.
type Case<'c> = (u16, &'c str, Method, &'c str, &'c [&'c str], &'c str);

#[tokio::test]
async fn answers_have_no_undocumented_status_header_or_body() {
    let mut example = Example::start("openapi");
    let token = format!("authorization: Bearer {}", example.token("user"));
    let client = Client::new(example.address, Version::HTTP_11);
    let document = client.get("/openapi.json", &[]).await.json();

    let json_type = "content-type: application/json";
    let item = r##"{"name":"lamp","price":2,"color":"#00ff00"}"##;
    let huge = format!(r#"{{"name":"{}","price":2}}"#, "x".repeat(70_000));
    let cases: [Case<'_>; 11] = [
        (200, "/health", Method::GET, "/health", &[], ""),
        (200, "/items", Method::POST, "/items", &[&token, json_type], item),
        (400, "/items", Method::POST, "/items", &[&token, json_type], "{"),
        (401, "/items", Method::POST, "/items", &[json_type], item),
        (413, "/items", Method::POST, "/items", &[&token, json_type], &huge),
        (415, "/items", Method::POST, "/items", &[&token, "content-type: text/plain"], item),
        (422, "/items", Method::POST, "/items", &[&token, json_type], r#"{"name":"","price":0}"#),
        (200, "/items/{id}", Method::GET, "/items/7?limit=2", &[&token], ""),
        (404, "/items/{id}", Method::GET, "/items/7000?limit=2", &[&token], ""),
        (422, "/items/{id}", Method::GET, "/items/0?limit=x", &[&token], ""),
        (401, "/items/{id}", Method::GET, "/items/7?limit=2", &[], ""),
    ];
    for (status, path, method, target, headers, body) in cases {
        let mut request = Request::builder().method(&method).uri(target);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let response = client.send(request.body(Full::from(body.to_owned())).unwrap()).await;
        assert_eq!(response.status.as_u16(), status, "{method} {target}: {}", response.text());
        let operation = &document["paths"][path][method.as_str().to_lowercase()];
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {target}: {status} is not documented");
        let names = described["headers"].as_object().unwrap();
        for name in response.headers.keys().filter(|name| !OF_HTTP.contains(&name.as_str())) {
            let is_known = names.keys().any(|known| known.eq_ignore_ascii_case(name.as_str()));
            assert!(is_known, "{method} {target}: {status} has `{name}`, which is not documented");
        }
        let schema = &described["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {target}: {status} has no body");
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        let body = response.json();
        assert!(schema.is_valid(&body), "{method} {target}: {body}");
    }
}

#[tokio::test]
async fn garde_rules_are_constraints_of_the_document() {
    let example = Example::start("openapi");
    let client = Client::new(example.address, Version::HTTP_11);
    let document = client.get("/openapi.json", &[]).await.json();
    let item = &document["components"]["schemas"]["Item"]["properties"];
    assert_eq!((&item["name"]["minLength"], &item["name"]["maxLength"]), (&json!(1), &json!(100)));
    assert_eq!(
        (&item["price"]["minimum"], &item["price"]["maximum"]),
        (&json!(0.5), &json!(1000.0))
    );
    assert_eq!(item["color"]["pattern"], "^#[0-9a-f]{6}$");

    let parameters = document["paths"]["/items/{id}"]["get"]["parameters"].as_array().unwrap();
    let one = |parameter: &Value| {
        let is_required = parameter["required"] == true;
        format!(
            "{} {} {is_required}",
            parameter["in"].as_str().unwrap(),
            parameter["name"].as_str().unwrap()
        )
    };
    let parameters: Vec<_> = parameters.iter().map(one).collect();
    assert_eq!(parameters, ["path id true", "query limit true", "header x-client-version false"]);
    let schema = client.get("/schemas/item", &[]).await.json();
    assert_eq!(schema["properties"]["price"]["maximum"], 1000.0);
}

/// The program of the environment that `scripts/test` makes.
fn schemathesis() -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    let target = test.ancestors().nth(3)?; // target/debug/deps/test
    let program = target.join("python-openapi/bin/schemathesis");
    program.exists().then_some(program)
}

#[tokio::test]
async fn schemathesis_finds_no_difference_from_the_document() {
    let Some(program) = schemathesis() else {
        did_not_run::<()>("schemathesis is not installed; scripts/test installs it");
        return;
    };
    let mut example = Example::start("openapi");
    let token = example.token("user");
    let mut run = Command::new(program);
    run.arg("run")
        .arg(format!("http://{}/openapi.json", example.address))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", "40"])
        .args(["--seed", "1", "--generation-database", "none", "--no-color"])
        // It keeps a cache where it runs.
        .current_dir(env::temp_dir());
    let output = tokio::task::spawn_blocking(move || run.output()).await.unwrap();
    let output = output.expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
