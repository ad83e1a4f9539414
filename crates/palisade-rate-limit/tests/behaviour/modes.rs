//! Shadow mode, samples, and requests without a key.

use http::request;
use palisade_core::{Clock, Decision, Description, Policy, PolicyLayer, Principal, Trail};
use palisade_rate_limit::MissingKey;

use crate::*;

#[test]
fn limit_in_shadow_admits_and_logs_requests_over_it() {
    let quotas = [Quota::per(2, MINUTE).named("burst"), Quota::per(3, HOUR).named("hourly")];
    let builder = RateLimit::per_address(quotas).name("per-client").shadow();
    let (limit, clock) = clocked(builder);
    let log = logged(|| {
        for _ in 0..3 {
            let passed = send(&limit, from(1));
            assert!(passed.passed());
            assert!(passed.headers.is_empty(), "responses say nothing: {:?}", passed.headers);
        }
    });
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in ["INFO palisade::shadow", "limit=\"per-client\"", "over=\"burst\""] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    // The request that would have been refused is not charged: the third of the hour passes.
    clock.advance(3 * MINUTE);
    assert_eq!(logged(|| assert!(send(&limit, from(1)).passed())), "");
    let log = logged(|| assert!(send(&limit, from(1)).passed()));
    assert!(log.contains("over=\"hourly\""), "{log}");
}

#[test]
fn limit_is_enforced_for_a_fixed_sample_of_the_keys() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(1, MINUTE)).enforce_sample(0.5));
    let refused = || -> Vec<u32> {
        (0..400).filter(|client| send(&limit, from(*client)).limited()).collect()
    };
    logged(|| {
        assert_eq!(refused(), [0; 0], "nobody is over the limit yet");
        let enforced = refused();
        // 400 coins: fewer than 100 heads or tails come once in 10^24 runs
        assert!((100..300).contains(&enforced.len()), "{}", enforced.len());
        assert_eq!(refused(), enforced);
    });
}

#[test]
fn sample_of_one_enforces_all_keys_and_zero_none() {
    let refused = |fraction| {
        let builder = RateLimit::per_address(Quota::per(0, MINUTE)).enforce_sample(fraction);
        let (limit, _) = clocked(builder);
        (0..200).filter(|client| send(&limit, from(*client)).limited()).count()
    };
    assert_eq!(refused(1.0), 200);
    assert_eq!(logged(|| assert_eq!(refused(0.0), 0)).lines().count(), 200);
    for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let builder = RateLimit::per_address(Quota::per(0, MINUTE)).enforce_sample(fraction);
        assert_eq!(builder.build().unwrap_err().setting(), "enforce_sample");
    }
    let builder = RateLimit::per_address(Quota::per(0, MINUTE)).shadow().enforce_sample(1.0);
    assert!(send(&clocked(builder).0, from(1)).limited());
}

#[test]
fn missing_key_is_rejected_skipped_or_shared() {
    let anonymous = || Request::get("/").body(Script::empty()).unwrap();
    let named = |name: &str| {
        Request::get("/").extension(Principal::new(name)).body(Script::empty()).unwrap()
    };
    let of =
        |missing| clocked(RateLimit::per_principal(Quota::per(2, MINUTE)).missing_key(missing)).0;

    let refusing = of(MissingKey::Refuse);
    logged(|| assert_eq!(send(&refusing, anonymous()).status, 500));

    let skipping = of(MissingKey::Skip);
    for _ in 0..5 {
        let passed = send(&skipping, anonymous());
        assert!(passed.passed() && passed.headers.is_empty());
    }

    let sharing = of(MissingKey::Share);
    assert_eq!(logged(|| assert_eq!(send(&sharing, anonymous()).remaining(), [1])), "");
    assert_eq!(send(&sharing, named("")).remaining(), [1], "nobody is not somebody without a name");
    assert_eq!(send(&sharing, anonymous()).remaining(), [0]);
    assert!(send(&sharing, anonymous()).limited());
    assert_eq!(send(&sharing, named("ada")).remaining(), [1]);
}

/// Adds a trail to each request.
struct Observer(Trail);

impl Policy for Observer {
    type Grant = ();

    fn decide(&self, _: &request::Parts) -> Decision<()> {
        Decision::grant(())
    }

    fn admit(&self, (): &mut (), request: &mut request::Parts) {
        request.extensions.insert(self.0.clone());
    }

    fn describe(&self) -> Description {
        Description::of_type::<Self>().adds_trail()
    }
}

/// Returns the trail of a request.
fn noted<K: Key>(limit: &RateLimit<K>, request: Request<Script>) -> String {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let trail = Trail::new(clock);
    let layer = PolicyLayer::new(Observer(trail.clone()).then(limit.clone()));
    let handler = service_fn(async |_: Request<Script>| Ok::<_, Infallible>(ok()));
    drop(now(layer.layer(handler).oneshot(request)).unwrap());
    trail.steps().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn trail_contains_the_shadow_outcome() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(1, MINUTE)).shadow());
    assert_eq!(noted(&limit, from(1)), "RateLimit=granted in shadow");
    assert_eq!(noted(&limit, from(1)), "RateLimit=refused(RATE_LIMITED) in shadow");
    let nobody = Request::get("/").body(Script::empty()).unwrap();
    assert_eq!(noted(&limit, nobody), "RateLimit=could_not_tell(INTERNAL) in shadow");

    let (limit, _) = clocked(RateLimit::per_address(Quota::per(1, MINUTE)));
    assert_eq!(noted(&limit, from(1)), "RateLimit=granted");
    assert_eq!(noted(&limit, from(1)), "RateLimit=refused(RATE_LIMITED)");
}

#[test]
fn trail_distinguishes_enforced_and_observed_keys() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(1, MINUTE)).enforce_sample(0.5));
    let (mut meant, mut shadows) = (0, 0);
    for client in 0..100 {
        match &*noted(&limit, from(client)) {
            "RateLimit=granted" => {
                meant += 1;
                assert_eq!(noted(&limit, from(client)), "RateLimit=refused(RATE_LIMITED)");
            }
            first => {
                shadows += 1;
                let second = noted(&limit, from(client));
                assert_eq!(first, "RateLimit=granted in shadow");
                assert_eq!(second, "RateLimit=refused(RATE_LIMITED) in shadow");
            }
        }
    }
    assert!(meant > 10 && shadows > 10, "{meant} {shadows}");
}

#[test]
fn limit_in_shadow_admits_despite_its_own_errors() {
    let (limit, _) = clocked(RateLimit::per_address(Quota::per(5, MINUTE)).shadow());
    assert!(send(&limit, Request::get("/").body(Script::empty()).unwrap()).passed());
    let unheard_of = |_: Option<&_>, _: &_| Quota::per(5, Duration::ZERO);
    let (limit, _) =
        clocked(RateLimit::per_address(Quota::per(5, MINUTE)).quota(unheard_of).shadow());
    assert!(send(&limit, from(1)).passed());
}

#[test]
fn observed_key_gets_no_fields() {
    let sample = RateLimit::per_address(Quota::per(5, MINUTE)).enforce_sample(1e-12);
    let (limit, _) = clocked(sample);
    for _ in 0..20 {
        let answer = send(&limit, from(1));
        assert!(answer.passed());
        assert_eq!(answer.header("ratelimit"), None);
    }
}
