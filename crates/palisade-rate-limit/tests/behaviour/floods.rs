//! More clients than there is room for.

use crate::*;

#[test]
fn flood_of_ten_times_the_capacity_resets_no_client() {
    const CAPACITY: usize = 600;
    for kind in TIMED {
        let quota = kind(Quota::per(20, MINUTE));
        let (limit, clock) = clocked(RateLimit::per_address(quota.clone()).capacity(CAPACITY));
        let bytes = limit.table_bytes();
        let at_their_limit = 0..50;
        for client in at_their_limit.clone() {
            assert!((0..20).all(|_| send(&limit, from(client)).passed()));
        }
        for stranger in 0..10 * CAPACITY as u32 {
            send(&limit, from(1000 + stranger));
            if stranger % 100 == 0 {
                let client = stranger / 100 % 50;
                assert!(send(&limit, from(client)).limited(), "{client} was reset: {quota:?}");
            }
        }
        for client in at_their_limit {
            assert!(send(&limit, from(client)).limited(), "{client} was reset: {quota:?}");
        }
        assert_eq!(limit.table_bytes(), bytes);

        // After the flood every client has its whole quota again.
        clock.advance(3 * MINUTE);
        assert_eq!(send(&limit, from(0)).remaining(), [19]);
        assert_eq!(send(&limit, from(9_999_999)).remaining(), [19]);
    }
}
