use std::fmt;

use zeroize::Zeroize;

/// Bytes that must never be printed: a signing key, a password.
///
/// `Debug` shows the length only, and there is no `==`: secrets are compared in constant time, by the algorithm
/// they are keys of. The bytes are overwritten when it is dropped.
///
/// ```
/// use palisade_core::Secret;
///
/// let secret = Secret::from("a signing key of at least thirty-two bytes");
/// assert_eq!(format!("{secret:?}"), "Secret(42 bytes)");
/// ```
///
/// ```compile_fail,E0369
/// # use palisade_core::Secret;
/// let same = Secret::from("one") == Secret::from("two");
/// ```
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The bytes, for the key that is made of them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the secret has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Secret {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.as_slice().into())
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
