use super::fault::Fault;

/// The time in which a token is valid, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(super) not_before: f64,
    pub(super) expires: f64,
    /// `iat` and the greatest age together.
    pub(super) too_old_after: f64,
}

impl Validity {
    /// Without limits.
    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self { not_before: 0.0, expires: f64::INFINITY, too_old_after: f64::INFINITY }
    }

    pub(crate) fn check(self, now: f64, skew: f64) -> Result<(), Fault> {
        if now >= self.expires + skew {
            return Err(Fault::Expired);
        }
        if self.not_before > now + skew {
            return Err(Fault::NotYetValid);
        }
        if now > self.too_old_after + skew {
            return Err(Fault::TooOld);
        }
        Ok(())
    }

    /// Returns the time from which the token is of no use.
    pub(crate) fn end(self, skew: f64) -> f64 {
        self.expires.min(self.too_old_after) + skew
    }
}
