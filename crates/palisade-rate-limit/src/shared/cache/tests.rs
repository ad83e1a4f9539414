use super::*;

fn standings() -> QuotaArray<Standing> {
    QuotaArray::filled_with(Standing::new(0, None))
}

fn refused() -> Refused {
    let mut refused = Refused { standings: standings(), waits: QuotaArray::filled_with(None) };
    refused.waits.push(Some(1000));
    refused
}

fn key(number: u64) -> CacheKey {
    CacheKey { hash: number, digest: number }
}

fn lease(permits: u32, moment: u64) -> Lease {
    Lease { permits, moment }
}

fn store(cache: &LocalCache, number: u64, times: (u64, u64), lease: Lease) -> [u32; 2] {
    assert!(cache.begin_lease(key(number), times.0, times.0 + 50));
    cache.lease(key(number), times, lease, 10, standings()).map(|back| back.permits)
}

fn spends(cache: &LocalCache, number: u64, now: u64, cost: u32) -> bool {
    matches!(cache.spend(number, now, cost), Cached::Leased { .. })
}

#[test]
fn permits_of_an_older_lease_are_returned_to_the_store() {
    let cache = LocalCache::for_keys(1);
    assert_eq!(store(&cache, 1, (0, 60), lease(3, 7)), [0, 0]);
    assert_eq!(
        cache.lease(key(1), (50, 110), lease(5, 8), 10, standings()),
        [lease(0, 8), lease(3, 7)]
    );
    assert!(!spends(&cache, 1, 59, 6), "the newer ones alone");
    assert!(spends(&cache, 1, 109, 5));
    // the answers arrive in another order
    assert_eq!(store(&cache, 2, (50, 110), lease(5, 8)), [0, 0]);
    assert_eq!(cache.lease(key(2), (0, 60), lease(3, 7), 10, standings())[0], lease(3, 7));
}

#[test]
fn permits_above_one_lease_are_returned_to_the_store() {
    let cache = LocalCache::for_keys(1);
    assert_eq!(store(&cache, 1, (0, 60), lease(14, 7)), [4, 0]);
    assert!(spends(&cache, 1, 0, 4));
    assert!(!cache.restore(1, 0, lease(4, 6), 10), "they were of another lease");
    assert!(!spends(&cache, 1, 0, 7));
    assert!(cache.restore(1, 0, lease(9, 7), 10));
    assert!(!spends(&cache, 1, 0, 11), "no more than one lease");
    assert!(spends(&cache, 1, 0, 10));
    assert!(!cache.restore(1, 60, lease(1, 7), 10), "the lease is over");
}

#[test]
fn only_one_request_at_a_time_requests_a_lease() {
    let cache = LocalCache::for_keys(1);
    assert!(cache.begin_lease(key(1), 0, 50));
    assert!(!cache.begin_lease(key(1), 49, 99));
    assert!(matches!(cache.spend(1, 0, 1), Cached::Nothing));
    assert!(cache.begin_lease(key(1), 50, 99), "the first never came back");
    cache.lease(key(1), (60, 120), lease(3, 1), 10, standings());
    assert!(cache.begin_lease(key(1), 60, 110), "for a request that costs more than is left");
    assert!(spends(&cache, 1, 60, 3), "which is still there");
}

#[test]
fn valid_leases_are_not_evicted_by_other_keys() {
    let cache = LocalCache::for_keys(1);
    let refused = refused();
    for number in 1..=4 {
        assert_eq!(store(&cache, number, (0, 60), lease(2, number)), [0, 0]);
    }
    assert!(!cache.begin_lease(key(5), 10, 60), "there is no place");
    assert_eq!(cache.lease(key(5), (10, 70), lease(2, 9), 10, standings())[0], lease(2, 9));
    cache.refuse(key(6), 10, 1, &refused, 1000);
    assert!((1..=4).all(|number| spends(&cache, number, 20, 1)));

    // A lease that is spent or over gives way.
    assert!(spends(&cache, 1, 20, 1));
    assert!(cache.begin_lease(key(5), 21, 60));
    cache.refuse(key(6), 60, 1, &refused, 1000);
    assert!(matches!(cache.spend(6, 61, 1), Cached::Refused(_)));
}

#[test]
fn rejection_is_cached_no_longer_than_its_cap() {
    let cache = LocalCache::for_keys(1);
    let refused = refused();
    cache.refuse(key(1), 0, 1, &refused, 300);
    assert!(matches!(cache.spend(1, 299, 1), Cached::Refused(_)));
    assert!(matches!(cache.spend(1, 300, 1), Cached::Nothing));
}

#[test]
fn block_is_cached_for_every_cost() {
    let cache = LocalCache::for_keys(1);
    assert_eq!(store(&cache, 1, (0, 60), lease(2, 7)), [0, 0]);
    cache.block(key(1), 10, 1000, 300);
    for cost in [0, 1, 9] {
        assert!(matches!(cache.spend(1, 110, cost), Cached::Blocked(900)));
    }
    assert!(matches!(cache.spend(1, 310, 1), Cached::Nothing));
}

#[test]
fn results_requested_before_an_invalidation_are_not_stored() {
    let cache = LocalCache::for_keys(64);
    let refused = refused();
    assert_eq!(store(&cache, 1, (0, 60), lease(2, 7)), [0, 0]);
    assert!(cache.begin_lease(key(2), 5, 60));
    cache.forget(&(1_u128 << 64).to_be_bytes(), 10);
    cache.forget(&(2_u128 << 64).to_be_bytes(), 10);
    assert!(!spends(&cache, 1, 11, 1));
    assert_eq!(cache.lease(key(2), (5, 65), lease(2, 7), 10, standings())[0], lease(2, 7));
    cache.refuse(key(3), 10, 1, &refused, 1000);
    assert!(matches!(cache.spend(3, 11, 1), Cached::Nothing));
    cache.refuse(key(3), 11, 1, &refused, 1000);
    assert!(matches!(cache.spend(3, 12, 1), Cached::Refused(_)));
}
