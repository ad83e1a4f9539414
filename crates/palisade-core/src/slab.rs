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
pub fn short_bytes(text: &[u8]) -> Bytes {
    if text.len() > LONGEST {
        return Bytes::copy_from_slice(text);
    }
    REST.with_borrow_mut(|rest| {
        if rest.capacity() < text.len() {
            *rest = BytesMut::with_capacity(SLAB);
        }
        rest.extend_from_slice(text);
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
}
