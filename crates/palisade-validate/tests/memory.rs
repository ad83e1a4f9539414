//! The memory that a rejected body takes. Alone in its process, which it measures.

#![allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use garde::Validate;
use palisade_validate::Validation;
use serde::Deserialize;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with the largest number of bytes in use.
struct Peak;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
        PEAK.fetch_max(now - layout.size(), Ordering::Relaxed);
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Peak = Peak;

const MOST: usize = 8 * 1024 * 1024;

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Items {
    #[garde(dive)]
    #[allow(dead_code)]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Item {
    #[garde(range(min = 1))]
    a: u32,
    #[garde(dive)]
    #[allow(dead_code)]
    inner: Option<Box<Items>>,
}

fn peak<T>(read: impl FnOnce() -> T) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    drop(read());
    PEAK.load(Ordering::Relaxed) - before
}

/// A body of up to 256 KiB takes 8 MiB in all. A larger one takes that or what its value takes, as for a body that is
/// accepted: twice with `deny_unknown_fields`, because the body is read twice.
#[test]
fn rejecting_a_body_takes_at_most_8_mib() {
    let unknown: Vec<_> = (0..400).map(|at| format!("\"x{at}\":0")).collect();
    let unknown = format!("{{{}}}", unknown.join(","));
    let mut most = 0;
    for size in [2 * 1024, 64 * 1024, 256 * 1024, 2 * 1024 * 1024] {
        for item in ["[]", "{\"a\":0}", "{}", "0", "\"\"", &unknown] {
            let list = vec![item; (size / (item.len() + 1)).max(1)].join(",");
            let deep = "{\"items\":[{\"a\":1,\"inner\":".repeat(20);
            for body in [
                format!("{{\"items\":[{list}]}}"),
                format!("[{list}]"),
                format!("{deep}{{\"items\":[{list}]}}{}", "}]}".repeat(20)),
            ] {
                let value = peak(|| serde_json::from_str::<Items>(&body));
                let strict = Validation::new().deny_unknown_fields();
                for (settings, values) in [(Validation::new(), 1), (strict, 2)] {
                    let check = |used: usize, how: &str| {
                        let large = MOST.max(values * value) + 64 * 1024;
                        let bound = if size > 256 * 1024 { large } else { MOST };
                        assert!(used <= bound, "{used} for {} of {item}, {how}", body.len());
                        used
                    };
                    let used = peak(|| settings.json::<Items>(body.as_bytes()).unwrap_err());
                    most = most.max(check(used, "by type"));
                    #[cfg(feature = "schemars")]
                    {
                        let by_schema = || settings.json_by_schema::<Items>(body.as_bytes());
                        most = most.max(check(peak(|| by_schema().unwrap_err()), "by schema"));
                    }
                }
            }
        }
    }
    println!("at most {most} bytes");
}
