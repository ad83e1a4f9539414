//! Checks all interleavings of two threads with loom, on tables with one slot in each bucket.

use std::num::NonZeroU64;

use loom::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use super::*;

#[derive(Debug)]
struct Model;

impl Memory for Model {
    type Word = ModelWord;
    type Lock = ModelLock;
}

#[derive(Debug, Default)]
struct ModelWord(AtomicU64);

impl Word for ModelWord {
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    fn replace(&self, from: u64, to: u64) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[derive(Debug)]
struct ModelLock(Mutex<()>);

impl Default for ModelLock {
    fn default() -> Self {
        Self(Mutex::new(()))
    }
}

impl Lock for ModelLock {
    type Guard<'a> = MutexGuard<'a, ()>;

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap()
    }
}

const W: u64 = SHORTEST_WINDOW;

/// Two buckets of one slot.
type Tiny = Narrow<Model, 1>;

fn tiny() -> Arc<Tiny> {
    Arc::new(Tiny::for_keys(1, 1).unwrap())
}

fn per_window(limit: u32) -> Window {
    Window::sliding(limit, NonZeroU64::new(W).unwrap())
}

/// Decides as a limit does: by the path for requests that fit, then by the path for all outcomes.
fn admitted(table: &Tiny, window: &Window, key: u64, now: u64) -> u32 {
    let is_admitted = table.try_charge(window, key, now, 1).is_some()
        || matches!(table.charge(window, key, now, 1), Outcome::Admitted { .. });
    u32::from(is_admitted)
}

/// Runs both closures in parallel, in all interleavings, and returns their results.
fn both<A, B>(table: &Arc<Tiny>, first: A, second: B) -> (u32, u32)
where
    A: FnOnce(&Tiny) -> u32 + 'static,
    B: FnOnce(&Tiny) -> u32,
{
    let clone = Arc::clone(table);
    let first = thread::spawn(move || first(&clone));
    let second = second(table);
    (first.join().unwrap(), second)
}

/// Keys whose homes are the first and the second bucket.
const KEY: u64 = 1 << 60 | 1;
const OTHER: u64 = 3 << 62 | 2;
const NEWCOMER: u64 = 1 << 61 | 3;

#[test]
fn two_first_requests_of_a_key_share_one_quota() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(1));
        let charge = move |table: &Tiny| admitted(table, &window, KEY, 0);
        let (first, second) = both(&table, charge, charge);
        assert_eq!(first + second, 1);
    });
}

#[test]
fn two_requests_of_a_known_key_share_the_remaining_quota() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(2));
        assert_eq!(admitted(&table, &window, KEY, 0), 1);
        let charge = move |table: &Tiny| admitted(table, &window, KEY, 0);
        let (first, second) = both(&table, charge, charge);
        assert_eq!(first + second, 1);
    });
}

#[test]
fn key_evicted_during_a_charge_gets_no_more_than_its_quota() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(2));
        let before = admitted(&table, &window, KEY, 0);
        assert_eq!(before + admitted(&table, &window, OTHER, 0), 2);
        let (newcomer, during) = both(
            &table,
            move |table| admitted(table, &window, NEWCOMER, 0),
            |table| admitted(table, &window, KEY, 0),
        );
        let after: u32 = (0..2).map(|_| admitted(&table, &window, KEY, 0)).sum();
        assert!(before + during + after <= 2, "{before} {during} {after}");
        let later: u32 = (0..2).map(|_| admitted(&table, &window, NEWCOMER, 0)).sum();
        assert!(newcomer + later <= 2);
    });
}

#[test]
fn sweeping_during_charges_removes_expired_windows_only() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(1));
        assert_eq!(admitted(&table, &window, KEY, 0), 1);
        // 256 windows later, which the slot alone cannot distinguish from 0 windows.
        let later = 256 * W;
        let charge = move |table: &Tiny| admitted(table, &window, KEY, later);
        let (first, second) = both(&table, charge, charge);
        assert_eq!(first + second, 1);
    });
}

#[test]
fn concurrent_refund_and_charge_share_one_quota() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(1));
        assert_eq!(admitted(&table, &window, KEY, 0), 1);
        let (_, during) = both(
            &table,
            move |table| {
                table.refund(&window, KEY, 0, 1);
                0
            },
            |table| admitted(table, &window, KEY, 0),
        );
        let after: u32 = (0..2).map(|_| admitted(&table, &window, KEY, 0)).sum();
        assert_eq!(during + after, 1);
    });
}

#[test]
fn slot_is_not_read_with_the_header_of_another_window() {
    loom::model(|| {
        let (table, window) = (tiny(), per_window(1));
        assert_eq!(admitted(&table, &window, KEY, 0), 1);
        // One thread has read its clock much earlier than the other.
        both(
            &table,
            move |table| admitted(table, &window, KEY, 257 * W),
            |table| admitted(table, &window, KEY, 3 * W),
        );
        assert_eq!(admitted(&table, &window, KEY, 259 * W), 1, "no count is in the future");
    });
}
