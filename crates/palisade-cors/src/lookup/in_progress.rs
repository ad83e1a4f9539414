use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

/// Lookups that have begun and not ended: requests with one origin share one.
///
/// There are at most as many as there are requests that wait.
#[derive(Debug, Default)]
pub(super) struct InProgress(Mutex<HashMap<Box<str>, Arc<LookupResult>>>);

/// The result of a lookup, empty while it runs.
pub(super) type LookupResult = OnceCell<Result<bool, Arc<str>>>;

/// One request's part in a lookup. When the last one is dropped, the lookup is given up.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    lookups: &'a InProgress,
    origin: &'a str,
    pub(super) answer: Arc<LookupResult>,
}

impl InProgress {
    /// Joins the lookup of an origin, or begins it.
    pub(super) fn join<'a>(&'a self, origin: &'a str) -> Joined<'a> {
        let answer = Arc::clone(self.lock().entry(origin.into()).or_default());
        Joined { lookups: self, origin, answer }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<LookupResult>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

impl Drop for Joined<'_> {
    /// Later requests must not see an answer again that is not to be remembered, such as an error.
    fn drop(&mut self) {
        let mut lookups = self.lookups.lock();
        let Some(current) = lookups.get(self.origin) else { return };
        // The map's reference and this one. No request joins while the map is locked.
        let is_last = Arc::strong_count(&self.answer) == 2;
        if Arc::ptr_eq(current, &self.answer) && (is_last || self.answer.initialized()) {
            lookups.remove(self.origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_and_abandoned_lookups_are_removed() {
        let lookups = InProgress::default();
        let (first, second) =
            (lookups.join("https://a.example"), lookups.join("https://a.example"));
        assert!(Arc::ptr_eq(&first.answer, &second.answer));
        drop(first);
        assert!(!lookups.is_empty(), "the second request still waits");
        drop(second);
        assert!(lookups.is_empty(), "no request waits");

        let (first, second) =
            (lookups.join("https://a.example"), lookups.join("https://a.example"));
        first.answer.set(Ok(true)).unwrap();
        drop(first);
        assert!(lookups.is_empty(), "the lookup has ended");
        let third = lookups.join("https://a.example");
        drop(second);
        assert!(!third.answer.initialized() && !lookups.is_empty());
    }
}
