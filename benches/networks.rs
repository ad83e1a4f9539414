//! Lists of networks, short and long: `cargo bench --bench networks`.

use std::{cell::Cell, convert::Infallible, net::Ipv4Addr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use palisade::{DenyNetworks, PeerAddr};
use palisade_benches::{Counting, asking, compare};
use tower::{Layer, service_fn};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

async fn empty(_: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::default()))
}

/// Returns this many single addresses, spread over the address space, none of which a request comes from.
fn networks(count: u32) -> DenyNetworks {
    let step = u32::MAX / count;
    let list = (0..count).map(|at| Ipv4Addr::from_bits((at * step) | 1).to_string());
    DenyNetworks::new(list).unwrap()
}

fn main() {
    // Even addresses, each time another one.
    let next = Cell::new(0_u32);
    let request = || {
        next.set(next.get().wrapping_add(2_654_435_760));
        let peer = PeerAddr((Ipv4Addr::from_bits(next.get()), 4000).into());
        Request::get("/").extension(peer).body(Full::default()).unwrap()
    };
    let bare = service_fn(empty);
    let passed = |response: &Response<_>| response.status() == 200;
    let (one, many) = (networks(1), networks(100_000));
    compare(
        "Networks that are denied, each request from another address",
        &mut [
            asking("bare service", bare, request, |response| response.status() == 200),
            asking("one network", one.layer().layer(bare), request, passed),
            asking("100,000 networks", many.layer().layer(bare), request, passed),
        ],
    );
}
