//! What a hit asks of the allocator.

#![allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use palisade_cache::Cache;
use palisade_core::{Body, Layer};
use tower::service_fn;
use tower_service::Service;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: every call is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Asked = Request<Body<Full<Bytes>>>;

#[test]
fn hit_of_a_kilobyte_allocates_three_times() {
    let cache = Cache::honour().build().unwrap();
    let mut service = cache.layer(service_fn(async |_: Asked| {
        let response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-type", "application/json")
            .header("etag", "\"a\"");
        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(vec![b'a'; 1024]))).unwrap())
    }));
    let mut get = |fields: &[(&'static str, &'static str)]| {
        let request = Request::get("http://api.example/posts").header("accept", "*/*");
        let request =
            fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::default()).unwrap();
        let before = COUNT.get();
        let mut future = pin!(service.call(request));
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let allocations = COUNT.get() - before;
        let Poll::Ready(Ok(response)) = polled else { panic!("it does not wait") };
        (response.status().as_u16(), allocations)
    };
    assert_eq!(get(&[]).0, 200);
    // The two parts of a header map, and `Age`.
    assert_eq!(get(&[]), (200, 3));
    assert_eq!(get(&[("cache-control", "max-age=10")]), (200, 3));
    let (status, allocations) = get(&[("if-none-match", "\"a\"")]);
    assert_eq!(status, 304);
    assert!(allocations <= 12, "{allocations}");
}
