//! The example of a user's own policy.

use http::{StatusCode, Version};
use palisade_tests::{Client, Example};

#[tokio::test]
async fn responds_with_200_or_503_and_retry_after() {
    let example = Example::start("custom_policy");
    let client = Client::new(example.address, Version::HTTP_11);
    let answer = client.get("/", &[]).await;
    if answer.status == StatusCode::OK {
        assert_eq!(answer.text(), "welcome\n");
    } else {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["error"]["code"], "CLOSED");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=5).contains(&wait), "{wait}");
    }
}
