use std::{cell::Cell, time::Duration};

/// The bits of the counter below the milliseconds.
const COUNTER_BITS: u32 = 12;

thread_local! {
    /// The time of this thread's last stamp in milliseconds, and the stamp.
    static LAST: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Returns a number that is larger than all earlier ones of this thread: milliseconds since the Unix epoch, and 12 bits of a
/// counter.
///
/// The counter orders the stamps between two advances of a coarse clock. After 4,096 stamps it carries into the milliseconds,
/// which then are ahead of the clock until the clock has caught up (RFC 9562, section 6.2). If the clock is set back, stamps
/// start from its new time.
#[inline]
pub(crate) fn stamp(now: Duration) -> u64 {
    let millis = now.as_secs().wrapping_mul(1000).wrapping_add(now.subsec_millis().into());
    let without_count = millis << COUNTER_BITS;
    let (last_millis, last) = LAST.get();
    let is_set_back = millis < last_millis;
    let stamp = if is_set_back { without_count } else { without_count.max(last.wrapping_add(1)) };
    LAST.set((millis, stamp));
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn stamps_within_a_millisecond_are_consecutive() {
        let now = Duration::from_millis(1_700_000_000_123);
        let first = stamp(now);
        assert_eq!(first, 1_700_000_000_123 << 12);
        assert_eq!([stamp(now), stamp(now + MILLI / 2)], [first + 1, first + 2]);
        assert_eq!(stamp(now + MILLI), 1_700_000_000_124 << 12);
    }

    #[test]
    fn exhausted_counter_continues_with_the_next_millisecond() {
        let now = Duration::from_secs(1_700_000_000);
        let mut last = stamp(now);
        for passed in [Duration::ZERO, MILLI, 2 * MILLI] {
            for _ in 0..6000 {
                let next = stamp(now + passed);
                assert!(next > last, "{next:x} {last:x}");
                last = next;
            }
        }
        assert_eq!(stamp(now + 9 * MILLI), 1_700_000_000_009 << 12, "the clock has caught up");
    }

    #[test]
    fn stamps_follow_a_clock_that_is_set_back() {
        let now = Duration::from_secs(1_700_000_000);
        stamp(now);
        assert_eq!(stamp(now - MILLI), 1_699_999_999_999 << 12);
    }
}
