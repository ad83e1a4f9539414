use bytes::{Bytes, BytesMut};

/// The bytes of a body that were read. A body in one piece is not copied. Several pieces are copied into one buffer: each may
/// keep a whole read buffer of the server alive.
#[doc(hidden)]
#[derive(Debug, Default)]
pub enum Gathered {
    /// No bytes.
    #[default]
    None,
    /// One piece.
    One(Bytes),
    /// Several pieces.
    Many(BytesMut),
}

impl Gathered {
    /// Adds a piece.
    #[inline]
    pub fn push(&mut self, data: Bytes) {
        match self {
            Self::None => *self = Self::One(data),
            _ => self.push_another(&data),
        }
    }

    fn push_another(&mut self, data: &[u8]) {
        match self {
            Self::None => {}
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(2 * (first.len() + data.len()));
                all.extend_from_slice(first);
                all.extend_from_slice(data);
                *self = Self::Many(all);
            }
            Self::Many(all) => all.extend_from_slice(data),
        }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    /// Returns true if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes in one piece.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(all) => all.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let mut gathered = Gathered::default();
        gathered.push(piece.clone());
        assert_eq!(gathered.len(), 100);
        assert_eq!(gathered.into_bytes().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        for count in 0..5_u8 {
            let mut gathered = Gathered::default();
            (0..count).for_each(|n| gathered.push(Bytes::copy_from_slice(&[n, n])));
            assert_eq!(gathered.len(), 2 * usize::from(count));
            assert_eq!(gathered.is_empty(), count == 0);
            let expected: Vec<u8> = (0..count).flat_map(|n| [n, n]).collect();
            assert_eq!(gathered.into_bytes(), expected);
        }
    }
}
