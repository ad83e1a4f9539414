//! The example of a login form, as a browser uses it.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use palisade_tests::{Answer, Client, Example};

/// The `Cookie` field that a browser would send after this answer.
fn cookie(login: &Answer) -> String {
    let set = login.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Lax");
    assert!(pair.starts_with("__Host-session="), "{pair}");
    format!("cookie: {pair}")
}

async fn log_in(client: &Client, password: &str, return_to: &str, fields: &[&str]) -> Answer {
    let form = format!("user=ada&password={password}&return_to={return_to}");
    let mut request =
        Request::post("/login").header("content-type", "application/x-www-form-urlencoded");
    for field in fields {
        let (name, value) = field.split_once(": ").expect("name: value");
        request = request.header(name, value);
    }
    client.send(request.body(Full::new(Bytes::from(form))).expect("a request")).await
}

const PAGE: &str = "accept: text/html";
const OWN: &str = "sec-fetch-site: same-origin";

#[tokio::test]
async fn browser_logs_in_returns_to_its_page_and_logs_out() {
    let mut example = Example::start("auth_login_form");
    let password = example.credential("password");
    for client in Client::of_each_version(example.address) {
        let sent = client.get("/account?tab=orders", &[PAGE]).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER);
        let login = sent.header("location").unwrap().to_owned();
        assert_eq!(login, "/login?return_to=%2Faccount%3Ftab%3Dorders");
        let form = client.get(&login, &[PAGE]).await;
        assert!(form.text().contains("value=\"/account?tab=orders\""), "{}", form.text());

        let back = log_in(&client, &password, "%2Faccount%3Ftab%3Dorders", &[OWN]).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER);
        assert_eq!(back.header("location"), Some("/account?tab=orders"));
        let session = cookie(&back);
        let account = client.get("/account", &[PAGE, &session]).await;
        assert_eq!(account.status, StatusCode::OK);
        assert!(account.text().contains("Hello Ada"));
        assert_eq!(account.header("cache-control"), Some("private"));

        // a login over the session replaces it
        let again = cookie(&log_in(&client, &password, "/", &[OWN, &session]).await);
        assert_eq!(client.get("/account", &[&session]).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(client.get("/account", &[&again]).await.status, StatusCode::OK);

        let out = client.call(Method::POST, "/logout", &[OWN, &again]).await;
        assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, Some("/login")));
        assert!(out.header("set-cookie").unwrap().contains("__Host-session=; Path=/; Max-Age=0"));
        assert_eq!(client.get("/account", &[&again]).await.status, StatusCode::UNAUTHORIZED);

        // on all devices
        let phone = cookie(&log_in(&client, &password, "/", &[OWN]).await);
        let laptop = cookie(&log_in(&client, &password, "/", &[OWN]).await);
        client.call(Method::POST, "/logout/everywhere", &[OWN, &phone]).await;
        for device in [phone, laptop] {
            assert_eq!(client.get("/account", &[&device]).await.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
async fn forged_logins_are_rejected() {
    let mut example = Example::start("auth_login_form");
    let password = example.credential("password");
    let client = Client::new(example.address, http::Version::HTTP_11);

    let wrong = log_in(&client, "wrong", "/", &[OWN]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.header("set-cookie").is_none());
    // a page of another site cannot log its visitor in, nor out
    let cross = "sec-fetch-site: cross-site";
    let forged = log_in(&client, &password, "/", &[cross]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let session = cookie(&log_in(&client, &password, "/", &[OWN]).await);
    let out = client.call(Method::POST, "/logout", &[cross, &session]).await;
    assert_eq!(out.status, StatusCode::FORBIDDEN);
    assert_eq!(client.get("/account", &[&session]).await.status, StatusCode::OK);

    // a session that an attacker plants is not adopted
    let planted = "cookie: __Host-session=planted";
    let own = cookie(&log_in(&client, &password, "/", &[OWN, planted]).await);
    assert!(own != planted);
    assert_eq!(client.get("/account", &[planted]).await.status, StatusCode::UNAUTHORIZED);

    // the way back leads to this origin, and is no HTML
    let elsewhere = log_in(&client, &password, "https%3A%2F%2Fevil.example", &[OWN]).await;
    assert_eq!(elsewhere.header("location"), Some("/"));
    let form = client.get("/login?return_to=%2F%2Fevil.example", &[PAGE]).await;
    assert!(form.text().contains("value=\"/\""));
    let form = client.get("/login?return_to=%2F%22%3E%3Cscript%3E", &[PAGE]).await;
    assert!(!form.text().contains("<script>"), "{}", form.text());
}
