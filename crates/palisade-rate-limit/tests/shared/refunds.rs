//! Charges that are returned.

use super::*;

#[tokio::test]
async fn charge_of_an_uncounted_request_is_refunded() {
    let store = Told::default();
    let subject = limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
    subject.send_to(PEER, StatusCode::OK).await;
    subject.send_to(PEER, StatusCode::UNAUTHORIZED).await;
    subject.send_to(PEER, StatusCode::OK).await;
    // refunds run in tasks of their own
    tokio::task::yield_now().await;
    assert_eq!(store.refunded(), [(1, 1), (1, 3)], "amount and moment of the charge");
}

#[tokio::test]
async fn rejections_are_not_cached_if_refunds_are_possible() {
    let store = Told::to(Says::Over(Fit::After(MINUTE)));
    let subject = limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
    assert_eq!(subject.send(PEER).await.status(), 429);
    store.now_says(Says::Fits);
    assert_eq!(subject.send(PEER).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn refund_is_repeated_with_one_id_until_it_succeeds() {
    /// Fails a number of times.
    #[derive(Clone, Debug)]
    struct Deaf(Told, Arc<AtomicU32>);
    impl Store for Deaf {
        fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
            self.0.charge(demand)
        }
        fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
            let taken = self.0.refund(refund);
            let left =
                self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            Box::pin(async move { if left.is_ok() { Err("not now".into()) } else { taken.await } })
        }
    }
    for (failures, sent) in [(5, 6), (1000, 17)] {
        let store = Deaf(Told::default(), Arc::new(AtomicU32::new(failures)));
        let subject =
            limited_as(SharedStore::new(store.clone()), 9, RateLimitBuilder::only_failures);
        subject.send(PEER).await;
        tokio::time::sleep(MINUTE * 10).await;
        let orders = store.0.0.lock().unwrap();
        assert_eq!(orders.refunded.len(), sent, "it ends with the window");
        assert!(orders.refunded.iter().all(|refund| refund.id == orders.refunded[0].id));
    }
}
