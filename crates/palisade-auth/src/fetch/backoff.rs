use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(2);

/// Returns how long to leave an issuer alone after this many failures in a row: between 1 and 2 s after the first, then
/// twice as long each time, up to `longest`.
///
/// Half of each pause is random, so that a fleet that lost its issuer at one moment does not return at one moment.
pub(crate) fn backoff(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let pause = (FIRST * (1 << doublings)).min(longest);
    let half = pause / 2;
    half + half.mul_f64(random_fraction())
}

/// Returns a number from 0 to 1. The standard library seeds its hash tables differently in each process and at each
/// call; a better generator is not needed, because an attacker gains nothing from predicting a pause.
fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn pauses_double_up_to_the_longest() {
        for (failures, least, most) in [
            (1, 1, 2),
            (2, 2, 4),
            (3, 4, 8),
            (5, 16, 32),
            (6, 30, 60),
            (7, 30, 60),
            (u32::MAX, 30, 60),
        ] {
            for _ in 0..100 {
                let pause = backoff(failures, MINUTE);
                assert!(pause >= Duration::from_secs(least), "{failures}: {pause:?}");
                assert!(pause <= Duration::from_secs(most), "{failures}: {pause:?}");
            }
        }
        assert!(backoff(9, Duration::from_secs(1)) <= Duration::from_secs(1));
    }

    #[test]
    fn two_processes_do_not_return_together() {
        let pauses: std::collections::HashSet<_> = (0..100).map(|_| backoff(6, MINUTE)).collect();
        assert!(pauses.len() > 50);
    }
}
