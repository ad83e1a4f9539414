use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How long to leave an issuer alone after so many failures in a row: between 1 and 2 seconds after the first, between 30
/// and 60 from the sixth on.
///
/// The half that is left to chance keeps a fleet that lost its issuer at one moment from coming back at one moment.
pub(super) fn after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    let longest = (SHORTEST * 2 * (1 << doublings)).min(LONGEST);
    let half = longest / 2;
    half + half.mul_f64(chance())
}

/// A number from 0 to 1. The seeds of the standard library's hash tables differ in each process and at each call; it need
/// not be better, for nobody gains by guessing it.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_never_shorter_than_a_second() {
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
                let wait = after(failures);
                assert!(wait >= Duration::from_secs(least), "{failures}: {wait:?}");
                assert!(wait <= Duration::from_secs(most), "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn two_that_failed_together_do_not_come_back_together() {
        let waits: std::collections::HashSet<_> = (0..100).map(|_| after(6)).collect();
        assert!(waits.len() > 50);
    }
}
