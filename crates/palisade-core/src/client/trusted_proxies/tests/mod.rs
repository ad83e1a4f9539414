mod properties;
mod trust;

use http::Request;
use proptest::prelude::*;

use super::*;
use crate::{
    PeerAddr, UnixPeer,
    client::diagnostics::Once,
    testing::{Contract, Script},
};

const PROXY: &str = "10.0.0.1";

/// Field lines, `name: value`.
fn request(peer: &str, lines: &[&str]) -> request::Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    match peer {
        "no peer" => {}
        "unix" => {
            head.extensions.insert(UnixPeer);
        }
        address => {
            let address: IpAddr = address.parse().unwrap();
            head.extensions.insert(PeerAddr((address, 4000).into()));
        }
    }
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        head.headers.append(name.parse::<HeaderName>().unwrap(), value);
    }
    head
}

fn client(proxies: &TrustedProxies, peer: &str, lines: &[&str]) -> String {
    let mut head = request(peer, lines);
    let Decision::Now(Ok(mut client)) = proxies.decide(&head) else { panic!("it decides at once") };
    proxies.admit(&mut client, &mut head);
    assert_eq!(head.extensions.get::<ClientIp>(), client.as_ref());
    assert_eq!(ClientIp::from_extensions(&head.extensions), client);
    assert_eq!(ClientIp::of_request(&head), client);
    client.map_or_else(|| "none".to_owned(), |client| client.to_string())
}

/// Checks `(peer, field lines, client)`.
fn table(proxies: TrustedProxiesBuilder, rows: &[(&str, &[&str], &str)]) {
    let proxies = proxies.build().unwrap();
    for (peer, lines, expected) in rows {
        assert_eq!(client(&proxies, peer, lines), *expected, "{lines:?} from {peer}");
    }
}

fn address_text(parsed: Option<ClientIp>) -> String {
    parsed.map_or_else(|| "none".to_owned(), |client| client.to_string())
}

#[test]
fn client_is_the_rightmost_untrusted_address() {
    table(
        TrustedProxies::networks(["10.0.0.0/8", "fd00::/8"]),
        &[
            (PROXY, &[], PROXY),
            (PROXY, &["x-forwarded-for: 203.0.113.7"], "203.0.113.7"),
            // The client's own elements are further left.
            (PROXY, &["x-forwarded-for: 192.0.2.66, 203.0.113.7"], "203.0.113.7"),
            (PROXY, &["x-forwarded-for: 10.0.0.9, 203.0.113.7"], "203.0.113.7"),
            (
                PROXY,
                &["x-forwarded-for: 192.0.2.66, 203.0.113.7, 10.0.0.3, 10.0.0.2"],
                "203.0.113.7",
            ),
            // all field lines, joined in their order
            (
                PROXY,
                &["x-forwarded-for: 192.0.2.66", "x-forwarded-for: 203.0.113.7"],
                "203.0.113.7",
            ),
            (
                PROXY,
                &["x-forwarded-for: 192.0.2.66, 203.0.113.7", "x-forwarded-for: 10.0.0.2"],
                "203.0.113.7",
            ),
            // where all are trusted, the leftmost made the request
            (PROXY, &["x-forwarded-for: 10.0.0.9"], "10.0.0.9"),
            (PROXY, &["x-forwarded-for: 10.0.0.9,10.0.0.8,10.0.0.7"], "10.0.0.9"),
            // ports, zones, brackets, and IPv4 by its bits
            (PROXY, &["x-forwarded-for: 203.0.113.7:4711"], "203.0.113.7"),
            (PROXY, &["x-forwarded-for: 2001:0DB8:0:0::7"], "2001:db8::7"),
            (PROXY, &["x-forwarded-for: [2001:db8::7]:4711"], "2001:db8::7"),
            (PROXY, &["x-forwarded-for: fe80::7%eth0"], "fe80::7"),
            (PROXY, &["x-forwarded-for: ::ffff:cb00:7107"], "203.0.113.7"),
            (
                PROXY,
                &["x-forwarded-for: 203.0.113.7, ::ffff:a00:2, ::ffff:10.0.0.3"],
                "203.0.113.7",
            ),
            ("::ffff:10.0.0.1", &["x-forwarded-for: 203.0.113.7"], "203.0.113.7"),
            ("::ffff:a00:1", &["x-forwarded-for: 203.0.113.7"], "203.0.113.7"),
            ("fd00::1", &["x-forwarded-for: 2001:db8::7, fd00::2"], "2001:db8::7"),
        ],
    );
}

#[test]
fn headers_of_an_untrusted_peer_are_ignored() {
    let lines: &[&str] =
        &["x-forwarded-for: 192.0.2.66", "forwarded: for=192.0.2.66", "x-real-ip: 192.0.2.66"];
    for proxies in [
        TrustedProxies::networks(["10.0.0.0/8"]),
        TrustedProxies::networks(["10.0.0.0/8"]).forwarded(),
        TrustedProxies::hops(1).networks(["10.0.0.0/8"]),
        TrustedProxies::header("x-real-ip").networks(["10.0.0.0/8"]),
    ] {
        table(
            proxies,
            &[
                ("203.0.113.7", lines, "203.0.113.7"),
                ("11.0.0.0", lines, "11.0.0.0"),
                ("::ffff:203.0.113.7", lines, "203.0.113.7"),
                ("2001:db8::7", lines, "2001:db8::7"),
                // bits, not text: this is no IPv4 address
                ("::a00:1", lines, "::a00:1"),
            ],
        );
    }
}

#[test]
fn invalid_element_yields_the_last_trusted_proxy() {
    for stop in [
        "unknown",
        "_hidden",
        "",
        "garbage",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
        "203.0.113",
        "203.0.113.7 203.0.113.8",
        "\"203.0.113.7\"",
        "203.0.113.7;",
        "203.0.113.7/32",
        "\u{ff11}.1.1.1",
        &"9".repeat(10_000),
    ] {
        let alone = format!("x-forwarded-for: {stop}");
        let then_a_proxy = format!("x-forwarded-for: 192.0.2.66, {stop}, 10.0.0.2");
        let last = format!("x-forwarded-for: 192.0.2.66, 10.0.0.2, {stop}");
        let a_line_of_its_own = [&*alone, "x-forwarded-for: 10.0.0.2"];
        table(
            TrustedProxies::networks(["10.0.0.0/8"]),
            &[
                (PROXY, &[&alone], PROXY),
                (PROXY, &[&then_a_proxy], "10.0.0.2"),
                (PROXY, &[&last], PROXY),
                (PROXY, &a_line_of_its_own, "10.0.0.2"),
            ],
        );
    }
}

#[test]
fn hop_count_selects_the_client_from_the_right() {
    table(
        TrustedProxies::hops(1),
        &[
            ("198.51.100.1", &["x-forwarded-for: 203.0.113.7"], "203.0.113.7"),
            ("198.51.100.1", &["x-forwarded-for: 192.0.2.66, 203.0.113.7"], "203.0.113.7"),
            (
                "198.51.100.1",
                &["x-forwarded-for: 192.0.2.66", "x-forwarded-for: 203.0.113.7"],
                "203.0.113.7",
            ),
            ("198.51.100.1", &["x-forwarded-for: 192.0.2.66, unknown"], "198.51.100.1"),
            ("198.51.100.1", &["x-forwarded-for: 192.0.2.66,"], "198.51.100.1"),
            // fewer elements than proxies
            ("198.51.100.1", &[], "198.51.100.1"),
        ],
    );
    table(
        TrustedProxies::hops(3),
        &[
            ("198.51.100.1", &["x-forwarded-for: 203.0.113.7, 10.0.0.3, 10.0.0.2"], "203.0.113.7"),
            (
                "198.51.100.1",
                &[
                    "x-forwarded-for: 192.0.2.66, 203.0.113.7",
                    "x-forwarded-for: 10.0.0.3, 10.0.0.2",
                ],
                "203.0.113.7",
            ),
            // The position counts.
            ("198.51.100.1", &["x-forwarded-for: 203.0.113.7, unknown, _hidden"], "203.0.113.7"),
            (
                "198.51.100.1",
                &["x-forwarded-for: 192.0.2.66, unknown, 10.0.0.3, 10.0.0.2"],
                "10.0.0.3",
            ),
            ("198.51.100.1", &["x-forwarded-for: 192.0.2.66, 10.0.0.2"], "198.51.100.1"),
            ("198.51.100.1", &["x-forwarded-for: 192.0.2.66"], "198.51.100.1"),
        ],
    );
    table(
        TrustedProxies::hops(2).forwarded(),
        &[
            (PROXY, &["forwarded: for=192.0.2.66, for=203.0.113.7, for=10.0.0.2"], "203.0.113.7"),
            (PROXY, &["forwarded: for=203.0.113.7"], PROXY),
            (PROXY, &["x-forwarded-for: 203.0.113.7, 10.0.0.2"], PROXY),
        ],
    );
}

#[test]
fn single_header_of_a_trusted_peer_must_be_one_address() {
    table(
        TrustedProxies::header("CF-Connecting-IP").networks(["10.0.0.0/8"]),
        &[
            (PROXY, &["cf-connecting-ip: 203.0.113.7"], "203.0.113.7"),
            (PROXY, &["cf-connecting-ip: 2001:db8:0:0::7"], "2001:db8::7"),
            (PROXY, &["cf-connecting-ip: [2001:db8::7]:4711"], "2001:db8::7"),
            (PROXY, &["cf-connecting-ip: ::ffff:203.0.113.7"], "203.0.113.7"),
            (
                PROXY,
                &["cf-connecting-ip: 203.0.113.7", "x-forwarded-for: 192.0.2.66"],
                "203.0.113.7",
            ),
            (PROXY, &[], PROXY),
            (PROXY, &["cf-connecting-ip: 0.0.0.0"], PROXY),
            (PROXY, &["cf-connecting-ip: unknown"], PROXY),
            (PROXY, &["cf-connecting-ip: 203.0.113.7, 192.0.2.66"], PROXY),
            (PROXY, &["cf-connecting-ip: 203.0.113.7", "cf-connecting-ip: 203.0.113.7"], PROXY),
            // never another header instead
            (PROXY, &["x-forwarded-for: 192.0.2.66", "x-real-ip: 192.0.2.66"], PROXY),
        ],
    );
}

#[test]
fn malformed_forwarded_is_ignored() {
    table(
        TrustedProxies::networks(["10.0.0.0/8"]).forwarded(),
        &[
            (
                PROXY,
                &["forwarded: for=\"[2001:db8::1]:4711\";proto=https;host=a.example"],
                "2001:db8::1",
            ),
            (
                PROXY,
                &["forwarded: for=192.0.2.66, for=203.0.113.7;by=10.0.0.2, For=10.0.0.2"],
                "203.0.113.7",
            ),
            (PROXY, &["forwarded: for=192.0.2.66", "forwarded: for=203.0.113.7"], "203.0.113.7"),
            (PROXY, &["forwarded: for=\"203.0.113.7:_port\", for=10.0.0.2"], "203.0.113.7"),
            (PROXY, &["forwarded: for=\"20\\3.0.113.7\""], "203.0.113.7"),
            // legal, and no address
            (PROXY, &["forwarded: for=192.0.2.66, for=unknown, for=10.0.0.2"], "10.0.0.2"),
            (PROXY, &["forwarded: for=192.0.2.66, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (PROXY, &["forwarded: for=192.0.2.66, proto=https, for=10.0.0.2"], "10.0.0.2"),
            (PROXY, &["forwarded: for=192.0.2.66, , for=10.0.0.2"], "10.0.0.2"),
            (PROXY, &["forwarded: for=192.0.2.66, for=\"2001:db8::1\", for=10.0.0.2"], "10.0.0.2"),
            // A malformed header is ignored as a whole.
            (PROXY, &["forwarded: for=\"203.0.113.7, for=10.0.0.2"], PROXY),
            (PROXY, &["forwarded: for=203.0.113.7;for=192.0.2.66"], PROXY),
            (PROXY, &["forwarded: oops, for=203.0.113.7, for=10.0.0.2"], PROXY),
            (PROXY, &["forwarded: oops", "forwarded: for=203.0.113.7"], PROXY),
            (PROXY, &["forwarded: for=[2001:db8::1]"], PROXY),
        ],
    );
}

#[test]
fn only_the_configured_header_is_read() {
    let both: &[&str] = &["x-forwarded-for: 203.0.113.7", "forwarded: for=203.0.113.8"];
    let (xff, forwarded) = (&both[..1], &both[1..]);
    table(
        TrustedProxies::networks(["10.0.0.0/8"]),
        &[
            (PROXY, both, "203.0.113.7"),
            (PROXY, forwarded, PROXY),
            (PROXY, &["x-real-ip: 203.0.113.7", "true-client-ip: 203.0.113.7"], PROXY),
            // and where it stops, it stops
            (PROXY, &["x-forwarded-for: unknown", "forwarded: for=203.0.113.8"], PROXY),
        ],
    );
    table(
        TrustedProxies::networks(["10.0.0.0/8"]).forwarded(),
        &[
            (PROXY, both, "203.0.113.8"),
            (PROXY, xff, PROXY),
            (PROXY, &["x-forwarded-for: 203.0.113.7", "forwarded: oops"], PROXY),
        ],
    );
}

#[test]
fn walk_of_a_64_kilobyte_header_is_bounded() {
    let commas = format!("x-forwarded-for: {}", ",".repeat(65_000));
    let trusted = format!("x-forwarded-for: 203.0.113.7{}", ", 10.0.0.2".repeat(6_000));
    let many: Vec<String> =
        (0..1_000).map(|n| format!("x-forwarded-for: 10.1.{}.{}", n / 250, n % 250)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    table(
        TrustedProxies::networks(["10.0.0.0/8"]),
        &[
            (PROXY, &[&commas], PROXY),
            (PROXY, &[&trusted], "10.0.0.2"),
            // the 32nd from the end
            (PROXY, &many, "10.1.3.218"),
        ],
    );
    let commas = format!("forwarded: {}", ",".repeat(65_000));
    table(TrustedProxies::networks(["10.0.0.0/8"]).forwarded(), &[(PROXY, &[&commas], PROXY)]);
}

#[test]
fn keeps_the_policy_contract_with_and_without_an_address() {
    let from = |peer: &str| {
        let head = request(peer, &["x-forwarded-for: 192.0.2.66, 203.0.113.7"]);
        Request::from_parts(head, Script::empty())
    };
    for peer in [PROXY, "203.0.113.7", "no peer", "unix"] {
        for proxies in [
            TrustedProxies::private_networks(),
            TrustedProxies::private_networks().forwarded(),
            TrustedProxies::hops(1),
            TrustedProxies::header("x-real-ip").private_networks(),
        ] {
            Contract::new(|| from(peer)).check_policy(|| proxies.clone().build().unwrap());
        }
    }
}
