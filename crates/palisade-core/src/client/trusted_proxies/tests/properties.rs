//! Properties of random headers.

use super::*;

/// Field lines of clients: any bytes that HTTP allows, mostly well-formed elements.
fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
    let address = prop_oneof![
        Just("6.6.6.6".to_owned()),
        Just("10.0.0.66".to_owned()),
        Just("\"[2001:db8::66]:66\"".to_owned()),
        Just("unknown".to_owned()),
        Just("_hidden".to_owned()),
        Just(String::new()),
    ];
    let piece = prop_oneof![
        address.clone(),
        address.prop_map(|address| format!("for={address}")),
        "[\"\\\\,;= a-z]{0,4}",
        Just("for=\"".to_owned()),
        Just(";x=\"".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just(",".to_owned()),
        Just(", ".to_owned()),
        Just(";host=".to_owned()),
    ];
    let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![4 => text, 1 => bytes].prop_map(|line| {
        line.into_iter().filter(|byte| *byte == 9 || (*byte >= 32 && *byte != 127)).collect()
    })
}

/// Returns the lines after each proxy has added an element, to the last line or as another line.
fn through_proxies(
    name: &HeaderName,
    sent: Vec<Vec<u8>>,
    added: &[(String, bool)],
    peer: &str,
) -> request::Parts {
    let mut lines = sent;
    for (element, on_the_same_line) in added {
        match lines.last_mut() {
            Some(line) if *on_the_same_line => {
                line.extend_from_slice(b", ");
                line.extend_from_slice(element.as_bytes());
            }
            _ => lines.push(element.clone().into_bytes()),
        }
    }
    let mut head = request(peer, &[]);
    for line in lines {
        head.headers.append(name, HeaderValue::from_bytes(&line).unwrap());
    }
    head
}

proptest! {
    #[test]
    fn elements_left_of_trusted_proxies_do_not_matter(
        sent in prop::collection::vec(hostile_line(), 0..4),
        same_line in prop::collection::vec(any::<bool>(), 1..5),
    ) {
        // The first proxy adds the client, each further one the proxy before it.
        let added: Vec<(String, bool)> = same_line
            .iter()
            .enumerate()
            .map(|(n, same_line)| {
                let seen = if n == 0 { "203.0.113.7".to_owned() } else { format!("10.0.1.{n}") };
                (seen, *same_line)
            })
            .collect();
        let head = through_proxies(&X_FORWARDED_FOR, sent.clone(), &added, PROXY);
        for proxies in [TrustedProxies::networks(["10.0.0.0/8"]), TrustedProxies::hops(added.len())] {
            let client = proxies.build().unwrap().client_of(&head);
            prop_assert_eq!(address_text(client), "203.0.113.7");
        }

        // In Forwarded they can make it malformed, and are then the proxy that was asked.
        let added: Vec<(String, bool)> = added
            .iter()
            .map(|(seen, same_line)| (format!("for={seen};host=\";for=6.6.6.6;x=\""), *same_line))
            .collect();
        let head = through_proxies(&FORWARDED, sent, &added, PROXY);
        for proxies in [TrustedProxies::networks(["10.0.0.0/8"]), TrustedProxies::hops(added.len())] {
            let client = address_text(proxies.forwarded().build().unwrap().client_of(&head));
            prop_assert!(client == "203.0.113.7" || client == PROXY, "{}", client);
        }
    }

    #[test]
    fn untrusted_peer_is_the_client_for_any_headers(
        sent in prop::collection::vec(hostile_line(), 0..4),
    ) {
        for proxies in [
            TrustedProxies::private_networks(),
            TrustedProxies::private_networks().forwarded(),
            TrustedProxies::hops(1).private_networks(),
            TrustedProxies::header("x-real-ip").private_networks(),
        ] {
            let proxies = proxies.build().unwrap();
            let head = through_proxies(proxies.0.model.header(), sent.clone(), &[], "203.0.113.7");
            prop_assert_eq!(address_text(proxies.client_of(&head)), "203.0.113.7");
        }
    }

    #[test]
    fn leftmost_element_is_never_the_client(
        leftmost in any::<IpAddr>(),
        between in prop::collection::vec(any::<IpAddr>(), 0..5),
    ) {
        let mut line = vec![leftmost.to_string()];
        line.extend(between.iter().map(ToString::to_string));
        line.push("203.0.113.7".to_owned());
        let line = format!("x-forwarded-for: {}", line.join(", "));
        let proxies = TrustedProxies::networks(["10.0.0.0/8"]).build().unwrap();
        prop_assert_eq!(client(&proxies, PROXY, &[&line]), "203.0.113.7");
    }

    #[test]
    fn arbitrary_headers_never_panic_or_yield_unspecified_clients(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        peer in any::<IpAddr>(),
    ) {
        for proxies in [
            TrustedProxies::networks(["10.0.0.0/8"]).insecure_trust_everyone(),
            TrustedProxies::networks(["10.0.0.0/8"]).insecure_trust_everyone().forwarded(),
            TrustedProxies::hops(3),
            TrustedProxies::hops(3).forwarded(),
            TrustedProxies::header("x-real-ip").insecure_trust_everyone(),
        ] {
            let proxies = proxies.build().unwrap();
            let mut head = request(&peer.to_string(), &[]);
            for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
                head.headers.append(proxies.0.model.header(), value);
            }
            let client = proxies.client_of(&head);
            prop_assert!(client.is_none_or(|client| !client.ip().is_unspecified()));
        }
    }

    #[test]
    fn spellings_of_an_address_yield_the_same_client(
        address in any::<IpAddr>(),
        port in any::<u16>(),
    ) {
        prop_assume!(!address.to_canonical().is_unspecified());
        let expected = ClientIp::new(address).to_string();
        let (bare, with_port, node) = match address {
            IpAddr::V4(v4) => (format!("{v4}"), format!("{v4}:{port}"), format!("{v4}:{port}")),
            IpAddr::V6(v6) => {
                let full: Vec<String> = v6.segments().iter().map(|it| format!("{it:04X}")).collect();
                (full.join(":"), format!("[{v6}%eth0]:{port}"), format!("[{}]:_p", full.join(":")))
            }
        };
        let mapped = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_string(),
            IpAddr::V6(v6) => v6.to_string(),
        };
        let proxies = TrustedProxies::hops(1).build().unwrap();
        for written in [bare, with_port, mapped] {
            let line = format!("x-forwarded-for: {written}");
            prop_assert_eq!(client(&proxies, PROXY, &[&line]), expected.as_str());
        }
        let proxies = TrustedProxies::hops(1).forwarded().build().unwrap();
        let line = format!("forwarded: proto=https;for=\"{node}\"");
        prop_assert_eq!(client(&proxies, PROXY, &[&line]), expected.as_str());
    }
}
