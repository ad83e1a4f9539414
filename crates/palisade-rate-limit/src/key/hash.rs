//! The hash of a limit's keys.
//!
//! Two keys with the same hash share one quota. A client with a key that collides with another client's key could use up that
//! client's quota. Clients do not see hashes, but `r` of the `RateLimit` field shows which of a client's own keys share a
//! quota, and the seed of a fast hash can be computed from such pairs. So the hash depends on how freely clients can choose
//! their keys.
//!
//! - **Text** (byte slices and strings: user names, header values) is chosen freely. It is hashed with SipHash-1-3, for which
//!   no method is known to find collisions without its 128 random bits.
//! - **Numbers** (addresses, ids) are hashed with foldhash and 128 random bits of this limit, in a tenth of the time. A client
//!   has only the addresses that are routed to it and the ids that it was given. A client that can send any number could send
//!   the number of another client without a collision. At the default capacity, one number in 2 × 10^11 shares the quota of a
//!   given other key (24 bits of tag, and two of 25,000 buckets): of fifty providers with an IPv6 /32, which has 2^32 networks,
//!   one has such a network.
//!
//! A combination of both, such as an address and a path, is hashed as text.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use foldhash::{SharedSeed, quality::FoldHasher};

/// The hash of one limit, with a random seed for each limit and process.
pub(crate) struct KeyHash {
    text: RandomState,
    seed: u64,
    numbers: SharedSeed,
    /// The hash of requests without a key. It differs from the hashes of keys.
    missing: u64,
}

impl KeyHash {
    pub(crate) fn new() -> Self {
        // The standard library seeds `RandomState` from the operating system.
        let random = |number: u64| RandomState::new().hash_one(number);
        Self {
            text: RandomState::new(),
            seed: random(0),
            numbers: SharedSeed::from_u64(random(1)),
            missing: random(2),
        }
    }

    #[inline]
    pub(crate) fn hash_one(&self, key: &impl Hash) -> u64 {
        let numbers = FoldHasher::with_seed(self.seed, &self.numbers);
        let mut hasher = KeyHasher { numbers, text: None, random: &self.text };
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the hash of a key, or the common hash of requests without a key.
    #[inline]
    pub(crate) fn hash_or_missing(&self, key: Option<&impl Hash>) -> u64 {
        key.map_or(self.missing, |key| self.hash_one(key))
    }
}

/// Hashes numbers until the first text, and then both as text.
struct KeyHasher<'a> {
    numbers: FoldHasher<'a>,
    text: Option<DefaultHasher>,
    random: &'a RandomState,
}

macro_rules! numbers {
    ($($write:ident $number:ty),*) => {$(
        #[inline]
        fn $write(&mut self, number: $number) {
            match &mut self.text {
                None => self.numbers.$write(number),
                Some(text) => text.$write(number),
            }
        }
    )*};
}

impl Hasher for KeyHasher<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.text.get_or_insert_with(|| self.random.build_hasher()).write(bytes);
    }

    // The default methods for signed numbers call these.
    numbers!(write_u8 u8, write_u16 u16, write_u32 u32, write_u64 u64, write_u128 u128, write_usize usize);

    #[inline]
    fn finish(&self) -> u64 {
        let numbers = self.numbers.finish();
        match &self.text {
            None => numbers,
            Some(text) => {
                let mut text = text.clone();
                text.write_u64(numbers);
                text.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::Ipv4Addr};

    use super::*;

    #[test]
    fn different_keys_have_different_hashes() {
        let hash = KeyHash::new();
        let mut seen = HashSet::new();
        let texts = [("a:b", "c"), ("a", "b:c"), ("", "abc"), ("abc", ""), ("ab", "c")];
        for (left, right) in texts {
            assert!(seen.insert(hash.hash_one(&(left.as_bytes(), right.as_bytes()))));
            assert!(seen.insert(hash.hash_one(&(left, right))));
            for number in 0..100_u64 {
                assert!(seen.insert(hash.hash_one(&(number, left, right))));
                assert!(seen.insert(hash.hash_one(&(left, number, right))));
            }
        }
        let mut numbers = HashSet::new();
        for number in 1..1000_u64 {
            assert!(numbers.insert(hash.hash_one(&number)));
            assert!(numbers.insert(hash.hash_one(&(u128::from(number) << 64))));
            assert!(numbers.insert(hash.hash_one(&(number, number))));
            assert!(numbers.insert(hash.hash_one(&Ipv4Addr::from_bits(number as u32))));
        }
        assert!(seen.insert(hash.hash_or_missing(None::<&()>)));
        assert!(seen.insert(hash.hash_or_missing(Some(&()))));
        assert_eq!(hash.hash_one(&7_u64), hash.hash_one(&7_u64));
    }

    #[test]
    fn two_limits_hash_differently() {
        let (one, other) = (KeyHash::new(), KeyHash::new());
        assert_ne!(one.hash_one(&7_u64), other.hash_one(&7_u64));
        assert_ne!(one.hash_one(&"ada"), other.hash_one(&"ada"));
        assert_ne!(one.hash_or_missing(None::<&()>), other.hash_or_missing(None::<&()>));
    }

    /// The tables use the upper bits for buckets and the lower ones for tags.
    #[test]
    fn all_bits_of_similar_numbers_are_balanced() {
        let hash = KeyHash::new();
        let mut ones = [0_u32; 64];
        for number in 0..10_000_u128 {
            let network = 0x2001_0db8_u128 << 96 | number << 64;
            let hash = hash.hash_one(&network);
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (hash >> bit & 1) as u32;
            }
        }
        // Ten standard deviations of fair coins.
        assert!(ones.iter().all(|ones| (4500..5500).contains(ones)), "{ones:?}");
    }
}
