use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Limits the lookups for each client address that do not find an allowed origin.
///
/// The counters of all clients share a fixed number of cells, chosen by a hash with a random key. Two clients in one cell share
/// a budget. Each cell is one word: the number of the window, and its count.
#[derive(Debug)]
pub(super) struct Budget {
    per_client: u32,
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
}

const WINDOW: Duration = Duration::from_secs(10);
const CELLS: usize = 1024;

/// A lookup that was counted.
#[derive(Debug)]
pub(super) struct Charge {
    cell: usize,
    window: u64,
}

impl Budget {
    pub(super) fn new(per_client: u32) -> Self {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { per_client, cells, hasher: RandomState::new() }
    }

    /// Counts a lookup for this client. Returns `None` if its budget is used up.
    pub(super) fn charge(&self, client: Option<IpAddr>, now: Duration) -> Option<Charge> {
        // Truncated, like the windows that are compared with it.
        let window = (now.as_secs() / WINDOW.as_secs()) & u64::from(u32::MAX);
        let cell = self.hasher.hash_one(client) as usize % CELLS;
        let charged = |word: u64| {
            let used = if word >> 32 == window { word as u32 } else { 0 };
            (used < self.per_client).then(|| window << 32 | u64::from(used + 1))
        };
        self.cells[cell]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged)
            .ok()
            .map(|_| Charge { cell, window })
    }

    /// Gives a lookup back that found an allowed origin, unless its window is over.
    pub(super) fn refund(&self, charge: &Charge) {
        let Charge { cell, window } = charge;
        let refunded = |word: u64| (word >> 32 == *window && word as u32 > 0).then(|| word - 1);
        let _ = self.cells[*cell].fetch_update(Ordering::Relaxed, Ordering::Relaxed, refunded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_budget_in_each_window() {
        let budget = Budget::new(3);
        let ada = Some(IpAddr::from([192, 0, 2, 1]));
        let now = Duration::from_secs(1005);
        let charges: Vec<_> = (0..3).map(|_| budget.charge(ada, now).unwrap()).collect();
        assert!(budget.charge(ada, now).is_none());
        let others = (2..200).map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let free = others.filter(|other| budget.charge(*other, now).is_some()).count();
        assert!(free > 190, "{free}: hardly any of them shares a cell");

        for charge in charges {
            budget.refund(&charge);
        }
        assert!((0..3).all(|_| budget.charge(ada, now).is_some()));
        assert!(budget.charge(ada, now).is_none());
        assert!(budget.charge(ada, now + Duration::from_secs(5)).is_some(), "the next window");
    }

    #[test]
    fn a_refund_after_the_window_changes_nothing() {
        let budget = Budget::new(1);
        let late = budget.charge(None, Duration::from_secs(9)).unwrap();
        assert!(budget.charge(None, Duration::from_secs(10)).is_some());
        budget.refund(&late);
        assert!(budget.charge(None, Duration::from_secs(11)).is_none());
    }
}
