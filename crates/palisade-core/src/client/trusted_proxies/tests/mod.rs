mod properties;

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
        "nobody" => {}
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
    assert_eq!(ClientIp::of(&head.extensions), client);
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
fn the_headers_of_a_peer_that_is_not_trusted_are_ignored() {
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
fn one_header_of_a_trusted_peer_is_read_if_it_is_one_address() {
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
fn forwarded_is_read_by_its_grammar_or_not_at_all() {
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
fn one_header_is_never_read_instead_of_another_or_beside_it() {
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
fn unix_socket_needs_trust_and_missing_peer_has_none() {
    let lines: &[&str] = &["x-forwarded-for: 192.0.2.66, 203.0.113.7", "x-real-ip: 203.0.113.7"];
    for trusting in [
        TrustedProxies::unix_sockets(),
        TrustedProxies::loopback().unix_sockets(),
        TrustedProxies::hops(1).unix_sockets(),
        TrustedProxies::header("x-real-ip").unix_sockets(),
    ] {
        table(
            trusting,
            &[
                ("unix", lines, "203.0.113.7"),
                // there is no address of the last trusted proxy
                ("unix", &["x-forwarded-for: unknown", "x-real-ip: unknown"], "none"),
                ("unix", &[], "none"),
                ("nobody", lines, "none"),
                ("192.0.2.1", lines, "192.0.2.1"),
            ],
        );
    }
    for other in [
        TrustedProxies::loopback(),
        TrustedProxies::hops(1),
        TrustedProxies::hops(1).insecure_trust_everyone(),
    ] {
        table(other, &[("unix", lines, "none"), ("nobody", lines, "none")]);
    }
}

#[test]
fn the_presets_are_the_networks_of_their_rfcs() {
    let from = "x-forwarded-for: 203.0.113.7";
    let trusted = ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"];
    let others = ["10.0.0.1", "128.0.0.0", "::2", "169.254.0.1"];
    let proxies = TrustedProxies::loopback().build().unwrap();
    assert!(trusted.iter().all(|peer| client(&proxies, peer, &[from]) == "203.0.113.7"));
    assert!(others.iter().all(|peer| client(&proxies, peer, &[from]) == *peer));

    let trusted =
        ["10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "fc00::", "fdff::1"];
    let others =
        ["127.0.0.1", "172.15.255.255", "172.32.0.0", "192.169.0.0", "fe00::", "100.64.0.1"];
    let proxies = TrustedProxies::private_networks().build().unwrap();
    assert!(trusted.iter().all(|peer| client(&proxies, peer, &[from]) == "203.0.113.7"));
    assert!(others.iter().all(|peer| client(&proxies, peer, &[from]) == *peer));
}

#[test]
fn a_setting_that_cannot_be_right_is_named_with_its_remedy() {
    let none: [&str; 0] = [];
    for (builder, setting, remedy) in [
        (TrustedProxies::networks(none), "networks", "leave TrustedProxies out"),
        (TrustedProxies::networks(["10.0.0.0/33"]), "networks", "`10.0.0.0/8`"),
        (TrustedProxies::loopback().networks(["proxy"]), "networks", "`10.0.0.0/8`"),
        (TrustedProxies::networks(["0.0.0.0/0"]), "networks", "`insecure_trust_everyone`"),
        (TrustedProxies::networks(["::/0"]), "networks", "`insecure_trust_everyone`"),
        (TrustedProxies::networks(["::ffff:0:0/96"]), "networks", "`insecure_trust_everyone`"),
        (
            TrustedProxies::networks(["0.0.0.0/1", "128.0.0.0/1"]),
            "networks",
            "`insecure_trust_everyone`",
        ),
        (TrustedProxies::hops(1).networks(["0.0.0.0/0"]), "networks", "`insecure_trust_everyone`"),
        (
            TrustedProxies::header("x-real-ip").networks(["::/0"]),
            "networks",
            "`insecure_trust_everyone`",
        ),
        (TrustedProxies::hops(0), "hops", "1 to 32"),
        (TrustedProxies::hops(33), "hops", "1 to 32"),
        (TrustedProxies::header("x real ip").loopback(), "header", "`x-real-ip`"),
        (TrustedProxies::header("").loopback(), "header", "`x-real-ip`"),
        (TrustedProxies::header("x-real-ip"), "header", "from whom"),
        (
            TrustedProxies::header("X-Forwarded-For").loopback(),
            "header",
            "use `networks` or `hops`",
        ),
        (TrustedProxies::header("Forwarded").loopback(), "header", "`forwarded`"),
        (TrustedProxies::header("x-real-ip").loopback().forwarded(), "forwarded", "leave out one"),
    ] {
        let error = builder.clone().build().expect_err(&format!("{builder:?}"));
        assert_eq!(error.setting(), setting, "{builder:?}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn who_insists_believes_everybody() {
    let lines: &[&str] = &["x-forwarded-for: 192.0.2.66, 203.0.113.7", "x-real-ip: 192.0.2.66"];
    table(
        TrustedProxies::networks(["0.0.0.0/0"]).insecure_trust_everyone(),
        &[("198.51.100.1", lines, "192.0.2.66"), ("2001:db8::1", lines, "192.0.2.66")],
    );
    table(
        TrustedProxies::header("x-real-ip").insecure_trust_everyone(),
        &[("198.51.100.1", lines, "192.0.2.66")],
    );
}

#[test]
fn a_header_of_64_kilobytes_costs_a_walk_of_32_elements() {
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
fn what_an_operator_should_know_is_logged_once() {
    let warned = |proxies: TrustedProxiesBuilder, peer: &str, lines: &[&str]| {
        let proxies = proxies.build().unwrap();
        for _ in 0..3 {
            client(&proxies, peer, lines);
        }
        let Log {
            untrusted_peer,
            other_header,
            too_few_hops,
            too_many_hops,
            malformed,
            not_one_address,
        } = &proxies.0.log;
        [untrusted_peer, other_header, too_few_hops, too_many_hops, malformed, not_one_address]
            .map(Once::happened)
            .map(u8::from)
    };
    let networks = || TrustedProxies::networks(["10.0.0.0/8"]);
    let header = || TrustedProxies::header("x-real-ip").networks(["10.0.0.0/8"]);
    let xff = "x-forwarded-for: 203.0.113.7";
    let long = format!("x-forwarded-for: {}", "10.0.0.2,".repeat(32) + "10.0.0.2");
    for (proxies, peer, lines, expected) in [
        (networks(), PROXY, &[xff][..], [0, 0, 0, 0, 0, 0]),
        (networks(), PROXY, &[], [0, 0, 0, 0, 0, 0]),
        (networks(), PROXY, &["x-forwarded-for: unknown"], [0, 0, 0, 0, 0, 0]),
        (networks(), "203.0.113.7", &[], [0, 0, 0, 0, 0, 0]),
        (networks(), "203.0.113.7", &[xff], [1, 0, 0, 0, 0, 0]),
        (networks(), PROXY, &["forwarded: for=203.0.113.7"], [0, 1, 0, 0, 0, 0]),
        (networks(), PROXY, &[xff, "forwarded: for=203.0.113.7"], [0, 1, 0, 0, 0, 0]),
        (networks().forwarded(), PROXY, &[xff], [0, 1, 0, 0, 0, 0]),
        (networks(), PROXY, &[&long], [0, 0, 0, 1, 0, 0]),
        (networks().forwarded(), PROXY, &["forwarded: oops"], [0, 0, 0, 0, 1, 0]),
        (TrustedProxies::hops(2), PROXY, &[xff], [0, 0, 1, 0, 0, 0]),
        (TrustedProxies::hops(1), PROXY, &[xff], [0, 0, 0, 0, 0, 0]),
        (header(), PROXY, &["x-real-ip: 203.0.113.7", xff], [0, 0, 0, 0, 0, 0]),
        (header(), PROXY, &[xff], [0, 1, 0, 0, 0, 1]),
        (header(), PROXY, &["x-real-ip: a"], [0, 0, 0, 0, 0, 1]),
    ] {
        assert_eq!(warned(proxies.clone(), peer, lines), expected, "{proxies:?} {lines:?}");
    }
}

#[test]
fn the_policy_keeps_the_contract_with_and_without_an_address() {
    let from = |peer: &str| {
        let head = request(peer, &["x-forwarded-for: 192.0.2.66, 203.0.113.7"]);
        Request::from_parts(head, Script::empty())
    };
    for peer in [PROXY, "203.0.113.7", "nobody", "unix"] {
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

fn address_text(parsed: Option<ClientIp>) -> String {
    parsed.map_or_else(|| "none".to_owned(), |client| client.to_string())
}

#[test]
fn a_peer_is_trusted_as_its_headers_are() {
    let networks = || TrustedProxies::networks(["10.0.0.0/8"]);
    for (proxies, peer, trusted) in [
        (networks(), PROXY, true),
        (networks(), "::ffff:10.0.0.1", true),
        (networks(), "203.0.113.7", false),
        (networks(), "unix", false),
        (networks(), "nobody", false),
        (networks().unix_sockets(), "unix", true),
        (TrustedProxies::hops(1), "203.0.113.7", true),
        (TrustedProxies::hops(1), "nobody", false),
        (TrustedProxies::hops(1).networks(["10.0.0.0/8"]), "203.0.113.7", false),
    ] {
        let proxies = proxies.build().unwrap();
        let head = request(peer, &[]);
        assert_eq!(proxies.trust_peer_of(&head.extensions), trusted, "{proxies:?} {peer}");
    }
}

/// Returns the status of a policy that needs an address, for a request over a Unix socket.
fn status_over_unix_socket(proxies: TrustedProxiesBuilder, fields: &[(&str, &str)]) -> Option<u16> {
    let mut request = Request::get("/").extension(UnixPeer);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let proxies = proxies.build().unwrap();
    let mut client = proxies.client_of(&head);
    proxies.admit(&mut client, &mut head);
    ClientIp::required(&head).err().map(|error| error.status().as_u16())
}

#[test]
fn malformed_header_behind_a_unix_socket_is_the_clients_mistake() {
    let forwarded = || TrustedProxies::unix_sockets().forwarded();
    let long = "for=192.0.2.1,".repeat(1000);
    for (value, status) in [
        ("for=203.0.113.7", None),
        ("for=\", for=203.0.113.7", Some(400)),
        ("for", Some(400)),
        ("for=unknown", Some(400)),
        (&*long, Some(400)),
    ] {
        let told = status_over_unix_socket(forwarded(), &[("forwarded", value)]);
        assert_eq!(told, status, "{value}");
    }
    let list = || TrustedProxies::hops(2).unix_sockets();
    let fields = [("x-forwarded-for", "203.0.113.7")];
    assert_eq!(status_over_unix_socket(list(), &fields), Some(400), "it passed one proxy of two");
    // The proxy sends no header, which is a misconfiguration.
    assert_eq!(status_over_unix_socket(forwarded(), &[]), Some(500));
    assert_eq!(status_over_unix_socket(list(), &[("forwarded", "for")]), Some(500));
}
