use std::{sync::Arc, thread};

use palisade_core::Principal;

use super::{table::ENTRY, *};
use crate::jwt::validity::Validity;

const NOW: f64 = 1_000.0;
const FIRST: Generation = Generation { keys: 1, cleared: 0 };

fn one_bucket() -> TokenCache<u32> {
    TokenCache::new(BYTES_PER_BUCKET)
}

fn insert(cache: &TokenCache<u32>, token: &str, claims: u32, ends: f64) {
    let principal = Principal::new("ada");
    let verified = Verified { claims: Arc::new(claims), principal, confirmation: None };
    let lease = Lease { generation: FIRST, ends, validity: Validity::for_tests(), issuer: 0 };
    let identity = cache.insert(token.as_bytes(), verified, lease, NOW);
    assert_eq!(*identity.claims(), claims);
}

fn find(cache: &TokenCache<u32>, token: &str, now: f64) -> Option<u32> {
    let found = cache.find(token.as_bytes(), now, |_| Some(FIRST));
    found.map(|found| *found.claims())
}

/// Tokens with the same end have the same hash.
fn token(start: u32) -> String {
    format!("{start:04}.{}", "s".repeat(32))
}

#[test]
fn tokens_with_the_same_hash_are_different() {
    let cache = one_bucket();
    insert(&cache, &token(1), 1, NOW + 60.0);
    assert_eq!(find(&cache, &token(1), NOW), Some(1));
    assert_eq!(find(&cache, &token(2), NOW), None);
    insert(&cache, &token(2), 2, NOW + 60.0);
    assert_eq!(find(&cache, &token(1), NOW), Some(1));
    assert_eq!(find(&cache, &token(2), NOW), Some(2));
    let counts = cache.counts().unwrap();
    assert_eq!(counts, CacheCounts { hits: 3, misses: 1, evictions: 0 });
}

#[test]
fn expired_entry_is_not_found() {
    let cache = one_bucket();
    insert(&cache, &token(1), 1, NOW + 60.0);
    assert_eq!(find(&cache, &token(1), NOW + 59.9), Some(1));
    assert_eq!(find(&cache, &token(1), NOW + 60.0), None);
}

#[test]
fn entry_of_other_keys_is_not_found() {
    let cache = one_bucket();
    insert(&cache, &token(1), 1, NOW + 60.0);
    for generation in
        [None, Some(Generation { keys: 2, cleared: 0 }), Some(Generation { keys: 1, cleared: 1 })]
    {
        assert!(cache.find(token(1).as_bytes(), NOW, |_| generation).is_none());
    }
}

#[test]
fn fifth_entry_evicts_the_oldest_of_its_bucket() {
    let cache = one_bucket();
    for number in 0..5 {
        insert(&cache, &token(number), number, NOW + 60.0);
    }
    assert_eq!(find(&cache, &token(0), NOW), None);
    for number in 1..5 {
        assert_eq!(find(&cache, &token(number), NOW), Some(number));
    }
    assert_eq!(cache.counts().unwrap().evictions, 1);

    insert(&cache, &token(4), 40, NOW + 60.0);
    let other_thread = || find(&cache, &token(4), NOW);
    let found = thread::scope(|scope| scope.spawn(other_thread).join().unwrap());
    assert_eq!(found, Some(40), "the same token takes its own place");
    assert_eq!(find(&cache, &token(1), NOW), Some(1));
    assert_eq!(cache.counts().unwrap().evictions, 1);
}

#[test]
fn expired_entries_do_not_count_as_evicted() {
    let cache = one_bucket();
    for number in 0..5 {
        insert(&cache, &token(number), number, NOW);
    }
    assert_eq!(cache.counts().unwrap().evictions, 0);
}

#[test]
fn long_token_evicts_several_entries() {
    let cache = one_bucket();
    let long = |length: usize| "l".repeat(length);
    let largest = (BYTES_PER_BUCKET - ENTRY) / 2;
    insert(&cache, &long(largest + 1), 1, NOW + 60.0);
    assert_eq!(find(&cache, &long(largest + 1), NOW), None);

    insert(&cache, &token(1), 1, NOW + 60.0);
    insert(&cache, &long(largest), 2, NOW + 60.0);
    assert_eq!(find(&cache, &long(largest), NOW), Some(2));
    assert_eq!(find(&cache, &token(1), NOW), None);
    assert_eq!(cache.counts().unwrap().evictions, 1);
}

#[test]
fn cache_of_zero_bytes_stores_no_entry() {
    let cache = TokenCache::new(0);
    insert(&cache, &token(1), 1, NOW + 60.0);
    assert_eq!(find(&cache, &token(1), NOW), None);
    assert_eq!(cache.counts(), None);
}

/// A token that this thread has at hand: it was found twice in the table.
fn at_hand(cache: &TokenCache<u32>, number: u32) -> String {
    let token = token(number);
    insert(cache, &token, number, NOW + 60.0);
    for _ in 0..2 {
        assert_eq!(find(cache, &token, NOW), Some(number));
    }
    assert!(is_at_hand(cache, &token));
    token
}

fn is_at_hand(cache: &TokenCache<u32>, token: &str) -> bool {
    let hash = cache.hash(token.as_bytes());
    cache.thread().find(hash, token.as_bytes(), |_| true).is_some()
}

#[test]
fn second_hit_copies_the_entry_to_the_thread() {
    let cache = one_bucket();
    let token = at_hand(&cache, 1);
    assert_eq!(find(&cache, &token, NOW), Some(1));
    let other_thread = || !is_at_hand(&cache, &token) && find(&cache, &token, NOW) == Some(1);
    assert!(thread::scope(|scope| scope.spawn(other_thread).join().unwrap()));
    assert_eq!(cache.counts().unwrap(), CacheCounts { hits: 4, misses: 0, evictions: 0 });
}

#[test]
fn thread_local_entry_expires() {
    let cache = one_bucket();
    let token = at_hand(&cache, 1);
    assert_eq!(find(&cache, &token, NOW + 59.9), Some(1));
    assert_eq!(find(&cache, &token, NOW + 60.0), None);
}

#[test]
fn thread_local_entry_of_other_keys_is_not_found() {
    let cache = one_bucket();
    let token = at_hand(&cache, 1);
    for generation in
        [None, Some(Generation { keys: 2, cleared: 0 }), Some(Generation { keys: 1, cleared: 1 })]
    {
        assert!(cache.find(token.as_bytes(), NOW, |_| generation).is_none());
    }
}

#[test]
fn alternating_tokens_do_not_evict_the_thread_local_entry() {
    let cache = one_bucket();
    let first = at_hand(&cache, 1);
    insert(&cache, &token(2), 2, NOW + 60.0);
    for _ in 0..5 {
        assert_eq!(find(&cache, &token(2), NOW), Some(2));
        assert_eq!(find(&cache, &first, NOW), Some(1));
    }
    assert!(is_at_hand(&cache, &first) && !is_at_hand(&cache, &token(2)));
    assert_eq!(find(&cache, &token(2), NOW), Some(2));
    assert_eq!(find(&cache, &token(2), NOW), Some(2));
    assert!(!is_at_hand(&cache, &first) && is_at_hand(&cache, &token(2)));
}

#[test]
fn thread_local_entries_have_bounded_weight() {
    let cache = TokenCache::<u32>::new(64 * BYTES_PER_BUCKET);
    let long = |number: u32| format!("{number:0>3900}");
    let at_hand = || (0..64).filter(|number| is_at_hand(&cache, &long(*number))).count();
    for number in 0..64 {
        insert(&cache, &long(number), number, NOW + 60.0);
        for _ in 0..2 {
            assert_eq!(find(&cache, &long(number), NOW), Some(number));
        }
        assert!(is_at_hand(&cache, &long(number)), "the newest one has a place");
        assert!(at_hand() * weight(long(0).as_bytes()) <= 64 * BYTES_PER_BUCKET / 16);
    }
    assert!(at_hand() > 1);
}

#[test]
fn cached_identities_hide_claims_and_token_in_debug() {
    let cache = one_bucket();
    let token = at_hand(&cache, 77_777);
    let found = cache.find(token.as_bytes(), NOW, |_| Some(FIRST)).unwrap();
    let identity = Identity::from(found);
    let shown = format!("{identity:?} {cache:?}");
    assert!(shown.contains("ada") && !shown.contains("77777"), "{shown}");
}
