//! The memory that a rejected body takes, beyond the body and the value that it is read as. Alone in its process, which it
//! measures.

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

#[test]
fn a_rejected_body_takes_at_most_8_mib() {
    let unknown: Vec<_> = (0..400).map(|at| format!("\"x{at}\":0")).collect();
    let unknown = format!("{{{}}}", unknown.join(","));
    for size in [2 * 1024, 64 * 1024, 256 * 1024, 2 * 1024 * 1024] {
        for item in ["[]", "{\"a\":0}", "{}", "0", "\"\"", &unknown] {
            let list = vec![item; (size / (item.len() + 1)).max(1)].join(",");
            let deep = "{\"items\":[{\"a\":1,\"inner\":".repeat(20);
            for body in [
                format!("{{\"items\":[{list}]}}"),
                format!("[{list}]"),
                format!("{deep}{{\"items\":[{list}]}}{}", "}]}".repeat(20)),
            ] {
                for settings in [Validation::new(), Validation::new().deny_unknown_fields()] {
                    let value = peak(|| serde_json::from_str::<Items>(&body));
                    let used = peak(|| settings.json::<Items>(body.as_bytes()).unwrap_err());
                    assert!(used < value + MOST, "{used} bytes for {} of {item}", body.len());
                    #[cfg(feature = "schemars")]
                    {
                        let used =
                            peak(|| settings.json_by_schema::<Items>(body.as_bytes()).unwrap_err());
                        assert!(
                            used < value + MOST,
                            "{used} bytes for {} of {item}, by schema",
                            body.len()
                        );
                    }
                }
            }
        }
    }
}
