//! The example of a user's own policy.

use http::{StatusCode, Version};
use palisade_tests::{Client, Example};

#[tokio::test]
async fn it_is_open_or_says_when_it_will_be() {
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
