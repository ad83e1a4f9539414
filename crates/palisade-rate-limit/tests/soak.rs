//! The memory of a limit does not grow with the number of keys.

use std::{fs, time::Duration};

use http::{Request, request};
use palisade_core::{Decision, Policy};
use palisade_rate_limit::{Quota, RateLimit, by};

#[derive(Clone, Copy)]
struct Caller(u64);

/// Returns the resident memory of the process in bytes.
fn resident() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    pages.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

#[test]
fn memory_is_constant_for_any_number_of_keys() {
    let Some(_) = resident() else {
        assert!(std::env::var_os("CI").is_none(), "/proc/self/statm is missing");
        eprintln!("NOT TESTED: this machine does not tell what a process occupies");
        return;
    };
    let minute = Duration::from_secs(60);
    for quota in [
        Quota::per(100, minute),
        Quota::per(100, minute).strict(),
        Quota::per(5, minute).exact_log(),
    ] {
        let caller = by(|head: &request::Parts| head.extensions.get().map(|Caller(n)| *n));
        let limit = RateLimit::per_key(caller, quota).capacity(15_000).build().unwrap();
        let (mut head, ()) = Request::new(()).into_parts();
        let mut send = |keys: std::ops::Range<u64>| {
            for key in keys {
                head.extensions.insert(Caller(key));
                assert!(matches!(limit.decide(&head), Decision::Now(_)));
            }
        };
        // Touches each page of the table, which is not in memory before.
        send(0..60_000);
        let (before, bytes) = (resident().unwrap(), limit.table_bytes());
        send(60_000..300_000);
        let grown = resident().unwrap().saturating_sub(before);
        assert!(grown < 2 << 20, "it grew by {grown} bytes");
        assert_eq!(limit.table_bytes(), bytes);
    }
}
