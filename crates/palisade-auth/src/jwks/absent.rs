use std::{collections::HashMap, time::Duration};

/// So many ids are remembered: with their cap of 256 bytes, 64 KiB at most.
const MAX_IDS: usize = 256;

/// Key ids that the issuer was asked for and did not have.
///
/// While an id is in here it is refused without asking. An id that is absent again and again is asked for less and less
/// often, so that one stale token in circulation does not use up every try that an honest new key may need; an id that
/// was asked for a moment too early, before the issuer published it, gets its next try after one cool-down.
#[derive(Debug)]
pub(super) struct AbsentIds {
    at_first: Duration,
    at_most: Duration,
    ids: HashMap<Box<str>, Absent>,
}

#[derive(Debug)]
struct Absent {
    until: Duration,
    wait: Duration,
}

impl AbsentIds {
    /// Remembers an id for `at_first`, and for twice as long whenever it was absent once more, up to `at_most`.
    pub(super) fn new(at_first: Duration, at_most: Duration) -> Self {
        Self { at_first, at_most: at_most.max(at_first), ids: HashMap::new() }
    }

    /// True while there is no point in asking for this id.
    pub(super) fn contains(&self, id: &str, now: Duration) -> bool {
        self.ids.get(id).is_some_and(|absent| now < absent.until)
    }

    /// The issuer was asked, and does not have it.
    pub(super) fn note(&mut self, id: &str, now: Duration) {
        if let Some(absent) = self.ids.get_mut(id) {
            // All who waited for one fetch say so, and it is one absence.
            if absent.until <= now {
                absent.wait = (absent.wait * 2).min(self.at_most);
                absent.until = now + absent.wait;
            }
            return;
        }
        if self.ids.len() >= MAX_IDS {
            self.forget_one();
        }
        let absent = Absent { until: now + self.at_first, wait: self.at_first };
        self.ids.insert(id.into(), absent);
    }

    /// Forgets the id that would be asked for soonest. Ids made up at random are all of that kind, so a flood of them
    /// displaces itself and not the ids that were absent many times.
    fn forget_one(&mut self) {
        let soonest = self.ids.iter().min_by_key(|(_, absent)| absent.until);
        if let Some(id) = soonest.map(|(id, _)| id.clone()) {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_id_that_stays_absent_is_asked_for_less_and_less_often() {
        let mut absent = AbsentIds::new(secs(30), secs(100));
        let mut now = secs(5);
        for wait in [30, 60, 100, 100] {
            absent.note("k", now);
            absent.note("k", now + secs(1));
            assert!(absent.contains("k", now + secs(wait - 1)));
            assert!(!absent.contains("k", now + secs(wait)));
            now += secs(wait);
        }
    }

    #[test]
    fn a_flood_of_ids_takes_no_more_than_its_share_and_leaves_the_well_known_ones() {
        let mut absent = AbsentIds::new(secs(30), secs(600));
        absent.note("stale", secs(0));
        absent.note("stale", secs(30));
        absent.note("stale", secs(90));
        for id in 0..100_000 {
            absent.note(&id.to_string(), secs(91));
        }
        assert_eq!(absent.ids.len(), MAX_IDS);
        assert!(absent.contains("stale", secs(92)));
    }
}
