//! The example of cached responses, as clients meet it.

use http::{Method, Version};
use palisade_tests::{Answer, Client, Example};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn is_hit(answer: &Answer) -> bool {
    answer.header("cache-status") == Some("Palisade; hit")
}

#[tokio::test]
async fn hits_have_an_age_and_their_own_request_id() {
    for version in VERSIONS {
        let example = Example::start("cached_api");
        let client = Client::new(example.address, version);
        let first = client.get("/posts", &[]).await;
        assert!(!is_hit(&first) && first.header("age").is_none());
        let second = client.get("/posts", &[]).await;
        assert!(is_hit(&second), "{:?}", second.headers);
        assert!(second.header("age").is_some());
        assert_eq!(first.json(), second.json());
        assert_ne!(first.header("x-request-id").unwrap(), second.header("x-request-id").unwrap());
        let head = client.call(Method::HEAD, "/posts", &[]).await;
        assert!(is_hit(&head));
        assert_eq!(head.header("content-length"), second.header("content-length"));
    }
}

#[tokio::test]
async fn changes_require_the_current_version_and_purge() {
    for version in VERSIONS {
        let example = Example::start("cached_api");
        let client = Client::new(example.address, version);
        let post = client.get("/posts/1", &[]).await;
        client.get("/posts", &[]).await;
        let tag = post.header("etag").unwrap().to_owned();
        let current = client.get("/posts/1", &[&format!("if-none-match: {tag}")]).await;
        assert_eq!((current.status.as_u16(), &*current.text()), (304, ""));

        let put = async |fields: &[&str]| client.call(Method::PUT, "/posts/1", fields).await;
        let without = put(&[]).await;
        assert_eq!(
            (without.status.as_u16(), &*without.error_code()),
            (428, "PRECONDITION_REQUIRED")
        );
        let other = put(&["if-match: \"other\""]).await;
        assert_eq!((other.status.as_u16(), &*other.error_code()), (412, "PRECONDITION_FAILED"));
        assert!(is_hit(&client.get("/posts", &[]).await));
        assert_eq!(put(&[&format!("if-match: {tag}")]).await.status, 204);
        assert_eq!(put(&[&format!("if-match: {tag}")]).await.status, 412);
        assert!(!is_hit(&client.get("/posts", &[]).await));
        let changed = client.get("/posts/1", &[&format!("if-none-match: {tag}")]).await;
        assert_eq!(changed.status, 200);
    }
}

#[tokio::test]
async fn callers_have_their_own_entries_and_editors_purge() {
    for version in VERSIONS {
        let mut example = Example::start("cached_api");
        let client = Client::new(example.address, version);
        let key = |key: String| format!("x-api-key: {key}");
        let (ada, grace) =
            (key(example.credential("ada key")), key(example.credential("grace key")));
        for caller in [&ada, &grace] {
            let first = client.get("/me", &[caller]).await;
            assert!(!is_hit(&first), "{:?}", first.headers);
            let second = client.get("/me", &[caller]).await;
            assert!(is_hit(&second), "{:?}", second.headers);
            assert_eq!(first.text(), second.text());
        }
        assert!(client.get("/me", &[&ada]).await.text().starts_with("ada"));
        assert_eq!(client.get("/me", &[]).await.status, 401);

        client.get("/posts", &[]).await;
        let purge = async |field: &str| {
            client.call(Method::POST, "/admin/purge/posts", &[field]).await.status.as_u16()
        };
        assert_eq!(purge(&grace).await, 403);
        assert!(is_hit(&client.get("/posts", &[]).await));
        assert_eq!(purge(&ada).await, 204);
        assert!(!is_hit(&client.get("/posts", &[]).await));
    }
}
