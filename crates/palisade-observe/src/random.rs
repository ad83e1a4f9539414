use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use palisade_core::syntax::LowerHex;

/// Generates unique numbers: a keyed hash of a counter. The operating system seeds the key once for each thread, so a request
/// makes no system call. For ids, not for secrets.
struct Source {
    key: RandomState,
    drawn: Cell<u64>,
}

thread_local! {
    static SOURCE: Source = Source { key: RandomState::new(), drawn: Cell::new(0) };
}

pub(crate) fn random() -> u64 {
    SOURCE.with(|source| {
        let count = source.drawn.get();
        source.drawn.set(count.wrapping_add(1));
        source.key.hash_one(count)
    })
}

/// Sixteen lower-case digits.
pub(crate) fn hex(bytes: [u8; 8]) -> [u8; 16] {
    let mut text = [0; 16];
    LowerHex(&bytes).encode_into(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn random_numbers_are_unique_and_use_every_bit() {
        let drawn: HashSet<u64> = (0..10_000).map(|_| random()).collect();
        assert_eq!(drawn.len(), 10_000);
        let of_bit = |bit: u32| drawn.iter().filter(|number| *number >> bit & 1 == 1).count();
        for bit in 0..64 {
            // 10,000 fair coins are between these with a probability of one minus 10^-20
            assert!((4_500..5_500).contains(&of_bit(bit)), "bit {bit}");
        }
        let elsewhere = std::thread::spawn(random).join().unwrap();
        assert!(!drawn.contains(&elsewhere));
    }
}
