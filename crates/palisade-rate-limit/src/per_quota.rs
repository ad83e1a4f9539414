use std::sync::Arc;

/// One value for each quota of a request. Nearly all limits have one quota, which takes no array and no allocation.
#[derive(Clone, Debug)]
pub(crate) enum PerQuota<T> {
    /// The request is not counted.
    None,
    One([T; 1]),
    /// Shared, because the grant and the request's extensions both have it.
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
