//! Where `http-cache-semantics` and this crate decide about the same question, they decide alike.

use std::time::{Duration, UNIX_EPOCH};

use http::{Request, Response};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::{
    storing::terms_of,
    tests::{NOW, TIMES, asked, honour, response},
};

#[test]
fn lifetimes_are_those_of_http_cache_semantics() {
    let options = CacheOptions {
        shared: true,
        immutable_min_time_to_live: Duration::ZERO,
        ..Default::default()
    };
    let cache_controls = [
        "max-age=60",
        "max-age=60, public",
        "s-maxage=30, max-age=60",
        "max-age=60, must-revalidate",
        "private, max-age=60",
        "no-store, max-age=60",
        "max-age=0",
        "max-age=99999",
        "max-age=\"60\"",
        "foo=bar, max-age=60",
    ];
    let others = [
        &[][..],
        &["age: 20"],
        &["age: 100"],
        &["expires: Sun, 06 Nov 1994 08:50:37 GMT"],
        &["expires: Thu, 01 Jan 1970 00:00:00 GMT"],
    ];
    for cache_control in cache_controls {
        for other in others {
            let mut lines: Vec<String> = other.iter().map(|line| (*line).to_owned()).collect();
            lines.push(format!("cache-control: {cache_control}"));
            lines.push("date: Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let ours = terms_of(&honour(), &asked(&[]), &response(200, &lines), TIMES);
            let ours = ours.map_or(Duration::ZERO, |(terms, ..)| {
                terms.lifetime.saturating_sub(terms.initial_age)
            });

            let request = Request::get("https://api.example/").body(()).unwrap();
            let theirs = Response::from_parts(response(200, &lines), ());
            let now = UNIX_EPOCH + NOW;
            let policy = CachePolicy::new_options(&request, &theirs, now, options);
            let theirs =
                if policy.is_storable() { policy.time_to_live(now) } else { Duration::ZERO };
            assert_eq!(ours, theirs, "{lines:?}");
        }
    }
}
