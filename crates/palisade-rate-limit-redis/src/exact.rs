//! Which quotas can be counted exactly.
//!
//! Lua counts in doubles, which are exact up to 2^53, and the server's clock is read in milliseconds. A quota beyond either
//! is refused when its limit is built, and never rounded.

use std::time::Duration;

use palisade_core::ConfigError;
use palisade_rate_limit::{Algorithm, Quota};

/// The largest product of a limit and a window in milliseconds: the formulas add up to three of them.
const LARGEST_PRODUCT: u64 = 1 << 51;

/// About 146 years, as in memory.
pub(crate) const LONGEST_WINDOW: u64 = u64::MAX / 4 / 1_000_000;

/// A key of an exact log takes 6 bytes for each request of its limit.
const LONGEST_LOG: u32 = 1000;

/// The parts into which the strict algorithm cuts a window.
const PARTS: u64 = 8;

/// How a script counts a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// The algorithm.
    pub(crate) letter: char,
    /// The window, in milliseconds.
    pub(crate) window: u64,
}

/// # Errors
///
/// If the quota cannot be counted exactly, with the remedy.
pub(crate) fn check(quota: &Quota) -> Result<Counted, ConfigError> {
    let letter = letter(quota)?;
    let window = window_millis(quota)?;
    let most = match quota.algorithm() {
        Algorithm::SlidingWindow => quota.limit(),
        Algorithm::Gcra { burst } => quota.limit().max(burst),
        Algorithm::ExactLog if quota.limit() > LONGEST_LOG => {
            let remedy =
                "an exact log takes 6 bytes for each request: choose at most 1000, or strict()";
            return Err(ConfigError::new("limit", quota.limit(), remedy));
        }
        Algorithm::Strict if window < PARTS => {
            let remedy = "choose a window of at least 8 milliseconds, which has eight parts";
            return Err(ConfigError::new("window", format_args!("{:?}", quota.window()), remedy));
        }
        _ => 0,
    };
    if u64::from(most).checked_mul(window).is_none_or(|product| product > LARGEST_PRODUCT) {
        let remedy = "limit times milliseconds goes beyond 2^51, where a script is no longer exact: choose a smaller limit \
                      or a shorter window, or strict() or fixed_window(), which do not multiply";
        let value = format_args!("{most} per {:?}", quota.window());
        return Err(ConfigError::new("limit", value, remedy));
    }
    Ok(Counted { letter, window })
}

/// What the algorithm is called in scripts and in keys.
///
/// # Errors
///
/// If it is none that machines can share.
pub(crate) fn letter(quota: &Quota) -> Result<char, ConfigError> {
    match quota.algorithm() {
        Algorithm::SlidingWindow => Ok('s'),
        Algorithm::Strict => Ok('t'),
        Algorithm::Gcra { .. } => Ok('g'),
        Algorithm::FixedWindow => Ok('f'),
        Algorithm::ExactLog => Ok('l'),
        Algorithm::Calendar => Ok('c'),
        other => {
            let remedy = "choose an algorithm that this version of the store knows";
            Err(ConfigError::new("algorithm", format_args!("{other:?}"), remedy))
        }
    }
}

/// # Errors
///
/// If the window is none that can be counted in.
fn window_millis(quota: &Quota) -> Result<u64, ConfigError> {
    let window = quota.window();
    let refuse = |remedy| Err(ConfigError::new("window", format_args!("{window:?}"), remedy));
    if window.is_zero() {
        return refuse("choose a window longer than nothing, such as 60 seconds");
    }
    let Some(millis) = u64::try_from(window.as_millis()).ok().filter(|ms| *ms <= LONGEST_WINDOW)
    else {
        return refuse("choose a window of at most 146 years");
    };
    if Duration::from_millis(millis) != window {
        return refuse("a shared store counts in milliseconds: choose a window of whole ones");
    }
    Ok(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn refusal(quota: &Quota) -> String {
        check(quota).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_quotas_are_supported() {
        let minute = Duration::from_secs(60);
        for quota in [
            Quota::per(0, minute),
            Quota::per(100, minute),
            Quota::per(26_000_000, DAY),
            Quota::per(u32::MAX, Duration::from_secs(500)),
            Quota::per(1, Duration::from_millis(1)),
            Quota::per(u32::MAX, DAY * 365).strict(),
            Quota::per(u32::MAX, DAY * 365).fixed_window(),
            Quota::per(7, Duration::from_secs(1)).gcra(),
            Quota::per(5, DAY).gcra_with_burst(20),
            Quota::per(1000, DAY * 30).exact_log(),
        ] {
            assert!(check(&quota).is_ok(), "{quota:?}: {}", refusal(&quota));
        }
    }

    #[test]
    fn windows_with_fractions_of_milliseconds_are_rejected() {
        for window in
            [Duration::from_nanos(1), Duration::from_micros(999), Duration::from_micros(1500)]
        {
            let refusal = refusal(&Quota::per(1, window));
            assert!(refusal.starts_with("window `"), "{refusal}");
            assert!(refusal.contains("whole ones"), "{refusal}");
        }
        assert!(refusal(&Quota::per(1, Duration::ZERO)).contains("longer than nothing"));
        assert!(refusal(&Quota::per(1, Duration::MAX)).contains("146 years"));
        assert!(refusal(&Quota::per(1, Duration::from_millis(7)).strict()).contains("eight parts"));
    }

    #[test]
    fn quotas_beyond_exact_lua_numbers_are_rejected() {
        for quota in [
            Quota::per(27_000_000, DAY),
            Quota::per(u32::MAX, Duration::from_secs(600)),
            Quota::per(1, DAY).gcra_with_burst(27_000_000),
            Quota::per(27_000_000, DAY).gcra_with_burst(1),
        ] {
            assert!(refusal(&quota).contains("2^51"), "{quota:?}");
        }
        assert!(refusal(&Quota::per(1001, DAY).exact_log()).starts_with("limit `1001`"));
    }
}
