#![allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// An allocator that counts the allocations of each thread, and leaves the work to another allocator.
///
/// A benchmark installs it, so that [`Ladder`](crate::Ladder) can count. Without it the columns of allocations are left out.
///
/// ```
/// use palisade_bench::CountingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let before = CountingAllocator::counted();
/// let text = String::from("one allocation of 28 bytes..");
/// let after = CountingAllocator::counted();
/// assert_eq!((after.count - before.count, after.bytes - before.bytes), (1, 28));
/// # drop(text);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator<A = System>(A);

/// The allocations of the current thread since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocations {
    /// The number of allocations and reallocations.
    pub count: u64,
    /// The bytes asked for, without what was freed.
    pub bytes: u64,
}

impl CountingAllocator {
    /// Counts the allocations of the system's allocator.
    pub const fn new() -> Self {
        Self(System)
    }

    /// Returns the allocations of the current thread. Both numbers are 0 if the allocator is not installed.
    pub fn counted() -> Allocations {
        Allocations { count: COUNT.get(), bytes: BYTES.get() }
    }

    /// Returns true if this allocator is the program's global allocator.
    pub fn is_installed() -> bool {
        let before = Self::counted();
        drop(std::hint::black_box(Box::new(0_u64)));
        Self::counted() != before
    }
}

impl<A> CountingAllocator<A> {
    /// Counts the allocations of `allocator`.
    pub const fn over(allocator: A) -> Self {
        Self(allocator)
    }
}

fn count(bytes: usize) {
    COUNT.set(COUNT.get().wrapping_add(1));
    BYTES.set(BYTES.get().wrapping_add(bytes as u64));
}

// SAFETY: every call is passed to the inner allocator unchanged. The counters are thread-local cells without a destructor
// and with a constant initial value, so that counting neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
