//! Every code in every format: as snapshots, by the schemas that clients get, and in the catalogue.
//!
//! After a change on purpose: `INSTA_UPDATE=always cargo test -p palisade-tests --test error_catalogue`, and
//! `ERROR_DOCS=overwrite` before the same command for `docs/errors.md` and `docs/errors.json`. Read the diff.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use palisade::{
    ApiError, ErrorFormat, ErrorLayer, GrpcCode, Issue, IssueSource, IssueView, QuotaViolation,
    RequestId, catalogue, issue_codes,
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Each error of the catalogue, with all that errors of its kind usually have, and a few that have more.
fn errors() -> Vec<(String, ApiError)> {
    let wait = Duration::from_millis(1500);
    let minimal = |entry: palisade::CatalogueEntry| {
        let error = ApiError::from(entry.code);
        let error = match entry.code.code {
            "UNAUTHENTICATED" => ApiError::unauthenticated().with_header(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"api\""),
            ),
            "FORBIDDEN" => ApiError::forbidden(),
            "METHOD_NOT_ALLOWED" => ApiError::method_not_allowed([&http::Method::GET]),
            "VALIDATION_ERROR" => ApiError::validation([
                Issue::new("email", "invalid_email", "must be an email address"),
                Issue::new("items[0].price", "too_small", "must be at least 1"),
                Issue::new("", "too_many", "too <much>"),
            ]),
            "RATE_LIMITED" => error.with_retry_after(wait),
            _ => error.with_source("hunter2"),
        };
        (entry.code.code.to_owned(), error)
    };
    let quotas = |error: ApiError| {
        let error = error.with_quota_violation(QuotaViolation::new("burst", 10));
        error.with_quota_violation(QuotaViolation::new("daily", 1000)).with_retry_after(wait)
    };
    // as the crate for validation makes them
    let found = || {
        let price = Issue::new("items[0].price", "too_small", "must be at least 1")
            .with_source(IssueSource::Body)
            .with_pointer("/items/0/price")
            .with_param("min", 1);
        let page = Issue::new("page", "wrong_type", "must be a number");
        let page = page.with_source(IssueSource::Query).with_param("expected", "a number");
        let whole = Issue::new("", "mismatch", "the passwords differ");
        ApiError::validation([price, page, whole]).with_truncated_issues()
    };
    let field = ApiError::validation([Issue::new("email", "invalid_email", "no")]);
    let german = ApiError::conflict().with_message("100 % ausverkauft \u{2013} schade");
    let named = [
        ("one_field", field.with_status(StatusCode::UNPROCESSABLE_ENTITY)),
        ("quotas", quotas(ApiError::rate_limited())),
        ("never", ApiError::rate_limited().with_quota_violation(QuotaViolation::new("none", 0))),
        ("reduced_capacity", quotas(ApiError::unavailable())),
        (
            "own_type",
            ApiError::conflict().with_code("OUT_OF_STOCK").with_message("the shelf is empty"),
        ),
        ("not_ascii", german),
        ("issues", found()),
        ("issues_flat", found().with_issue_view(IssueView::Flat)),
        ("issues_tree", found().with_issue_view(IssueView::Tree)),
    ];
    let named = named.into_iter().map(|(name, error)| (name.to_owned(), error));
    catalogue().map(minimal).chain(named).collect()
}

fn layer(format: ErrorFormat) -> ErrorLayer {
    let uri = "https://api.example.com/problems/out-of-stock";
    ErrorLayer::new().format(format).problem_type("OUT_OF_STOCK", uri, "Nothing left").unwrap()
}

async fn answer(error: &ApiError, format: ErrorFormat, kind: &'static str) -> Response<Bytes> {
    let service = layer(format).layer(service_fn(|_: Request<()>| {
        let error = error.clone();
        async { Err::<Response<Full<Bytes>>, _>(error) }
    }));
    let mut request = Request::post("/orders.v1.Orders/Place").body(()).unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    request.extensions_mut().insert(RequestId::parse(ID).unwrap());
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// As a client would see it, bytes escaped.
fn shown(response: &Response<Bytes>) -> String {
    let mut text = format!("{}\n", response.status());
    let mut fields: Vec<_> = response.headers().iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in fields {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    match std::str::from_utf8(response.body()) {
        Ok("") => {}
        Ok(body) => write!(text, "\n{body}\n").unwrap(),
        Err(_) => write!(text, "\n{}\n", response.body().escape_ascii()).unwrap(),
    }
    text
}

#[tokio::test]
async fn each_code_is_rendered_in_each_format() {
    for (name, error) in errors() {
        let mut page = String::new();
        for (title, format, kind) in [
            ("envelope", ErrorFormat::Envelope, "application/json"),
            ("flat", ErrorFormat::Flat, "application/json"),
            ("problem", ErrorFormat::Problem, "application/json"),
            ("text", ErrorFormat::Text, "application/json"),
            ("html", ErrorFormat::Html, "application/json"),
            ("grpc", ErrorFormat::Envelope, "application/grpc"),
            ("grpc-web", ErrorFormat::Envelope, "application/grpc-web+proto"),
            ("grpc-web-text", ErrorFormat::Envelope, "application/grpc-web-text"),
        ] {
            let mut response = answer(&error, format, kind).await;
            if title == "grpc-web-text" {
                // the same bytes, which the snapshot above shows
                let web = answer(&error, ErrorFormat::Envelope, "application/grpc-web").await;
                assert_eq!(STANDARD.decode(response.body()).unwrap(), web.body().to_vec());
                *response.body_mut() = Bytes::from_static(b"(the frame of grpc-web in base64)");
            }
            let all = format!("{:?}{}", response.headers(), response.body().escape_ascii());
            assert!(!all.contains("hunter2"), "{name} as {title} shows its cause");
            writeln!(page, "=== {title}\n{}", shown(&response)).unwrap();
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.to_lowercase(), page);
        });
    }
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"))
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(docs().join("schemas").join(name)).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[tokio::test]
async fn published_schemas_describe_every_error() {
    for (file, format) in [
        ("envelope.schema.json", ErrorFormat::Envelope),
        ("problem.schema.json", ErrorFormat::Problem),
    ] {
        let schema = schema(file);
        for (name, error) in errors() {
            let response = answer(&error, format.clone(), "application/json").await;
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            if let Err(error) = schema.validate(&body) {
                panic!("{name} by {file}: {error}: {body:#}");
            }
        }
    }
}

#[test]
fn published_schemas_reject_malformed_errors() {
    let envelope = schema("envelope.schema.json");
    for no in [
        json!({}),
        json!({"error": "text"}),
        json!({"error": {"code": "X"}}),
        json!({"error": {"code": "lower", "message": "no"}}),
        json!({"error": {"code": "X", "message": "no", "cause": "hunter2"}}),
        json!({"error": {"code": "X", "message": "no", "issues": [{"path": "a"}]}}),
        json!({"error": {"code": "X", "message": "no", "request_id": "two words"}}),
        json!({"error": {"code": "X", "message": "no", "truncated": false}}),
        json!({"error": {"code": "X", "message": "no", "formErrors": []}}),
        json!({"error": {"code": "X", "message": "no", "tree": {"items": {}}}}),
        json!({"error": {"code": "X", "message": "no", "issues": [
            {"path": "a", "code": "b", "message": "c", "source": "trailers"},
        ]}}),
        json!({"error": {"code": "X", "message": "no", "issues": [
            {"path": "a", "code": "b", "message": "c", "pointer": "a"},
        ]}}),
    ] {
        assert!(!envelope.is_valid(&no), "{no}");
    }
    let problem = schema("problem.schema.json");
    let good = json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no", "code": "X"});
    assert!(problem.is_valid(&good));
    for (member, value) in [
        ("type", json!("/problems/x")),
        ("title", json!("")),
        ("status", json!(200)),
        ("status", json!("404")),
        ("instance", json!("https://a.example/x")),
        ("violated-policies", json!("burst")),
        ("cause", json!("hunter2")),
    ] {
        let mut no = good.clone();
        no[member] = value;
        assert!(!problem.is_valid(&no), "{no}");
    }
}

/// The names that gRPC writes.
fn grpc_name(code: GrpcCode) -> String {
    let name = format!("{code:?}");
    let mut out = String::new();
    for (at, char) in name.char_indices() {
        if at > 0 && char.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(char.to_ascii_uppercase());
    }
    out
}

fn page() -> String {
    let mut page = "# Error codes\n\n\
        Every code that Palisade's crates answer with. Codes never change, messages may: programs compare codes. The same\n\
        for programs is [errors.json](errors.json); how errors look is in the [guide](guide/errors.md), and as JSON Schemas\n\
        in [schemas](schemas).\n\n\
        This page is made of the code, and a test compares the two. After a change:\n\n\
        ```sh\nERROR_DOCS=overwrite cargo test -p palisade-tests --test error_catalogue\n```\n\n\
        | code | HTTP | gRPC | message | what it means | crate |\n| --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for palisade::CatalogueEntry { from, code, .. } in catalogue() {
        let (status, grpc) = (code.status.as_u16(), grpc_name(code.grpc));
        let (code, message, about) = (code.code, code.message, code.about);
        writeln!(page, "| `{code}` | {status} | `{grpc}` | {message} | {about} | `{from}` |")
            .unwrap();
    }
    page.push_str(
        "\n## Codes of issues\n\n\
        What is wrong with a part of the input, in `issues`. Rules of a service's own may add others.\n\n\
        | code | what it means | `params` | crate |\n| --- | --- | --- | --- |\n",
    );
    for palisade::IssueCatalogueEntry { from, code, .. } in issue_codes() {
        let params = code.params.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let (params, code, about) = (params.join(", "), code.code, code.about);
        writeln!(page, "| `{code}` | {about} | {params} | `{from}` |").unwrap();
    }
    page
}

#[derive(serde::Serialize)]
struct Entry {
    code: &'static str,
    status: u16,
    grpc: String,
    message: &'static str,
    about: &'static str,
    #[serde(rename = "crate")]
    from: &'static str,
}

#[derive(serde::Serialize)]
struct IssueEntry {
    code: &'static str,
    about: &'static str,
    params: &'static [&'static str],
    #[serde(rename = "crate")]
    from: &'static str,
}

#[derive(serde::Serialize)]
struct Data {
    errors: Vec<Entry>,
    issues: Vec<IssueEntry>,
}

fn data() -> String {
    let entry = |palisade::CatalogueEntry { from, code, .. }| Entry {
        code: code.code,
        status: code.status.as_u16(),
        grpc: grpc_name(code.grpc),
        message: code.message,
        about: code.about,
        from,
    };
    let issue = |palisade::IssueCatalogueEntry { from, code, .. }| IssueEntry {
        code: code.code,
        about: code.about,
        params: code.params,
        from,
    };
    let data = Data {
        errors: catalogue().map(entry).collect(),
        issues: issue_codes().map(issue).collect(),
    };
    serde_json::to_string_pretty(&data).unwrap() + "\n"
}

#[test]
fn documented_catalogue_is_up_to_date() {
    for (file, made) in [("errors.md", page()), ("errors.json", data())] {
        let file = docs().join(file);
        if std::env::var_os("ERROR_DOCS").is_some_and(|how| how == "overwrite") {
            fs::write(&file, &made).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert!(written == made, "{} is not up to date: see its first lines", file.display());
    }
}

#[test]
fn every_code_of_every_crate_is_in_the_catalogue() {
    let known: BTreeSet<_> = catalogue().map(|entry| entry.code.code).collect();
    let crates = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates"));
    let mut found = 0;
    for file in sources(crates) {
        let text = fs::read_to_string(&file).unwrap();
        // what stands in the module of tests, or in examples, reaches no client
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ");
        for (start, literal) in [("with_code(", 0), ("ErrorCode::new(", 0), ("ApiError::new(", 2)] {
            for call in code.split(start).skip(1) {
                let Some(argument) = call.split(',').nth(literal) else { continue };
                let Some(argument) = argument.trim().strip_prefix('"') else { continue };
                let named = argument.split('"').next().unwrap_or_default();
                assert!(
                    known.contains(named),
                    "{named} of {} is not in the catalogue",
                    file.display()
                );
                found += 1;
            }
        }
    }
    assert!(found >= 5, "the sources were looked through: {found}");
}

/// Over gRPC a code is a reason, whose grammar every client may check (google/rpc/error_details.proto).
#[test]
fn every_code_is_a_valid_grpc_reason() {
    let codes = catalogue().map(|entry| entry.code.code.to_owned());
    let issues = issue_codes().map(|entry| entry.code.code.to_ascii_uppercase());
    let mut seen = BTreeSet::new();
    for code in codes.chain(issues) {
        let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let ends =
            code.starts_with(|first: char| first.is_ascii_uppercase()) && !code.ends_with('_');
        assert!((3..=63).contains(&code.len()) && ends && code.bytes().all(is_part), "{code}");
        assert!(seen.insert(code.clone()), "{code} is there twice");
    }
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("target") {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
