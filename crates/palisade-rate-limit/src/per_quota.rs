use std::sync::Arc;

use crate::quotas::MOST_QUOTAS;

/// One value for each quota of a request. A limit with one quota, which is the usual case, needs no allocation.
#[derive(Clone, Debug)]
pub(crate) enum PerQuota<T> {
    /// The request is not counted.
    None,
    One([T; 1]),
    /// Behind an `Arc`, because the grant and the request's extensions both contain it.
    Several(Arc<[T]>),
}

impl<T> PerQuota<T> {
    #[inline]
    pub(crate) fn one(value: T) -> Self {
        Self::One([value])
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Several(several) => several,
        }
    }
}

impl<T: Copy> From<&[T]> for PerQuota<T> {
    fn from(values: &[T]) -> Self {
        match values {
            [] => Self::None,
            [one] => Self::one(*one),
            several => Self::Several(several.into()),
        }
    }
}

/// One value for each quota of a limit, stored inline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaArray<T> {
    values: [T; MOST_QUOTAS],
    len: u8,
}

impl<T: Copy> QuotaArray<T> {
    pub(crate) fn filled_with(filler: T) -> Self {
        Self { values: [filler; MOST_QUOTAS], len: 0 }
    }

    pub(crate) fn push(&mut self, value: T) {
        self.values[usize::from(self.len)] = value;
        self.len += 1;
    }

    #[cfg(feature = "store")]
    pub(crate) fn map(self, with: impl Fn(T) -> T) -> Self {
        Self { values: self.values.map(with), len: self.len }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.values[..usize::from(self.len)]
    }
}
