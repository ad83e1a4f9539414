use std::ops::{Shr, Sub};

/// Disjoint ranges of addresses as numbers: 32 bits for IPv4, 128 for IPv6.
///
/// The span from the first range to the last is divided into about as many equal buckets as there are ranges, and a table
/// contains the ranges that begin in each bucket. A lookup reads two entries of the table and searches the ranges between them
/// with a binary search.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A> {
    /// The first and the last address of each range, in order.
    ranges: Box<[(A, A)]>,
    /// The number of ranges before each bucket. The last entry counts all of them.
    before: Box<[u32]>,
    /// The width of a bucket, as a power of two.
    shift: u32,
}

impl<A> Default for Ranges<A> {
    fn default() -> Self {
        Self { ranges: Box::default(), before: Box::default(), shift: 0 }
    }
}

/// An IP address as a number.
pub(super) trait Address: Copy + Ord + Sub<Output = Self> + Shr<u32, Output = Self> {
    /// Returns the number, or `usize::MAX` if that is less.
    fn clamped(self) -> usize;
}

impl Address for u32 {
    fn clamped(self) -> usize {
        self as usize
    }
}

impl Address for u128 {
    fn clamped(self) -> usize {
        usize::try_from(self).unwrap_or(usize::MAX)
    }
}

impl<A> Ranges<A> {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl<A: Address> FromIterator<(A, A)> for Ranges<A> {
    /// The ranges must be disjoint; their order does not matter.
    fn from_iter<I: IntoIterator<Item = (A, A)>>(ranges: I) -> Self {
        let mut ranges: Vec<(A, A)> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Self::default();
        };
        let (start, span) = (first.0, last.0 - first.0);
        let mut shift = 0;
        while (span >> shift).clamped() > ranges.len() {
            shift += 1;
        }
        let buckets = (span >> shift).clamped() + 1;
        let bucket = |(begin, _): &(A, A)| ((*begin - start) >> shift).clamped();
        let before = (0..=buckets)
            .map(|at| ranges.partition_point(|range| bucket(range) < at) as u32)
            .collect();
        Self { ranges: ranges.into(), before, shift }
    }
}

impl<A: Address> Ranges<A> {
    #[inline]
    pub(super) fn contains(&self, address: A) -> bool {
        let Some((start, _)) = self.ranges.first().filter(|(start, _)| *start <= address) else {
            return false;
        };
        // An address beyond the last bucket can only be in the last range.
        let bucket = ((address - *start) >> self.shift).clamped().min(self.before.len() - 2);
        let (from, to) = (self.before[bucket] as usize, self.before[bucket + 1] as usize);
        let begun = self.ranges[from..to].partition_point(|(begin, _)| *begin <= address);
        // The last range that begins at or before the address; the first one does.
        let (_, end) = self.ranges[from + begun - 1];
        address <= end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_agree_with_a_linear_scan(
            cuts in prop::collection::btree_set(0_u32..5000, 0..60),
            scale in prop::sample::select(vec![1_u32, 17, 800_000]),
            probes in prop::collection::vec(0_u32..5100, 50),
        ) {
            let cuts: Vec<u32> = cuts.into_iter().map(|cut| cut * scale).collect();
            // Consecutive pairs of cuts are disjoint ranges.
            let pairs: Vec<(u32, u32)> = cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            let narrow: Ranges<u32> = pairs.iter().copied().collect();
            let wide: Ranges<u128> = pairs
                .iter()
                .map(|(begin, end)| (u128::from(*begin) << 96, u128::from(*end) << 96))
                .collect();
            for probe in probes.into_iter().map(|probe| probe * scale).chain(cuts) {
                for probe in [probe.saturating_sub(1), probe, probe.saturating_add(1)] {
                    let scanned = pairs.iter().any(|(begin, end)| (*begin..=*end).contains(&probe));
                    prop_assert_eq!(narrow.contains(probe), scanned);
                    prop_assert_eq!(wide.contains(u128::from(probe) << 96), scanned);
                }
            }
        }
    }

    #[test]
    fn ranges_contain_both_ends_of_the_address_space() {
        let all: Ranges<u32> = [(0, 0), (u32::MAX, u32::MAX)].into_iter().collect();
        assert!(all.contains(0) && all.contains(u32::MAX) && !all.contains(1));
        let all: Ranges<u128> = [(0, u128::MAX)].into_iter().collect();
        assert!(all.contains(0) && all.contains(u128::MAX));
    }
}
