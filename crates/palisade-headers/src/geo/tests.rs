use http::{HeaderValue, Request, header};
use palisade_core::{Halt, PeerAddr, UnixPeer};

use super::*;

const CDN: [u8; 4] = [173, 245, 48, 1];
const STRANGER: [u8; 4] = [203, 0, 113, 7];

fn cdn() -> TrustedProxies {
    TrustedProxies::networks(["173.245.48.0/20"]).build().unwrap()
}

fn by_cdn(builder: GeoBuilder) -> Geo {
    builder.by_header("cf-ipcountry", &cdn()).build().unwrap()
}

fn request(peer: Option<[u8; 4]>, countries: &[&[u8]]) -> request::Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    if let Some(peer) = peer {
        head.extensions.insert(PeerAddr((peer, 4000).into()));
    }
    for country in countries {
        head.headers.append("cf-ipcountry", HeaderValue::from_bytes(country).unwrap());
    }
    head
}

/// The country that it passes with, or the refusal.
fn judged(geo: &Geo, mut head: request::Parts) -> Result<Option<Country>, Box<ApiError>> {
    match geo.decide(&head) {
        Decision::Now(Ok(mut country)) => {
            geo.admit(&mut country, &mut head);
            assert_eq!(Country::from_extensions(&head.extensions), country);
            Ok(country)
        }
        Decision::Now(Err(Halt::Refuse(error))) => Err(Box::new(error)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn country_is_accepted_only_from_trusted_proxies() {
    let allow = by_cdn(Geo::allow(["DE", "AT"]));
    let deny = by_cdn(Geo::deny(["US", "KP"]));
    let open = by_cdn(Geo::allow(["DE", "AT"]).insecure_allow_unknown());
    let deny_open = by_cdn(Geo::deny(["US", "KP"]).insecure_allow_unknown());
    let (cdn, stranger) = (Some(CDN), Some(STRANGER));
    // known to be in a listed country, in another one, or not known
    for (peer, countries, [by_allow, by_deny, by_open, by_deny_open]) in [
        (cdn, &[&b"DE"[..]][..], [true, true, true, true]),
        (cdn, &[b"de"], [true, true, true, true]),
        (cdn, &[b" DE "], [true, true, true, true]),
        (cdn, &[b"FR"], [false, true, false, true]),
        (cdn, &[b"US"], [false, false, false, false]),
        (cdn, &[b"kp"], [false, false, false, false]),
        // not known
        (cdn, &[], [false, false, true, true]),
        (cdn, &[b""], [false, false, true, true]),
        (cdn, &[b"XX"], [false, false, true, true]),
        (cdn, &[b"T1"], [false, false, true, true]),
        (cdn, &[b"EU"], [false, false, true, true]),
        (cdn, &[b"DEU"], [false, false, true, true]),
        (cdn, &[b"DE,AT"], [false, false, true, true]),
        (cdn, &[b"D\xc3"], [false, false, true, true]),
        (cdn, &[b"DE", b"DE"], [false, false, true, true]),
        (cdn, &[b"DE", b"US"], [false, false, true, true]),
        (cdn, &[b"US", b"DE"], [false, false, true, true]),
        // spoofed
        (stranger, &[b"DE"], [false, false, true, true]),
        (stranger, &[b"FR"], [false, false, true, true]),
        (stranger, &[b"US"], [false, false, true, true]),
        (stranger, &[], [false, false, true, true]),
        // a server that left no peer
        (None, &[b"DE"], [false, false, true, true]),
    ] {
        for (geo, passes) in
            [(&allow, by_allow), (&deny, by_deny), (&open, by_open), (&deny_open, by_deny_open)]
        {
            let outcome = judged(geo, request(peer, countries));
            assert_eq!(outcome.is_ok(), passes, "{geo:?} {peer:?} {countries:?}");
        }
    }
}

#[test]
fn country_extension_is_set_only_from_trusted_proxies() {
    let open = by_cdn(Geo::allow(["DE"]).insecure_allow_unknown());
    let germany = Some("DE".parse().unwrap());
    assert_eq!(judged(&open, request(Some(CDN), &[b"de"])).unwrap(), germany);
    let mut spoofed = request(Some(STRANGER), &[b"DE"]);
    spoofed.extensions.insert("US".parse::<Country>().unwrap());
    assert_eq!(judged(&open, spoofed).unwrap(), None);
}

#[test]
fn only_the_configured_header_is_read() {
    let geo = by_cdn(Geo::allow(["DE"]));
    let mut head = request(Some(CDN), &[]);
    for name in ["x-vercel-ip-country", "cloudfront-viewer-country", "x-country"] {
        head.headers.append(name, HeaderValue::from_static("DE"));
    }
    assert!(judged(&geo, head).is_err());
}

#[test]
fn country_from_a_trusted_unix_socket_is_accepted() {
    let proxies = TrustedProxies::unix_sockets().build().unwrap();
    let geo = Geo::allow(["DE"]).by_header("cf-ipcountry", &proxies).build().unwrap();
    let mut head = request(None, &[b"DE"]);
    assert!(judged(&geo, request(None, &[b"DE"])).is_err());
    head.extensions.insert(UnixPeer);
    assert!(judged(&geo, head).is_ok());
}

#[test]
fn rejection_has_its_code_and_is_not_cached() {
    let refused = |builder| *judged(&by_cdn(builder), request(Some(CDN), &[b"US"])).unwrap_err();
    let error = refused(Geo::allow(["DE"]));
    assert_eq!((error.status(), error.code()), (StatusCode::FORBIDDEN, "COUNTRY_NOT_ALLOWED"));
    assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
    let error = refused(Geo::deny(["US"]).for_legal_reasons());
    assert_eq!((error.status().as_u16(), error.code()), (451, "COUNTRY_NOT_ALLOWED"));
    assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
}

#[test]
fn invalid_settings_are_config_errors() {
    let by = |builder: GeoBuilder| builder.by_header("cf-ipcountry", &cdn());
    for (builder, expected) in [
        (by(Geo::allow([""; 0])), "country is not valid: list"),
        (by(Geo::deny([""; 0])), "country is not valid: list"),
        (by(Geo::allow(["DE", "UK"])), "country `UK` is not valid: write `GB`"),
        (by(Geo::deny(["us"])), "country `us` is not valid: write `US`"),
        (by(Geo::allow(["DE", "DE"])), "country `DE` is not valid: list it once"),
        (by(Geo::allow(["*"])), "country `*`"),
        (Geo::allow(["DE"]), "by_header is not valid: name the header"),
        (Geo::allow(["DE"]).by_header("cf ipcountry", &cdn()), "by_header `cf ipcountry`"),
        (Geo::allow(["DE"]).by_header("", &cdn()), "by_header ``"),
    ] {
        let error = builder.build().expect_err(expected);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
