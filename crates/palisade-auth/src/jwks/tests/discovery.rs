use super::*;

const METADATA: &str = "https://issuer.example/.well-known/openid-configuration";

fn discovering(metadata: &str) -> Setup {
    let setup = setup();
    setup.issuer.serve(METADATA, Some(Fetched::new(metadata.to_owned())));
    let keys = Jwks::issuer("https://issuer.example")
        .fetch(setup.issuer.clone())
        .clock(Arc::new(setup.clock.clone()))
        .remote()
        .unwrap();
    Setup { keys, ..setup }
}

#[tokio::test]
async fn finds_keys_by_the_issuers_metadata() {
    let setup = discovering(
        r#"{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"}"#,
    );
    assert!(setup.finds("a").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn fetches_no_keys_for_another_issuers_metadata() {
    let setup = discovering(
        r#"{"issuer":"https://issuer.example/","jwks_uri":"https://issuer.example/keys"}"#,
    );
    assert_503(&setup.finds("a").await.unwrap_err());
    assert_eq!(setup.issuer.asked(), 1);
}
