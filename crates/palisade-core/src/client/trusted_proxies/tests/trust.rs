//! Which peers are trusted, the settings, and the log.

use super::*;

#[test]
fn unix_sockets_need_trust_and_unknown_peers_have_no_client() {
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
                ("no peer", lines, "none"),
                ("192.0.2.1", lines, "192.0.2.1"),
            ],
        );
    }
    for other in [
        TrustedProxies::loopback(),
        TrustedProxies::hops(1),
        TrustedProxies::hops(1).insecure_trust_everyone(),
    ] {
        table(other, &[("unix", lines, "none"), ("no peer", lines, "none")]);
    }
}

#[test]
fn presets_match_the_networks_of_their_rfcs() {
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
fn invalid_settings_are_config_errors_with_a_remedy() {
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
        (TrustedProxies::header("x-real-ip"), "header", "name the proxies that may send it"),
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
fn insecure_trust_setting_reads_headers_of_any_peer() {
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
fn each_misconfiguration_is_logged_once() {
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
fn peer_is_trusted_under_the_same_rules_as_its_headers() {
    let networks = || TrustedProxies::networks(["10.0.0.0/8"]);
    for (proxies, peer, trusted) in [
        (networks(), PROXY, true),
        (networks(), "::ffff:10.0.0.1", true),
        (networks(), "203.0.113.7", false),
        (networks(), "unix", false),
        (networks(), "no peer", false),
        (networks().unix_sockets(), "unix", true),
        (TrustedProxies::hops(1), "203.0.113.7", true),
        (TrustedProxies::hops(1), "no peer", false),
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
fn malformed_header_from_a_unix_socket_is_400() {
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
