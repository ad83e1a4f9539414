use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// The bytes of one allocation, which lives as long as the last copy in it.
const SLAB: usize = 2304;

/// Longer texts have an allocation of their own.
const LONGEST: usize = 64;

thread_local! {
    static REST: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Returns a copy of a short text, such as the value of a header field. Many copies of a thread share one allocation.
///
/// ```
/// assert_eq!(palisade_core::short_bytes(b"req-42"), "req-42");
/// ```
#[doc(hidden)]
#[inline]
pub fn short_bytes(text: &[u8]) -> Bytes {
    short_bytes_of([text])
}

/// Returns the concatenation of short texts, as [`short_bytes`] does.
///
/// ```
/// assert_eq!(palisade_core::short_bytes_of([&b"r="[..], b"42"]), "r=42");
/// ```
#[doc(hidden)]
#[inline]
pub fn short_bytes_of<const N: usize>(texts: [&[u8]; N]) -> Bytes {
    let len = texts.iter().map(|text| text.len()).sum();
    if len > LONGEST {
        return texts.concat().into();
    }
    REST.with_borrow_mut(|rest| {
        if rest.capacity() < len {
            *rest = BytesMut::with_capacity(SLAB);
        }
        for text in texts {
            rest.extend_from_slice(text);
        }
        rest.split().freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_independent_across_slabs() {
        let texts: Vec<Vec<u8>> = (0..500_u16).map(|n| vec![b'a'; usize::from(n % 80)]).collect();
        let copies: Vec<Bytes> = texts.iter().map(|text| short_bytes(text)).collect();
        assert_eq!(copies, texts);
    }

    #[test]
    fn texts_are_concatenated_in_their_order() {
        for (first, last) in [(0, 0), (0, 9), (40, 24), (40, 25), (3000, 1)] {
            let texts = [vec![b'a'; first], b";".to_vec(), vec![b'b'; last]];
            let joined = short_bytes_of([&texts[0][..], &texts[1], &texts[2]]);
            assert_eq!(joined, texts.concat());
        }
    }
}
