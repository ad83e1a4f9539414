//! The goals of the design, beside what was measured.

use std::fmt::Write;

use palisade_bench::{Difference, RequestReport, StepReport};

use super::{Measured, page::cost};
use crate::{
    BARE,
    full_stack::WITH_FROM_FN,
    keys::{HOT, SKIPPED},
};

/// One goal.
struct Goal {
    name: String,
    /// What Palisade and the peer cost, as text.
    sides: [String; 2],
    /// `None` if it was not measured.
    measured: Option<f64>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    /// At most this part of what the peer costs.
    OfPeer(f64),
    /// At most this many nanoseconds, allocations or microseconds.
    AtMost(f64, &'static str),
    /// At least this share.
    AtLeast(f64),
}

impl Bound {
    fn is_met_by(self, measured: f64) -> bool {
        match self {
            Self::OfPeer(limit) | Self::AtMost(limit, _) => measured <= limit,
            Self::AtLeast(limit) => measured >= limit,
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::OfPeer(_) => part(value),
            Self::AtMost(limit, unit) => {
                // A count, a time in nanoseconds, or a time in microseconds.
                let digits =
                    if limit < 1.0 { 2 } else { usize::from(limit < 10.0 && unit == "ns") };
                format!("{value:.digits$} {unit}").trim_end().to_owned()
            }
            Self::AtLeast(_) => format!("{value:.2}"),
        }
    }
}

/// Parts up to a half are read more easily as a fraction.
fn part(value: f64) -> String {
    if value > 0.0 && value < 0.35 {
        let fraction = format!("1/{:.1}", 1.0 / value);
        fraction.strip_suffix(".0").unwrap_or(&fraction).to_owned()
    } else {
        format!("{value:.2}")
    }
}

/// Returns the table.
pub(super) fn render(measured: &Measured) -> String {
    let mut table = String::from(
        "## Design goals\n\nWhat the design aims at, as parts of what the peers cost. Goals in nanoseconds were set on another machine (AMD \
         Zen 4, 2.6 GHz). Times are medians in nanoseconds, over the bare service where there is one.\n\n\
         | | Palisade | peer | measured | goal | met |\n| --- | --: | --: | --: | --: | --- |\n",
    );
    let goals = goals(measured);
    for Goal { name, sides: [ours, theirs], measured, bound } in &goals {
        let (value, is_met) = match measured {
            Some(value) => {
                (bound.shown(*value), if bound.is_met_by(*value) { "yes" } else { "no" })
            }
            None => ("not measured".to_owned(), ""),
        };
        let goal = match bound {
            Bound::OfPeer(limit) | Bound::AtMost(limit, _) => format!("≤ {}", bound.shown(*limit)),
            Bound::AtLeast(limit) => format!("≥ {}", bound.shown(*limit)),
        };
        let _ = writeln!(table, "| {name} | {ours} | {theirs} | {value} | {goal} | {is_met} |");
    }
    table.push_str(
        "\nWhat the quickstart takes to compile, beside the same service with other crates, is measured by `scripts/quickstart-cost`. Goals: \
         at most 1.00 of their processor time for a clean build and for the last crate, and 1.10 of the size of the program.\n\n",
    );
    table
}

fn goals(measured: &Measured) -> Vec<Goal> {
    let times = Times(measured);
    let mut goals = stack(times);
    goals.extend(loopback(measured));
    goals.extend([
        times.beside("JSON with rules, on tower", ("stack", "tower, JSON with rules"), 3.5),
        times.beside("JSON with rules, in axum", ("stack", "axum, JSON with rules"), 3.5),
    ]);
    goals.extend(limiter(times));
    goals.extend(tokens(times));
    goals.extend(policies(times));
    goals
}

/// The whole stack.
fn stack(measured: Times<'_>) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (set, place, peer) in
        [("tower, allowed", "on tower", "other crates"), ("axum, allowed", "in axum", WITH_FROM_FN)]
    {
        let set = ("stack", set);
        goals.push(measured.ratio(
            format!("the whole stack {place}, token seen before"),
            (set, "Palisade"),
            (set, peer),
            0.1,
        ));
        let count = |name: &str, count: fn(&Difference) -> Option<i64>| {
            Some(count(&measured.step(set, name)?.1.added?)? as f64)
        };
        let [ours, theirs] = ["Palisade", peer].map(|name| count(name, |added| added.instructions));
        goals.push(Goal {
            name: format!("instructions {place}"),
            sides: [whole(ours), whole(theirs)],
            measured: ours.zip(theirs).map(|(ours, theirs)| ours / theirs),
            bound: Bound::OfPeer(0.1),
        });
        let [ours, theirs] = ["Palisade", peer].map(|name| count(name, |added| added.allocations));
        goals.push(Goal {
            name: format!("allocations {place}"),
            sides: [whole(ours), whole(theirs)],
            measured: ours,
            bound: Bound::AtMost(4.0, ""),
        });
    }
    goals.push(measured.beside(
        "the whole stack on tower, every token verified (HS256)",
        ("stack", "tower, every token verified"),
        3.0,
    ));
    goals
}

/// The stack behind hyper's server, over HTTP/1.1.
fn loopback(measured: &Measured) -> [Goal; 2] {
    let load = measured.loads.iter().find(|load| load.title == "hyper, HTTP/1.1");
    let [ours, theirs] = ["Palisade", "other crates"]
        .map(|name| load?.rows.iter().find(|row| row.name == name && row.rate.is_none()));
    let shares = [ours, theirs].map(|row| Some(row?.share.median));
    let added = [ours, theirs].map(|row| Some(row?.user_time?.added.median));
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    [
        Goal {
            name: "loopback: share of the bare service's requests per second".to_owned(),
            sides: shares.map(shown),
            measured: shares[0],
            bound: Bound::AtLeast(0.93),
        },
        Goal {
            name: "loopback: processor time added, user mode".to_owned(),
            sides: added.map(shown),
            measured: added[0],
            bound: Bound::AtMost(0.8, "µs"),
        },
    ]
}

/// The rate limiter, beside governor.
fn limiter(measured: Times<'_>) -> Vec<Goal> {
    let hot = ("rate limit", HOT);
    let governor = (hot, "governor");
    // What is left without the request's part of it: the clock, the hash and the table.
    let table = measured.nanos((hot, "Palisade")).zip(measured.nanos((hot, SKIPPED)));
    let table = table.map(|(decision, skipped)| decision - skipped);
    let theirs = measured.nanos(governor);
    let mut goals = vec![
        measured.ratio("rate limit, one key: `decide`", (hot, "Palisade"), governor, 0.6),
        Goal {
            name: "rate limit, one key: the table, `decide` less that of a skipped request"
                .to_owned(),
            sides: [whole(table), whole(theirs)],
            measured: table.zip(theirs).map(|(ours, theirs)| ours / theirs),
            bound: Bound::OfPeer(1.0 / 3.0),
        },
    ];
    let latencies = measured.0.latencies.as_ref();
    let mut single = |name: &str, sides: Option<[u32; 2]>, limit| {
        let sides = sides.map(|sides| sides.map(f64::from));
        goals.push(Goal {
            name: format!("rate limit, {name}"),
            sides: [1, 0].map(|side| whole(sides.map(|sides| sides[side]))),
            measured: sides.map(|[theirs, ours]| ours / theirs),
            bound: Bound::OfPeer(limit),
        });
    };
    let known = latencies.map(|all| all.known_keys.map(|side| side.p50));
    single("1,000,000 known keys, p50", known, 0.5);
    single(
        "new keys on 2 threads, p50",
        latencies.map(|all| all.new_keys.map(|side| side.p50)),
        1.0,
    );
    let slow = latencies.map(|all| all.new_keys.map(|side| side.p999));
    single("new keys on 2 threads, p99.9", slow, 1.0 / 3.0);
    goals
}

/// Tokens that were seen before, and new ones beside `jsonwebtoken::decode`.
fn tokens(measured: Times<'_>) -> Vec<Goal> {
    const SEEN: &str = "Palisade, seen before";
    let hs256 = ("auth", "HS256");
    let contended = measured.step(hs256, SEEN).and_then(|(_, step)| step.contended);
    let mut goals = vec![
        measured.at_most("token seen before, always the same", (hs256, SEEN), 20.0),
        measured.at_most(
            "token seen before, one of 10,000",
            (("tokens", "10000"), "Palisade"),
            370.0,
        ),
        Goal {
            name: "token seen before, 2 threads with the same".to_owned(),
            sides: [whole(contended.map(|time| time.median)), "–".to_owned()],
            measured: contended.map(|time| time.median),
            bound: Bound::AtMost(25.0, "ns"),
        },
    ];
    let algorithms = [
        ("auth", "HS256", 0.45),
        ("signatures", "RS256", 0.85),
        ("signatures", "ES256", 0.97),
        ("signatures", "EdDSA", 0.97),
    ];
    goals.extend(algorithms.map(|(group, set, limit)| {
        let set = (group, set);
        measured.ratio(
            format!("new token, {}, beside `jsonwebtoken::decode`", set.1),
            (set, "Palisade, a new token"),
            (set, "jsonwebtoken"),
            limit,
        )
    }));
    goals
}

/// Single policies, and policies in a row.
fn policies(measured: Times<'_>) -> Vec<Goal> {
    let headers = |response| ("headers", response);
    let row = ("engine", "policies that read one header each");
    let further = |name: &str, many: &str, limit| {
        let [one, many] = ["Palisade, one policy", many].map(|name| measured.nanos((row, name)));
        let each = one.zip(many).map(|(one, many)| (many - one) / 7.0);
        Goal {
            name: name.to_owned(),
            sides: [each.map_or("–".to_owned(), |each| format!("{each:.1}")), "–".to_owned()],
            measured: each,
            bound: Bound::AtMost(limit, "ns"),
        }
    };
    vec![
        measured.at_most(
            "CORS, without an origin",
            (("cors", "without an origin"), "Palisade"),
            60.0,
        ),
        measured.beside(
            "six security headers, beside six layers",
            headers("six security headers, on a response without headers"),
            1.0 / 0.35,
        ),
        measured.beside(
            "the same, on a response with three headers",
            headers("six security headers, on a response with three headers"),
            1.0 / 0.35,
        ),
        measured.beside("request id, beside the two layers", ("observe", "a new request id"), 6.0),
        measured.at_most(
            "body limit, 16 chunks",
            (("body", "a chunked body of 16 times 1 KiB, read"), "Palisade"),
            80.0,
        ),
        further("each further policy of a chain", "Palisade, a chain of eight", 5.0),
        further("each further nested layer", "Palisade, eight nested layers", 25.0),
    ]
}

/// The title of a group, and the name of a set.
type Set = (&'static str, &'static str);
type Side<'a> = (Set, &'a str);

/// Finds what was measured by its names.
#[derive(Clone, Copy)]
struct Times<'a>(&'a Measured);

impl<'a> Times<'a> {
    fn set(self, (group, name): Set) -> Option<&'a RequestReport> {
        let (_, report) = self.0.groups.iter().find(|(measured, _)| measured.name == group)?;
        report.requests.iter().find(|set| set.name == name)
    }

    fn step(self, set: Set, name: &str) -> Option<(&'a RequestReport, &'a StepReport)> {
        let set = self.set(set)?;
        Some((set, set.steps.iter().find(|step| step.name == name)?))
    }

    fn nanos(self, (set, name): Side<'_>) -> Option<f64> {
        let (set, step) = self.step(set, name)?;
        cost(set, step).map(|cost| cost.median)
    }

    fn ratio(self, name: impl Into<String>, ours: Side<'_>, theirs: Side<'_>, limit: f64) -> Goal {
        let [ours, theirs] = [ours, theirs].map(|side| self.nanos(side));
        Goal {
            name: name.into(),
            sides: [whole(ours), whole(theirs)],
            measured: ours.zip(theirs).map(|(ours, theirs)| ours / theirs),
            bound: Bound::OfPeer(limit),
        }
    }

    /// Palisade beside the only peer of the set, of which it should take one part of `parts`.
    fn beside(self, name: &str, set: Set, parts: f64) -> Goal {
        let is_peer = |name: &str| name != BARE && !name.starts_with("Palisade");
        let names = self.set(set).into_iter().flat_map(|set| &set.steps).map(|step| &*step.name);
        let peer = names.into_iter().find(|name| is_peer(name)).unwrap_or_default();
        self.ratio(name, (set, "Palisade"), (set, peer), 1.0 / parts)
    }

    fn at_most(self, name: &str, ours: Side<'_>, limit: f64) -> Goal {
        let nanos = self.nanos(ours);
        Goal {
            name: name.to_owned(),
            sides: [whole(nanos), "–".to_owned()],
            measured: nanos,
            bound: Bound::AtMost(limit, "ns"),
        }
    }
}

fn whole(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn bounds_are_met_or_missed() {
        assert!(Bound::OfPeer(0.1).is_met_by(0.1) && !Bound::OfPeer(0.1).is_met_by(0.11));
        assert!(Bound::AtMost(60.0, "ns").is_met_by(-3.0));
        assert!(Bound::AtLeast(0.93).is_met_by(0.95) && !Bound::AtLeast(0.93).is_met_by(0.92));
    }

    #[test]
    fn small_parts_are_shown_as_fractions() {
        assert_eq!(Bound::OfPeer(0.1).shown(0.1), "1/10");
        assert_eq!(Bound::OfPeer(0.1).shown(0.13), "1/7.7");
        assert_eq!(Bound::OfPeer(0.6).shown(1.254), "1.25");
        assert_eq!(Bound::AtMost(80.0, "ns").shown(79.6), "80 ns");
        assert_eq!(Bound::AtMost(0.8, "µs").shown(0.8), "0.80 µs");
        assert_eq!(Bound::AtMost(4.0, "").shown(4.0), "4");
        assert_eq!(Bound::AtLeast(0.93).shown(0.93), "0.93");
    }
}
