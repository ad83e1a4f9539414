//! The warning of a server that is behind a proxy and was not told. It is said once per process: this is one.

use http::{Request, request};
use palisade_core::{ClientIp, Decision, PeerAddr, Policy, TrustedProxies, testing::Log};
use tracing::Level;

fn from_proxy(field: &str) -> request::Parts {
    let (name, value) = field.split_once(": ").unwrap();
    let peer = PeerAddr(([10, 0, 0, 1], 4000).into());
    Request::get("/").header(name, value).extension(peer).body(()).unwrap().into_parts().0
}

#[test]
fn forwarding_without_trusted_proxies_is_logged_once() {
    let log = Log::of_this_thread(Level::INFO);
    let proxy: ClientIp = ClientIp::new([10, 0, 0, 1].into());
    assert_eq!(ClientIp::of_request(&from_proxy("x-other: 203.0.113.7")), Some(proxy));
    // Where trusted proxies are configured, there is nothing to warn of.
    let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
    let mut head = from_proxy("x-forwarded-for: 203.0.113.7");
    let Decision::Now(Ok(mut client)) = proxies.decide(&head) else { panic!("it decides") };
    proxies.admit(&mut client, &mut head);
    assert_eq!(ClientIp::of_request(&head), client);
    assert_eq!(log.text(), "");

    for _ in 0..3 {
        for field in ["x-forwarded-for: 203.0.113.7", "forwarded: for=203.0.113.7"] {
            assert_eq!(ClientIp::of_request(&from_proxy(field)), Some(proxy));
        }
    }
    let log = log.text();
    assert_eq!(log.lines().count(), 1, "{log}");
    for part in ["WARN palisade::client_ip: x-forwarded-for is present", "add TrustedProxies"] {
        assert!(log.contains(part), "{part} is not in: {log}");
    }
    assert!(!log.contains("203.0.113.7"), "what a client sent is not logged: {log}");
}
