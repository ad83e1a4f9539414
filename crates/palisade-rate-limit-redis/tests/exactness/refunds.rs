use super::*;

#[tokio::test]
async fn refund_restores_at_most_the_charge() {
    let Some(server) = RedisServer::start() else { return };
    for quota in [
        Quota::per(10, MINUTE),
        Quota::per(10, MINUTE).strict(),
        Quota::per(10, MINUTE).gcra(),
        Quota::per(10, MINUTE).fixed_window(),
        Quota::per(10, MINUTE).exact_log(),
    ] {
        let clock = Hand::at(EPOCH);
        let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
        let moment = client.charge(4).await.moment;
        client.refund(3, moment).await;
        assert_eq!(client.remaining().await, 9, "{quota:?}");
        // never negative
        client.refund(10, moment).await;
        client.refund(10, moment).await;
        assert_eq!(client.remaining().await, 10, "{quota:?}");
        assert_eq!(client.charge(11).await.charged, None, "{quota:?}");
        assert_eq!(client.charge(10).await.charged, Some(10), "{quota:?}");
    }
    assert_eq!(server.keys_without_expiry(), [""; 0]);
}

#[tokio::test]
async fn refund_of_an_expired_window_changes_nothing() {
    let Some(server) = RedisServer::start() else { return };
    for (quota, over) in [
        (Quota::per(10, MINUTE), 120_000),
        (Quota::per(10, MINUTE).strict(), 67_500),
        (Quota::per(10, MINUTE).gcra(), 24_000),
        (Quota::per(10, MINUTE).fixed_window(), 60_000),
        (Quota::per(10, MINUTE).exact_log(), 60_000),
    ] {
        let clock = Hand::at(EPOCH);
        let client = Client::new(&store_at(&server, &clock), "api", [quota.clone()]);
        let moment = client.charge(4).await.moment;
        clock.advance(over);
        client.charge(10).await;
        client.refund(4, moment).await;
        assert_eq!(client.remaining().await, 0, "{quota:?}");
    }
}

#[tokio::test]
async fn refund_of_the_previous_window_is_applied_there() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE)]);
    let moment = client.charge(8).await.moment;
    clock.set(EPOCH + 60_000 + 30_000);
    client.charge(3).await;
    assert_eq!(client.remaining().await, 3);
    client.refund(8, moment).await;
    assert_eq!(client.remaining().await, 7);
}

#[tokio::test]
async fn gcra_refund_restores_only_what_has_not_drained() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE).gcra()]);
    // one each 6 seconds
    let moment = client.charge(1).await.moment;
    clock.advance(5_500);
    client.charge(5).await;
    assert_eq!(client.remaining().await, 4);
    client.refund(1, moment).await;
    // as if it had never been: what came later is not forgiven in its place
    assert_eq!(client.peek().await.readings[0], reading(5, 6_000, Fit::Fits));
    clock.advance(500);
    client.refund(1, moment).await;
    assert_eq!(client.peek().await.readings[0], reading(5, 5_500, Fit::Fits));
}

#[tokio::test]
async fn refund_without_a_charge_writes_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let clock = Hand::at(EPOCH);
    let client = Client::new(&store_at(&server, &clock), "api", [Quota::per(10, MINUTE)]);
    client.refund(5, EPOCH).await;
    client.refund(0, EPOCH).await;
    assert!(server.keys().is_empty());
}
