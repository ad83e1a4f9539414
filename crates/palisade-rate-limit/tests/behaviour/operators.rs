//! Checks without a request, operators' commands, and the status on requests.

use std::net::IpAddr;

use palisade_core::{Decision, Measured, Policy};
use palisade_rate_limit::{Ban, ByAddress, MissingKey, RateLimitStatus, by};

use crate::*;

fn key(client: u32) -> u128 {
    let address = std::net::Ipv4Addr::from_bits(0x0A00_0000 + client);
    ByAddress::default().key_of(IpAddr::V4(address))
}

fn limited(limit: u32) -> (RateLimit, ManualClock) {
    clocked(RateLimit::per_address(Quota::per(limit, MINUTE)))
}

fn left(limit: &RateLimit, client: u32) -> Option<u32> {
    now(limit.peek(key(client))).unwrap().remaining()
}

#[test]
fn checks_count_together_with_requests() {
    for kind in TIMED {
        let (limit, clock) = clocked(RateLimit::per_address(kind(Quota::per(10, MINUTE))));
        assert!(send(&limit, from(1)).passed());
        let status = now(limit.check(key(1), 6)).unwrap();
        assert_eq!(status.remaining(), Some(3));
        let refusal = now(limit.check(key(1), 4)).unwrap_err();
        assert_eq!(refusal.status(), 429);
        assert_eq!((left(&limit, 1), left(&limit, 2)), (Some(3), Some(10)));
        assert!((0..3).all(|_| send(&limit, from(1)).passed()));
        assert!(send(&limit, from(1)).limited());
        let refusal = now(limit.check(key(1), 4)).unwrap_err();
        clock.advance(refusal.retry_after().unwrap());
        assert!(now(limit.check(key(1), 4)).is_ok(), "{:?}", limit.quotas());
    }
}

#[test]
fn every_kind_of_key_can_be_queried() {
    let tenant = by(|head: &http::request::Parts| head.extensions.get::<u64>().copied());
    let limit = RateLimit::per_key(tenant, Quota::per(2, MINUTE)).build().unwrap();
    let (mut head, ()) = Request::new(()).into_parts();
    head.extensions.insert(7_u64);
    assert!(matches!(limit.decide(&head), Decision::Now(Ok(_))));
    assert_eq!(now(limit.peek(7)).unwrap().remaining(), Some(1));
    assert_eq!(now(limit.peek(8)).unwrap().remaining(), Some(2));

    let pair = (ByAddress::default(), palisade_rate_limit::ByMethod);
    let (limit, _) = clocked(RateLimit::per_key(pair, Quota::per(2, MINUTE)));
    assert!(send(&limit, from(1)).passed());
    assert_eq!(now(limit.peek((key(1), &b"POST"[..]))).unwrap().remaining(), Some(1));

    // Requests without a key share a key that equals no value.
    let header = palisade_rate_limit::ByHeader::new(http::HeaderName::from_static("x-tenant"));
    let (limit, _) =
        clocked(RateLimit::per_key(header, Quota::per(2, MINUTE)).missing_key(MissingKey::Share));
    assert!(send(&limit, from(1)).passed());
    let acme = palisade_rate_limit::FieldLines::from_value("acme");
    assert_eq!(now(limit.peek(acme)).unwrap().remaining(), Some(2));
}

#[test]
fn reset_client_has_its_whole_quota() {
    for kind in TIMED {
        let (limit, _) = clocked(RateLimit::per_address(kind(Quota::per(2, MINUTE))));
        for client in [1, 2] {
            assert!((0..2).all(|_| send(&limit, from(client)).passed()));
        }
        now(limit.reset(key(1))).unwrap();
        assert_eq!((left(&limit, 1), left(&limit, 2)), (Some(2), Some(0)));
        assert!((0..2).all(|_| send(&limit, from(1)).passed()));
        assert!(send(&limit, from(1)).limited() && send(&limit, from(2)).limited());
    }
}

#[test]
fn block_rejects_until_it_ends_and_charges_nothing() {
    let (limit, clock) = limited(10);
    assert!(send(&limit, from(1)).passed());
    now(limit.block(key(1), 90 * SECOND)).unwrap();
    clock.advance(SECOND / 2);
    let refused = send(&limit, from(1));
    assert!(refused.limited());
    assert_eq!(refused.header("retry-after"), Some("90"));
    assert!(now(limit.check(key(1), 1)).is_err());
    assert_eq!(left(&limit, 1), Some(9), "a look is allowed, and nothing was charged");
    assert!(send(&limit, from(2)).passed());
    clock.advance(90 * SECOND);
    assert!(send(&limit, from(1)).passed());

    now(limit.block(key(1), HOUR)).unwrap();
    assert!(send(&limit, from(1)).limited());
    now(limit.unblock(key(1))).unwrap();
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn repeated_rejections_extend_the_ban() {
    let builder = RateLimit::per_address(Quota::per(1, SECOND).fixed_window());
    let (limit, clock) = clocked(builder.ban(Ban::after(3, MINUTE)));
    let banned = |seconds: u64| {
        assert!(send(&limit, from(1)).passed());
        for _ in 0..2 {
            assert_eq!(send(&limit, from(1)).header("retry-after"), Some("1"));
        }
        // The rejection that causes the ban has its length.
        assert_eq!(send(&limit, from(1)).header("retry-after"), Some(&*seconds.to_string()));
        assert_eq!(send(&limit, from(1)).header("retry-after"), Some(&*seconds.to_string()));
        assert!(send(&limit, from(2)).passed());
        clock.advance(Duration::from_secs(seconds));
    };
    banned(60);
    banned(120);
    banned(240);
    clock.advance(240 * SECOND);
    banned(60);
}

#[test]
fn quotas_are_replaced_without_losing_counts() {
    for kind in TIMED {
        let quota = |limit| kind(Quota::per(limit, MINUTE));
        if quota(1) == quota(1).gcra() {
            continue;
        }
        let (limit, _) = clocked(RateLimit::per_address(quota(10)).name("api").capacity(100));
        for _ in 0..6 {
            assert!(send(&limit, from(1)).passed());
        }
        let handle = limit.handle();
        handle.replace(quota(5)).unwrap();
        let refused = send(&limit, from(1));
        assert!(refused.limited(), "{:?}", limit.quotas());
        assert!(refused.header("ratelimit-policy").unwrap().starts_with(r#""api";q=5;"#));
        assert_eq!(limit.quotas(), [quota(5).named("api")]);
        handle.replace(quota(8)).unwrap();
        let passed = (0..9).filter(|_| send(&limit, from(1)).passed()).count();
        assert_eq!(passed, 2, "{:?}", limit.quotas());
    }
    // A backlog is a time: six of ten a minute are 36 s, and three of five.
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(10, MINUTE).gcra()));
    assert!((0..6).all(|_| send(&limit, from(1)).passed()));
    limit.handle().replace(Quota::per(5, MINUTE).gcra()).unwrap();
    assert_eq!((0..5).filter(|_| send(&limit, from(1)).passed()).count(), 2);
}

#[test]
fn invalid_replacement_changes_nothing() {
    let (limit, _) = limited(10);
    let handle = limit.handle();
    let setting = |quotas: Vec<Quota>| handle.replace(quotas).unwrap_err().setting();
    assert_eq!(setting(vec![Quota::per(70_000, MINUTE)]), "limit");
    assert_eq!(setting(vec![Quota::per(7, Duration::ZERO)]), "window");
    assert_eq!(setting(vec![]), "quotas");
    assert_eq!(limit.quotas()[0].limit(), 10);
    // Another window has a table of its own.
    handle.replace([Quota::per(70_000, HOUR), Quota::per(3, MINUTE).named("b")]).unwrap();
    assert!((0..3).all(|_| send(&limit, from(1)).passed()));
    assert!(send(&limit, from(1)).limited());

    let chosen = RateLimit::per_address(Quota::per(1, MINUTE)).quota(|_, _| Quota::per(1, MINUTE));
    let chosen = chosen.build().unwrap();
    assert_eq!(chosen.handle().replace(Quota::per(2, MINUTE)).unwrap_err().setting(), "quotas");
}

#[test]
fn request_in_flight_gets_no_fields_of_replaced_quotas() {
    let (limit, _) = limited(10);
    let request = from(1);
    let (head, _) = request.into_parts();
    let Decision::Now(Ok(admission)) = limit.decide(&head) else { panic!() };
    limit.handle().replace(Quota::per(5, MINUTE).named("new")).unwrap();
    let (mut response, ()) = Response::new(()).into_parts();
    limit.finish(admission, &mut response);
    assert_eq!(response.headers.get("ratelimit"), None);
}

#[test]
fn handlers_receive_the_remaining_quota_of_every_limit() {
    let quotas = [Quota::per(10, MINUTE).named("burst"), Quota::per(100, HOUR).named("hourly")];
    let (outer, _) = clocked(RateLimit::per_address(quotas));
    let (inner, _) = clocked(RateLimit::per_address(Quota::per(5, MINUTE)).name("inner"));
    let handler = service_fn(|request: Request<Script>| async move {
        let status: &RateLimitStatus = request.extensions().get().unwrap();
        let quotas = status.quotas().map(|quota| (quota.name().to_owned(), quota.remaining()));
        let expected = [("burst", 9), ("hourly", 99), ("inner", 4)];
        assert!(quotas.eq(expected.map(|(name, left)| (name.to_owned(), left))));
        assert_eq!(status.remaining(), Some(4));
        assert!(status.quotas().all(|quota| quota.more_in().is_some() && quota.limit() >= 5));
        Ok::<_, Infallible>(ok())
    });
    let service = outer.layer().layer(inner.layer().layer(handler));
    assert_eq!(now(service.oneshot(from(1))).unwrap().status(), StatusCode::OK);
}

#[test]
fn uncounted_requests_have_no_status() {
    let limit = || RateLimit::per_address(Quota::per(1, MINUTE));
    for builder in [limit().skip(|_| true), limit().without_status()] {
        let (limit, _) = clocked(builder);
        let (mut head, _) = from(1).into_parts();
        let Decision::Now(Ok(mut admission)) = limit.decide(&head) else { panic!() };
        limit.admit(&mut admission, &mut head);
        assert!(head.extensions.get::<RateLimitStatus>().is_none());
    }
}

#[test]
fn rejections_blocks_and_near_misses_are_counted() {
    let (limit, _) = limited(20);
    let told = |name: &str| {
        let all = limit.measure();
        all.iter().find(|told| told.metric.name == name).unwrap().value
    };
    for _ in 0..25 {
        send(&limit, from(1));
    }
    now(limit.block(key(2), MINUTE)).unwrap();
    send(&limit, from(2));
    assert_eq!(told("palisade_limit_rejected_total"), 6.0);
    assert_eq!(told("palisade_limit_blocked_total"), 1.0);
    // 1 and 0 of 20 are less than a tenth.
    assert_eq!(told("palisade_limit_near_total"), 2.0);
}
