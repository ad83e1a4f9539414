//! Handlers: their input, their output, and who may call them.

use axum::{body::Body, http::Request};
use serde_json::json;

use super::Api;

#[tokio::test]
async fn list_has_defaults_coercion_and_repeated_keys() {
    let api = Api::new();
    let all = api.get("/api/items").await;
    assert_eq!(all.json()["data"][0]["name"], "chair");
    assert_eq!(
        all.json()["pagination"],
        json!({"page": 1, "limit": 20, "total": 2, "totalPages": 1})
    );
    let second = api.get("/api/items?limit=1&page=2&sort=price&tag=new&tag=new").await.json();
    assert_eq!(
        second["data"],
        json!([{"id": 2, "name": "chair", "unitPrice": 80.0, "tags": ["new"]}])
    );
    assert_eq!(second["pagination"]["totalPages"], 2);
    let wrong = api.get("/api/items?limit=1000&page=x&sort=age").await;
    assert_eq!((wrong.status, &*wrong.code()), (400, "VALIDATION_ERROR"));
    assert_eq!(wrong.json()["error"]["issues"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn single_item_is_found_by_its_path() {
    let api = Api::new();
    assert_eq!(api.get("/api/items/1").await.json()["data"]["name"], "lamp");
    let missing = api.get("/api/items/77").await;
    assert_eq!((missing.status, &*missing.code()), (404, "NOT_FOUND"));
    assert_eq!(api.get("/api/items/0").await.status, 400);
    assert_eq!(api.get("/api/items/seven").await.code(), "VALIDATION_ERROR");
}

#[tokio::test]
async fn optional_catch_all_takes_any_number_of_segments() {
    let api = Api::new();
    assert_eq!(api.get("/api/docs").await.json(), json!({"data": []}));
    assert_eq!(api.get("/api/docs/a/b").await.json(), json!({"data": ["a", "b"]}));
}

#[tokio::test]
async fn json_body_is_validated_with_custom_words() {
    let api = Api::new();
    let ada = api.bearer("ada", &["user"]);
    let made = api.post_json("/api/items", &ada, &json!({"name": "table", "unitPrice": 90})).await;
    assert_eq!((made.status, made.header("location")), (201, "/api/items/3"));
    assert_eq!(made.json()["data"]["tags"], json!([]));
    let wrong = api.post_json("/api/items", &ada, &json!({"name": "", "unitPrice": -1})).await;
    let issues = wrong.json()["error"]["issues"].clone();
    assert_eq!(
        (&issues[0]["path"], &issues[0]["message"]),
        (&json!("name"), &json!("Name is required"))
    );
    assert_eq!(
        (&issues[1]["path"], &issues[1]["code"]),
        (&json!("unitPrice"), &json!("too_small"))
    );
}

#[tokio::test]
async fn errors_have_a_code_a_message_and_a_field() {
    let api = Api::new();
    let ada = api.bearer("ada", &["user"]);
    let taken = api.post_json("/api/items", &ada, &json!({"name": "lamp", "unitPrice": 1})).await;
    let error = taken.json()["error"].clone();
    assert_eq!(
        (taken.status, &error["code"], &error["field"]),
        (409, &json!("NAME_TAKEN"), &json!("name"))
    );
    assert_eq!(error["message"], "an item with this name exists");
    assert_eq!(error["request_id"], taken.header("x-request-id"));
    let broken = api.get("/api/broken").await;
    assert_eq!((broken.status, &*broken.code()), (503, "UNAVAILABLE"));
    assert!(!broken.text().contains("refused"));
}

#[tokio::test]
async fn body_may_be_json_or_a_form() {
    let api = Api::new();
    let message = json!({"email": "ada@example.com", "text": "hi", "stars": 4});
    let post = |content_type| Request::post("/api/contact").header("content-type", content_type);
    let form = "application/x-www-form-urlencoded";
    let parts = "--B\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nada@example.com\r\n\
        --B\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhi\r\n\
        --B\r\nContent-Disposition: form-data; name=\"stars\"\r\n\r\n4\r\n--B--\r\n";
    for (content_type, body) in [
        ("application/json", message.to_string()),
        (form, "email=ada%40example.com&text=hi&stars=4".to_owned()),
        ("multipart/form-data; boundary=B", parts.to_owned()),
    ] {
        assert_eq!(
            api.send(post(content_type), body).await.json()["data"],
            message,
            "{content_type}"
        );
    }
    let wrong = api.send(post(form), "email=ada&text=&stars=9").await.json();
    let fields = wrong["error"]["fieldErrors"].as_object().unwrap();
    assert!(["email", "text", "stars"].iter().all(|field| fields.contains_key(*field)), "{wrong}");
    assert_eq!(api.send(post("text/plain"), "hi").await.status, 415);
}

#[tokio::test]
async fn upload_is_what_its_bytes_say() {
    let api = Api::new();
    let send = async |content: &str| {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nme\r\n--B\r\n\
             Content-Disposition: form-data; name=\"avatar\"; filename=\"a.jpg\"\r\n\r\n{content}\r\n--B--\r\n"
        );
        let request = Request::post("/api/avatar");
        api.send(request.header("content-type", "multipart/form-data; boundary=B"), body).await
    };
    assert_eq!(send("GIF89a").await.json()["error"]["issues"][0]["code"], "invalid_file_type");
    let missing = "--B\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nme\r\n--B--\r\n";
    let request =
        Request::post("/api/avatar").header("content-type", "multipart/form-data; boundary=B");
    assert_eq!(api.send(request, missing).await.json()["error"]["issues"][0]["code"], "missing");

    let png = [
        b"--B\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nme\r\n--B\r\n\
        Content-Disposition: form-data; name=\"avatar\"; filename=\"a.jpg\"\r\n\r\n"
            .as_slice(),
        b"\x89PNG\r\n\x1a\n",
        // Larger than the limit of the other routes.
        &vec![0; 3 * 1024 * 1024],
        b"\r\n--B--\r\n",
    ]
    .concat();
    let request =
        Request::post("/api/avatar").header("content-type", "multipart/form-data; boundary=B");
    let stored = api.send(request, png).await;
    assert_eq!(
        stored.json()["data"],
        json!({"caption": "me", "content_type": "image/png", "bytes": 8 + 3 * 1024 * 1024})
    );
}

#[tokio::test]
async fn headers_are_read_and_set() {
    let api = Api::new();
    let request = Request::get("/api/client").header("x-client-version", "3");
    let answer = api.send(request.header("accept-language", "de"), Body::empty()).await;
    assert_eq!(answer.json()["data"], json!({"accept_language": "de", "x_client_version": 3}));
    assert_eq!(answer.header("x-api-version"), "2");
    assert_eq!(api.get("/api/client").await.json()["error"]["issues"][0]["source"], "headers");
}

#[tokio::test]
async fn cookies_are_read_set_and_deleted() {
    let api = Api::new();
    let put = Request::put("/api/preferences").header("content-type", "application/json");
    let set = api.send(put, r#"{"theme":"a; Domain=x"}"#).await;
    let cookie = set.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("theme=a%3B%20Domain%3Dx; HttpOnly; SameSite=Lax; Secure; Path=/"),
        "{cookie}"
    );
    let sent = cookie.split(';').next().unwrap();
    let read = Request::get("/api/preferences").header("cookie", sent);
    assert_eq!(api.send(read, Body::empty()).await.json()["data"]["theme"], "a; Domain=x");
    assert_eq!(api.get("/api/preferences").await.json()["data"]["theme"], "light");
    let deleted = api.send(Request::delete("/api/preferences"), Body::empty()).await;
    assert!(deleted.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn current_user_comes_with_authentication() {
    let api = Api::new();
    let as_ada = |path| Request::get(path).header("authorization", api.bearer("ada", &["user"]));
    assert_eq!(api.send(as_ada("/api/me"), Body::empty()).await.json()["data"]["sub"], "ada");
    let anonymous = api.get("/api/me").await;
    assert_eq!((anonymous.status, &*anonymous.code()), (401, "UNAUTHENTICATED"));
    assert_eq!(api.get("/api/greeting").await.text(), "hello stranger\n");
    assert_eq!(api.send(as_ada("/api/greeting"), Body::empty()).await.text(), "hello ada\n");
    assert_eq!(api.send(as_ada("/api/admin/users"), Body::empty()).await.code(), "FORBIDDEN");
}

#[tokio::test]
async fn members_list_projects_and_owners_or_admins_delete_them() {
    let api = Api::new();
    let (ada, admin) = (api.bearer("ada", &["user"]), api.bearer("eve", &["admin"]));
    let status = async |method: &str, path: &str, bearer: &str| {
        let request = Request::builder().method(method).uri(path).header("authorization", bearer);
        api.send(request, Body::empty()).await.status
    };
    assert_eq!(status("GET", "/api/orgs/acme/projects", &ada).await, 200);
    assert_eq!(status("GET", "/api/orgs/globex/projects", &ada).await, 403);
    assert_eq!(status("DELETE", "/api/orgs/acme/projects/1", &ada).await, 204);
    assert_eq!(status("DELETE", "/api/orgs/acme/projects/2", &ada).await, 403);
    assert_eq!(status("DELETE", "/api/orgs/acme/projects/2", &admin).await, 204);
    assert_eq!(status("DELETE", "/api/orgs/acme/projects/3", &admin).await, 404);
    assert_eq!(status("DELETE", "/api/items/2", &ada).await, 403);
    assert_eq!(status("DELETE", "/api/items/2", &admin).await, 204);
}
