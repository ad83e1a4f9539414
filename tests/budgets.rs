//! The example of settled costs, as clients meet it.

use std::time::Duration;

use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use palisade_tests::{Client, Example};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

async fn left(client: &Client, caller: &str) -> u32 {
    client.get(&format!("/budget/{caller}"), &[]).await.text().trim().parse().unwrap()
}

/// Asks until the server has noticed what a client did: it settles when the connection says so.
async fn left_soon(client: &Client, caller: &str, expected: impl Fn(u32) -> bool) -> u32 {
    for _ in 0..500 {
        let left = left(client, caller).await;
        if expected(left) {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    left(client, caller).await
}

#[tokio::test]
async fn prints_commands_to_try() {
    let mut example = Example::start("budgets");
    assert!(example.output_until("tokens=500").contains("curl "));
}

#[tokio::test]
async fn response_is_charged_its_actual_cost() {
    for version in VERSIONS {
        let example = Example::start("budgets");
        let client = Client::new(example.address, version);
        let prompt = r#"{"text":"hello there"}"#;
        let answer = client.post_json("/completions", prompt, &["x-caller: ada"]).await;
        assert_eq!(answer.status, 200);
        assert_eq!((&answer.json()["tokens"], &answer.json()["left"]), (&4.into(), &800.into()));
        assert_eq!(answer.headers.get_all("ratelimit-policy").iter().count(), 2);
        assert_eq!(left(&client, "ada").await, 996);
        assert_eq!(left(&client, "grace").await, 1000);

        // The reservation has to fit, and a request that is rejected costs nothing.
        let long = format!(r#"{{"text":"{}"}}"#, "word ".repeat(450));
        let answer = client.post_json("/completions", long, &["x-caller: ada"]).await;
        assert_eq!(answer.status, 200, "more than was reserved");
        assert_eq!(left(&client, "ada").await, 96);
        let refused = client.post_json("/completions", prompt, &["x-caller: ada"]).await;
        assert_eq!((refused.status.as_u16(), &*refused.error_code()), (429, "RATE_LIMITED"));
        assert_eq!(left(&client, "ada").await, 96);
    }
}

#[tokio::test]
async fn stream_is_charged_when_it_ends() {
    for version in VERSIONS {
        let example = Example::start("budgets");
        let client = Client::new(example.address, version);
        let answer = client.get("/stream?tokens=7", &["x-caller: ada"]).await;
        assert_eq!(answer.text().matches("data: token").count(), 7);
        assert_eq!(left_soon(&client, "ada", |left| left == 993).await, 993);
    }
}

#[tokio::test]
async fn client_that_disconnects_pays_for_what_it_received() {
    for version in VERSIONS {
        let example = Example::start("budgets");
        let client = Client::new(example.address, version);
        let leaving = Client::new(example.address, version);
        let request = Request::builder()
            .method(Method::GET)
            .uri("/stream?tokens=100000")
            .header("x-caller", "ada");
        let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
        let mut response = leaving.start(request).await;
        for _ in 0..3 {
            response.frame().await.unwrap().unwrap();
        }
        assert_eq!(left(&client, "ada").await, 800, "reserved");
        drop(response);
        drop(leaving);
        let left = left_soon(&client, "ada", |left| left > 800).await;
        assert!((801..=997).contains(&left), "{left}");
    }
}
