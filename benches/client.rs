//! Where a request comes from.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, request};
use http_body_util::Full;
use palisade::{ClientIp, DenyNetworks, PeerAddr, Policy, TrustedProxies};
use palisade_bench::{Comparison, Subject};
use tower::{Layer, service_fn};

use crate::{BARE, growing, hello, powers_of_ten};

fn from_proxy() -> Request<Full<Bytes>> {
    let mut request = Request::get("/")
        .header("x-forwarded-for", "192.0.2.66, 203.0.113.7, 10.0.0.2")
        .header("forwarded", "for=192.0.2.66, for=\"[2001:db8::7]:4711\", for=10.0.0.2")
        .header("x-real-ip", "203.0.113.7")
        .body(Full::default())
        .unwrap();
    request.extensions_mut().insert(PeerAddr(([10, 0, 0, 1], 4000).into()));
    request
}

/// The ways to find a client's address.
pub fn compare() -> Comparison {
    let head = || from_proxy().into_parts().0;
    let finds = |name: &str, proxies: TrustedProxies| {
        let head: request::Parts = head();
        Subject::work(name, move || proxies.decide(&head))
    };
    let networks = TrustedProxies::private_networks().build().unwrap();
    let forwarded = TrustedProxies::private_networks().forwarded().build().unwrap();
    let hops = TrustedProxies::hops(2).build().unwrap();
    let header = TrustedProxies::header("x-real-ip").private_networks().build().unwrap();
    let bare = service_fn(hello);
    let peer = head();
    Comparison::new("client address")
        .set(
            "found",
            [
                Subject::work("Palisade, the peer", move || {
                    ClientIp::from_extensions(&peer.extensions)
                }),
                finds("Palisade, by network", networks.clone()),
                finds("Palisade, by network, Forwarded", forwarded),
                finds("Palisade, by hop count", hops),
                finds("Palisade, by one header", header),
            ],
        )
        .set(
            "added to the request",
            [
                Subject::service(BARE, bare, from_proxy),
                Subject::service("Palisade, by network", networks.layer().layer(bare), from_proxy),
            ],
        )
}

/// Denied networks: single addresses, spread over the address space, none of which a request comes from.
pub fn growth() -> Comparison {
    let subjects = |count: usize| {
        let step = u32::MAX / u32::try_from(count).expect("few networks");
        let list = (0..count as u32).map(|at| Ipv4Addr::from_bits((at * step) | 1).to_string());
        let networks = DenyNetworks::new(list).unwrap();
        // Even addresses, each time another one.
        let mut next = 0_u32;
        let request = move || {
            next = next.wrapping_add(2_654_435_760);
            let peer = PeerAddr((Ipv4Addr::from_bits(next), 4000).into());
            Request::get("/").extension(peer).body(Full::<Bytes>::default()).unwrap()
        };
        let bare = service_fn(hello);
        vec![
            Subject::service(BARE, bare, request),
            Subject::service("Palisade", networks.layer().layer(bare), request),
        ]
    };
    growing("networks", powers_of_ten(1, 100_000).map(|count| (count, subjects(count))))
}
