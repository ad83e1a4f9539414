use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

/// Generates unique numbers by the algorithm wyrand: a step of a constant, and a multiplication that mixes all bits. The
/// operating system seeds each thread once, so a request makes no system call. For ids, not for secrets: later numbers
/// can be computed from earlier ones.
struct Source {
    state: Cell<u64>,
    key: u64,
}

/// 2^64 divided by the golden ratio: odd, so the state takes every value before it repeats.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Source {
    fn new() -> Self {
        // The standard library seeds `RandomState` from the operating system.
        let random = || RandomState::new().hash_one(0);
        Self { state: Cell::new(random()), key: random() }
    }

    fn draw(&self) -> u64 {
        let state = self.state.get().wrapping_add(STEP);
        self.state.set(state);
        let product = u128::from(state) * u128::from(state ^ self.key);
        (product >> 64) as u64 ^ product as u64
    }
}

thread_local! {
    static SOURCE: Source = Source::new();
}

pub(crate) fn random() -> u64 {
    SOURCE.with(Source::draw)
}

/// Returns eight lower-case hexadecimal digits.
///
/// All digits are computed at once, each in a byte of one word: a fifth of the time of a loop over the digits.
pub(crate) const fn hex(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut digits = number as u64;
    digits = (digits << 16 | digits) & 0x0000_FFFF_0000_FFFF;
    digits = (digits << 8 | digits) & 0x00FF_00FF_00FF_00FF;
    digits = (digits << 4 | digits) & 0x0F0F_0F0F_0F0F_0F0F;
    // A digit from 10 on carries into bit 4 if 6 is added. No sum exceeds a byte: the largest is b'f'.
    let letters = (digits + 6 * EACH) >> 4 & EACH;
    let texts = digits + b'0' as u64 * EACH + letters * (b'a' - b'0' - 10) as u64;
    texts.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hex_has_the_digits_of_the_standard_library() {
        let edges = [0, 9, 10, 15, 16, 0x0123_4567, 0x89AB_CDEF, 0x9A9A_F0F0, u32::MAX];
        let drawn = (0..1000).map(|_| random() as u32);
        for number in edges.into_iter().chain(drawn) {
            assert_eq!(hex(number), *format!("{number:08x}").as_bytes());
        }
    }

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
