//! Quotas that are chosen for each request.

use std::sync::atomic::{AtomicU32, Ordering};

use palisade_core::Principal;

use crate::*;

fn by(principal: &Principal, path: &str) -> Request<Script> {
    Request::get(path).extension(principal.clone()).body(Script::empty()).unwrap()
}

#[test]
fn tier_has_its_own_limit_and_name_and_counts_each_user() {
    let free = Quota::per(2, MINUTE).named("free");
    let (limit, _) =
        clocked(RateLimit::per_principal(free.clone()).quota(
            move |principal, _| match principal {
                Some(principal) if principal.has_role("pro") => Quota::per(4, MINUTE).named("pro"),
                _ => free.clone(),
            },
        ));
    for (user, tier, most) in [
        (Principal::new("ada"), "free", 2),
        (Principal::new("bob"), "free", 2),
        (Principal::new("grace").with_roles(["pro"]), "pro", 4),
    ] {
        for _ in 0..most {
            let passed = send(&limit, by(&user, "/"));
            assert!(passed.passed());
            let policy = format!("\"{tier}\";q={most};w=60");
            assert_eq!(passed.header("ratelimit-policy"), Some(&*policy));
        }
        let refused = send(&limit, by(&user, "/"));
        assert!(refused.limited());
        assert_eq!(refused.violated(), [tier]);
    }
}

#[test]
fn user_with_a_changed_limit_keeps_the_count() {
    for kind in [Quota::sliding_window, Quota::fixed_window, Quota::strict, Quota::gcra] {
        let bought = Arc::new(AtomicU32::new(3));
        let of = Arc::clone(&bought);
        let first = Quota::per(3, MINUTE);
        let (limit, _) = clocked(
            RateLimit::per_address(first)
                .quota(move |_, _| kind(Quota::per(of.load(Ordering::Relaxed), MINUTE))),
        );
        let passes = || (0..20).filter(|_| send(&limit, from(1)).passed()).count();
        assert_eq!(passes(), 3);
        bought.store(5, Ordering::Relaxed);
        // GCRA keeps the backlog as a time, here a minute.
        let gcra = matches!(
            kind(Quota::per(1, MINUTE)).algorithm(),
            palisade_rate_limit::Algorithm::Gcra { .. }
        );
        assert_eq!(passes(), if gcra { 0 } else { 2 });
        bought.store(2, Ordering::Relaxed);
        assert_eq!(passes(), 0);
        let refused = send(&limit, from(1));
        assert_eq!(refused.remaining(), [0]);
        assert!(refused.header("retry-after").is_some());
    }
}

#[test]
fn closure_receives_principal_and_head() {
    let (limit, _) =
        clocked(RateLimit::per_address(Quota::per(1, MINUTE)).quota(|principal, head| {
            let limit = if head.uri.path() == "/search" { 2 } else { 5 };
            vec![
                Quota::per(limit, MINUTE).named(head.uri.path().trim_start_matches('/').to_owned()),
                Quota::per(if principal.is_some() { 7 } else { 3 }, HOUR).named("in all"),
            ]
        }));
    assert_eq!(send(&limit, to("/search", 1)).remaining(), [1, 2]);
    assert_eq!(send(&limit, to("/items", 1)).remaining(), [3, 1], "one table, so one count");
    let mut known = to("/items", 1);
    known.extensions_mut().insert(Principal::new("ada"));
    assert_eq!(send(&limit, known).remaining(), [2, 4]);
}

#[test]
fn ninth_chosen_window_is_500_and_logged_once() {
    let (limit, _) =
        clocked(RateLimit::per_address(Quota::per(1, MINUTE)).name("made-up").capacity(10).quota(
            |_, head| {
                let seconds = head.uri.path()[1..].parse().unwrap();
                Quota::per(1, Duration::from_secs(seconds))
            },
        ));
    assert_eq!(limit.table_bytes(), 0);
    let log = logged(|| {
        for window in 1..=8 {
            assert!(send(&limit, to(&format!("/{window}"), 1)).passed());
            assert!(send(&limit, to(&format!("/{window}"), 1)).limited());
        }
        let bytes = limit.table_bytes();
        for window in [9, 10, 9] {
            let failed = send(&limit, to(&format!("/{window}"), 1));
            assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!failed.body.contains("window"), "the cause is for the log");
        }
        assert_eq!(limit.table_bytes(), bytes);
        assert!(send(&limit, to("/1", 2)).passed(), "the others go on");
    });
    // The error layer logs every failure by itself.
    assert_eq!(log.matches("ERROR palisade_rate_limit").count(), 1, "{log}");
    assert!(log.contains("limit=\"made-up\"") && log.contains("at most eight windows"), "{log}");
}

#[test]
fn invalid_quota_rejects_with_500() {
    let (limit, _) =
        clocked(RateLimit::per_address(Quota::per(1, MINUTE)).quota(
            |_, head| match head.uri.path() {
                "/none" => vec![],
                "/twice" => vec![Quota::per(1, MINUTE), Quota::per(1, HOUR)],
                "/never" => vec![Quota::per(1, Duration::ZERO)],
                "/name" => vec![Quota::per(1, MINUTE).named("a\"b")],
                _ => vec![Quota::per(1, MINUTE)],
            },
        ));
    for path in ["/none", "/twice", "/never", "/name"] {
        assert_eq!(send(&limit, to(path, 1)).status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
    assert!(send(&limit, to("/", 1)).passed());
}

/// As many requests of a client to this path as pass.
fn passing(limit: &RateLimit, path: &str) -> u32 {
    (0..1000).take_while(|_| send(limit, to(path, 1)).passed()).count() as u32
}

/// The limit that a path names.
fn limit_of(head: &http::request::Parts) -> u32 {
    head.uri.path()[1..].parse().unwrap()
}

#[test]
fn two_quotas_of_the_same_window_are_counted_separately() {
    for count in TIMED {
        let (limit, _) =
            clocked(RateLimit::per_address(Quota::per(1, MINUTE)).quota(move |_, _| {
                [
                    count(Quota::per(10, MINUTE)).named("a"),
                    count(Quota::per(100, MINUTE)).named("b"),
                ]
            }));
        assert_eq!(passing(&limit, "/"), 10);
    }
}

#[test]
fn exact_logs_of_similar_length_share_a_table() {
    let (limit, _) = clocked(
        RateLimit::per_address(Quota::per(1, MINUTE))
            .capacity(1000)
            .quota(|_, head| Quota::per(limit_of(head), MINUTE).exact_log()),
    );
    let passed: u32 = ["/5", "/6", "/7"].iter().map(|path| passing(&limit, path)).sum();
    assert_eq!(passed, 7);
    for n in 1..=1000 {
        let answer = send(&limit, to(&format!("/{n}"), 2 + n));
        assert!(answer.passed(), "a limit of {n}: {answer:?}");
    }
}

#[test]
fn limit_with_chosen_quotas_is_checked_at_build() {
    let setting = |quota: Quota, keys: usize| {
        let builder = RateLimit::per_address(quota).quota(|_, _| Quota::per(1, MINUTE));
        builder.capacity(keys).build().unwrap_err().setting()
    };
    assert_eq!(setting(Quota::per(5, Duration::ZERO), 10), "window");
    assert_eq!(setting(Quota::per(5, MINUTE).named("a\"b"), 10), "name");
    assert_eq!(setting(Quota::per(5, MINUTE), 0), "capacity");
}
