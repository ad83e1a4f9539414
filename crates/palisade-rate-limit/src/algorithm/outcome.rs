use crate::Standing;

/// The outcome of an attempt to charge a key, with the key's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The request was charged at this time.
    Admitted { standing: Standing, at: u64 },
    /// Nothing was charged. `wait` is the time in nanoseconds until the request would be admitted, or `None` if it never is.
    Refused { standing: Standing, wait: Option<u64> },
}

impl Outcome {
    /// Returns the standing of an admitted request.
    pub(crate) fn admitted(self) -> Option<Standing> {
        match self {
            Self::Admitted { standing, .. } => Some(standing),
            Self::Refused { .. } => None,
        }
    }

    /// Returns the outcome with other waits.
    pub(crate) fn with_waits(self, other: impl Fn(u64) -> u64) -> Self {
        match self {
            Self::Admitted { standing, at } => {
                Self::Admitted { standing: standing.with_more_in(other), at }
            }
            Self::Refused { standing, wait } => {
                let wait = wait.map(&other);
                Self::Refused { standing: standing.with_more_in(other), wait }
            }
        }
    }

    /// Returns the outcome with the standing that the key has without the charge.
    pub(crate) fn uncharged(self, standing_now: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Admitted { at, .. } => match standing_now() {
                Self::Admitted { standing, .. } | Self::Refused { standing, .. } => {
                    Self::Admitted { standing, at }
                }
            },
            refused @ Self::Refused { .. } => refused,
        }
    }
}
