//! What Palisade costs for each request, beside other crates.
//!
//! Each module compares in sets: the bare service, if the subject is a layer, then Palisade and its peers under the same
//! conditions. Names of our subjects start with "Palisade". `cargo bench` prints the tables, the report draws them, and
//! `tests/figures.rs` compares our allocations and instructions with stored ones.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

pub mod auth;
pub mod body;
pub mod by_hand;
pub mod cache;
pub mod client;
pub mod cors;
pub mod engine;
pub mod full_stack;
pub mod headers;
pub mod idempotency;
pub mod keys;
pub mod ladders;
pub mod observe;
pub mod rate_limit;
pub mod report;
pub mod servers;
pub mod stacks;
pub mod validate;

use std::{convert::Infallible, env};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use palisade_bench::{Comparison, Instructions, Subject};

/// The name of the service without any layer.
pub const BARE: &str = "bare service";

/// Comparisons that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The title, and the argument of `cargo bench` that selects the group.
    pub name: &'static str,
    /// What is compared, as a sentence of the report.
    pub about: &'static str,
    /// How long the measurement takes, in seconds, on two cores that have other work as well.
    pub seconds: u32,
    /// Makes the comparison.
    pub compare: fn() -> Comparison,
}

impl Group {
    const fn new(
        name: &'static str,
        about: &'static str,
        seconds: u32,
        compare: fn() -> Comparison,
    ) -> Self {
        Self { name, about, seconds, compare }
    }

    /// Returns the comparison, or `None` in a second run of the program that counts the instructions of another one.
    pub fn comparison(&self) -> Option<Comparison> {
        let counted = env::var("PALISADE_BENCH_COUNTED_LADDER");
        counted.map_or(true, |title| title == self.name).then(|| (self.compare)())
    }

    /// Returns the comparison for a run that only shows that it works: without large sets, and without instructions.
    pub fn small_comparison(&self) -> Comparison {
        let is_small = |set: &str| set.parse::<usize>().map_or(true, |size| size <= 10_000);
        (self.compare)().retain(|set, _| is_small(set)).instructions(Instructions::Off).rounds(1)
    }
}

/// Each policy beside its peers.
pub const POLICIES: [Group; 12] = [
    Group::new(
        "stack",
        "Request ids, panics, six security headers, CORS, a rate limit, a JWT that was seen before, a role and a body limit.",
        16,
        full_stack::compare,
    ),
    Group::new(
        "engine",
        "Policies without work: one, a chain, and nested layers.",
        5,
        engine::compare,
    ),
    Group::new(
        "client address",
        "The client's address behind proxies, from a head that exists already. No peer does the same.",
        5,
        client::compare,
    ),
    Group::new(
        "observe",
        "Request ids and the access log. Logged requests are formatted into a sink.",
        10,
        observe::compare,
    ),
    Group::new(
        "headers",
        "Headers of responses, beside one layer of tower-http for each header.",
        10,
        headers::compare,
    ),
    Group::new(
        "cors",
        "CORS with three origins, of which the last one asks, methods, headers and credentials.",
        12,
        cors::compare,
    ),
    Group::new(
        "rate limit",
        "Decisions about one key, and whole layers around a service. The key is never over its limit, or always.",
        11,
        rate_limit::compare,
    ),
    Group::new("auth", "JWTs with HS256, and rules with many roles.", 8, auth::compare),
    Group::new("body", "Limits of bodies and of time.", 10, body::compare),
    Group::new(
        "validate",
        "JSON of about 1 KB and 10 KB, as the same type.",
        25,
        validate::compare,
    ),
    Group::new(
        "cache",
        "A stored response of 1 KB, and what a request costs that the cache does not answer.",
        15,
        cache::compare,
    ),
    Group::new(
        "idempotency",
        "A retry that gets the stored response of 1 KB, and a first attempt.",
        10,
        idempotency::compare,
    ),
];

/// Measured, and not compared with stored figures: the keys are new in each run.
pub const SIGNATURES: Group =
    Group::new("signatures", "JWTs with asymmetric signatures.", 13, auth::compare_signatures);

/// How the cost grows, in powers of ten. The sets are named by the number.
pub const GROWTH: [Group; 7] = [
    Group::new(
        "origins",
        "CORS by the number of listed origins; the last one asks.",
        6,
        cors::growth,
    ),
    Group::new(
        "keys",
        "A decision of the rate limiter by the number of keys, which come in no order.",
        6,
        keys::growth,
    ),
    Group::new(
        "tokens",
        "Authentication by the number of tokens, which come in no order, all seen before.",
        7,
        auth::growth,
    ),
    Group::new(
        "routes",
        "Methods by route: `Methods` around a service beside axum's router; the last route is requested.",
        6,
        headers::growth,
    ),
    Group::new(
        "policies",
        "A chain of policies that read one header each, beside as many `MapRequest` layers of tower.",
        5,
        engine::growth,
    ),
    Group::new("networks", "`DenyNetworks` by the number of networks.", 6, client::growth),
    Group::new(
        "body size",
        "A body limit by the size of the body in bytes, in pieces of 16 KiB.",
        10,
        body::growth,
    ),
];

/// Also by body size: reading and validating JSON.
pub const JSON_SIZE: Group = Group::new(
    "JSON size",
    "Validation by the size of the JSON in bytes, beside serde_json and garde.",
    8,
    validate::growth,
);

/// Returns all groups.
pub fn groups() -> impl Iterator<Item = Group> {
    POLICIES.into_iter().chain([SIGNATURES]).chain(GROWTH).chain([JSON_SIZE])
}

/// The numbers of a growth: 1, 10, 100 and so on, up to `last`.
fn powers_of_ten(first: usize, last: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(first), |power| Some(power * 10))
        .take_while(move |power| *power <= last)
}

/// Responds to every request with "hello".
async fn hello<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// A growth is drawn by time: counting instructions of a million keys would take minutes.
fn growing(title: &str, sets: impl IntoIterator<Item = (usize, Vec<Subject>)>) -> Comparison {
    let comparison = Comparison::new(title).instructions(Instructions::Off).rounds(51);
    sets.into_iter()
        .fold(comparison, |comparison, (size, subjects)| comparison.set(size.to_string(), subjects))
}
