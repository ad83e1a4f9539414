use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The cached origins with one result.
///
/// There are two generations. If the younger one is full it replaces the older one, whose origins are dropped, so that memory
/// is bounded without a search. Any client can insert origins, so the hash has a random key.
#[derive(Debug)]
pub(super) struct Remembered {
    time: Duration,
    /// The capacity of one generation.
    capacity: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    younger: HashMap<Box<str>, Duration>,
    older: HashMap<Box<str>, Duration>,
}

impl Remembered {
    pub(super) fn new(time: Duration, capacity: usize) -> Self {
        Self { time, capacity: capacity / 2, generations: Mutex::default() }
    }

    pub(super) fn contains(&self, origin: &str, now: Duration) -> bool {
        if self.time.is_zero() {
            return false;
        }
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let expiry = generations.younger.get(origin).or_else(|| generations.older.get(origin));
        expiry.is_some_and(|expiry| now < *expiry)
    }

    pub(super) fn insert(&self, origin: &str, now: Duration) {
        if self.time.is_zero() {
            return;
        }
        let generations = &mut *self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.younger.len() >= self.capacity && !generations.younger.contains_key(origin) {
            generations.older = std::mem::take(&mut generations.younger);
        }
        generations.younger.insert(origin.into(), now.saturating_add(self.time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn origin_is_stored_until_it_expires() {
        let origins = Remembered::new(Duration::from_secs(10), 8);
        assert!(!origins.contains("https://a.example", NOW));
        origins.insert("https://a.example", NOW);
        assert!(origins.contains("https://a.example", NOW + Duration::from_millis(9_999)));
        assert!(!origins.contains("https://a.example", NOW + Duration::from_secs(10)));
        assert!(!origins.contains("https://b.example", NOW));
        let nothing = Remembered::new(Duration::ZERO, 8);
        nothing.insert("https://a.example", NOW);
        assert!(!nothing.contains("https://a.example", NOW));
    }

    #[test]
    fn stored_origins_never_exceed_the_capacity() {
        let origins = Remembered::new(Duration::from_secs(10), 8);
        for number in 0..100 {
            origins.insert(&format!("https://{number}.example"), NOW);
            let stored = origins.generations.lock().unwrap();
            assert!(stored.younger.len() + stored.older.len() <= 8);
        }
        let remembered = |number| origins.contains(&format!("https://{number}.example"), NOW);
        assert!((96..100).all(remembered), "the last ones");
        assert!(!(0..90).any(remembered));
    }
}
