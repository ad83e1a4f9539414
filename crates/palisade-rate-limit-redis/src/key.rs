//! The names of the keys.

use palisade_rate_limit::Quota;
use palisade_redis::key_part;

use crate::exact;

/// Names keys `prefix:limit:{digest}:shape:n`, such as `palisade:api:{00112233445566778899aabbccddeeff}:s86400000:0`.
///
/// The braces are a hash tag: all quotas of a demand live on one slot of a cluster. The shape is the algorithm and the window,
/// whose numbers mean nothing in another one; a limit that is raised or lowered keeps its counts, and so does a client whose
/// tier has another name. The last part is how many quotas of the same shape the demand has before this one.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    /// With a prefix that is a part of a key already.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// One for each quota, in their order.
    pub(crate) fn of(&self, limit: &str, digest: &[u8; 16], quotas: &[Quota]) -> Vec<String> {
        let digest = u128::from_be_bytes(*digest);
        let common = format!("{}:{}:{{{digest:032x}}}", self.prefix, key_part(limit));
        let shape =
            |quota: &Quota| (exact::letter(quota).unwrap_or('-'), quota.window().as_millis());
        let name = |(which, quota): (usize, &Quota)| {
            let (letter, window) = shape(quota);
            let before = quotas[..which].iter().filter(|other| shape(other) == (letter, window));
            format!("{common}:{letter}{window}:{}", before.count())
        };
        quotas.iter().enumerate().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(prefix: &str, limit: &str, quota: &Quota) -> String {
        Keys::new(&key_part(prefix)).of(limit, &[0xab; 16], std::slice::from_ref(quota)).remove(0)
    }

    #[test]
    fn a_key_says_whose_it_is() {
        let key = key("palisade", "per user", &Quota::per(5, MINUTE).exact_log());
        assert_eq!(key, "palisade:per%20user:{abababababababababababababababab}:l60000:0");
    }

    #[test]
    fn separators_in_names_do_not_make_two_keys_one() {
        let quota = |name: &'static str| Quota::per(5, MINUTE).named(name);
        let keys = [
            key("a", "b:c", &quota("d")),
            key("a:b", "c", &quota("d")),
            key("a", "b%3Ac", &quota("d")),
            key("a", "{b}", &quota("d")),
            key("a", "b", &quota("d")),
            key("a", "b", &quota("d").strict()),
            key("a", "b", &Quota::per(5, MINUTE * 2).named("d")),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{key}");
        }
    }

    #[test]
    fn the_first_braces_of_a_key_are_those_around_the_digest() {
        let key = key("{x}", "{y}", &Quota::per(5, MINUTE).named("{z}"));
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        assert_eq!(tag.map(|(tag, _)| tag), Some("ab".repeat(16).as_str()), "{key}");
    }

    #[test]
    fn a_limit_that_is_raised_and_a_tier_of_another_name_keep_their_counts() {
        let raised = key("a", "b", &Quota::per(6, MINUTE).named("pro"));
        assert_eq!(key("a", "b", &Quota::per(5, MINUTE).named("free")), raised);
    }

    #[test]
    fn quotas_of_one_demand_that_differ_in_their_limits_only_are_counted_apart() {
        let quotas =
            [Quota::per(5, MINUTE), Quota::per(50, MINUTE), Quota::per(5, MINUTE).strict()];
        let keys = Keys::new("a").of("b", &[0; 16], &quotas);
        let ends = keys.iter().map(|key| key.split_once('}').unwrap().1);
        assert!(ends.eq([":s60000:0", ":s60000:1", ":t60000:0"]), "{keys:?}");
    }
}
