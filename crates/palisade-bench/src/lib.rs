//! Measures what each layer of a tower stack costs.
//!
//! [`Ladder`] takes your service, your requests and your layers, and reports for each layer: time, allocations, bytes,
//! instructions, the size of the future, polls, contention between threads, and the cost with cold caches. [`Comparison`] measures
//! services side by side. [`Report`] prints them, draws them, and compares them with a stored report, so that a test fails when a layer becomes more expensive.
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use http::{HeaderName, HeaderValue, Request, Response};
//! use palisade_bench::{CountingAllocator, Ladder, Tolerance};
//! use tower::service_fn;
//! use tower_http::set_header::SetResponseHeaderLayer;
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator::new();
//!
//! # fn main() -> Result<(), palisade_bench::Error> {
//! let service = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new("hello".to_owned())));
//! let header = SetResponseHeaderLayer::overriding(HeaderName::from_static("x-one"), HeaderValue::from_static("1"));
//!
//! let report = Ladder::new(service, [Request::new(String::new())]).step("header", header).run()?;
//! report.print();
//! report.write_svg("overhead.svg")?;
//! report.check_against("overhead.json", Tolerance::allocations(0).instructions_percent(2.0))?;
//! # Ok(()) }
//! ```
//!
//! Measure optimized code: `cargo bench`, `cargo run --release`, or a test of `cargo test --release`.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod allocator;
mod any_body;
mod chart;
mod check;
mod comparison;
mod error;
mod instructions;
mod ladder;
#[cfg(feature = "load")]
mod load;
mod measurement;
mod progress;
mod report;
mod requests;
mod set;
mod settings;
mod spread;
mod steps;
mod subject;
mod table;
mod turns;

pub use allocator::{Allocations, CountingAllocator};
pub use any_body::{AnyBody, AnyRequestBody, BoxError};
pub use check::Tolerance;
pub use comparison::Comparison;
pub use error::Error;
pub use instructions::{InstructionSource, Instructions};
pub use ladder::Ladder;
#[cfg(feature = "load")]
pub use load::{Load, LoadReport, LoadRow, Protocol, Servable, UserTime};
pub use report::{Difference, Figures, Report, RequestReport, StepReport};
pub use spread::Spread;
pub use steps::{Build, Growing, Step, WithoutEach};
pub use subject::{Measured, MeasuredResponse, Subject};

/// The page of the guide. Its examples are tests with the feature `load`, which one of them needs.
#[cfg(any(not(doctest), feature = "load"))]
#[doc = include_str!("../docs/measuring.md")]
pub mod guide {}
