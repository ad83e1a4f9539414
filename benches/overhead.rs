//! What each layer of a stack costs, beside the stack that people assemble from other crates: on plain tower, in an axum router,
//! behind hyper's server and behind tonic's services. Takes about a minute.
//!
//! ```sh
//! cargo run --release --example overhead
//! ```
//!
//! The ladders are in `ladders.rs`, the servers in `servers.rs`.

use palisade_bench::{CountingAllocator, Protocol};
use palisade_benches::{full_stack, ladders, servers, stacks::Ours};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    full_stack::compare().run()?.print();
    let ours = Ours::new()?;
    ladders::palisade_on_tower(&ours)?.print();
    ladders::others_on_tower()?.print();
    ladders::palisade_in_axum(&ours)?.print();
    ladders::others_in_axum()?.print();
    servers::behind_hyper(&ours, Protocol::Http1)?.print();
    servers::behind_tonic(&ours)?.print();
    Ok(())
}
