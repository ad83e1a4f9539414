//! How much each algorithm admits, beside a log that keeps the time of every request: the accuracy that the
//! documentation promises, and the table and the chart of the guide.
//!
//! To update the guide after a change, draw its chart again and copy the table that this prints:
//!
//! ```sh
//! cargo test -p palisade-rate-limit --test accuracy -- --ignored --nocapture
//! ```

mod floods;

use std::{collections::VecDeque, fmt::Write, fs, path::PathBuf, sync::Arc, time::Duration};

use palisade_core::{Decision, ManualClock, Policy};
use palisade_rate_limit::{By, Quota, RateLimit, by};

const LIMIT: u32 = 100;
const WINDOW: Duration = Duration::from_secs(60);

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLI;
const W: u64 = 60 * SECOND;

/// Enough that a ratio of admitted requests is right to a few thousandths.
const WINDOWS: u64 = 300;

struct Algorithm {
    name: &'static str,
    quota: fn(Quota) -> Quota,
    /// The documented maximum in any window's length.
    most: u32,
}

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm { name: "sliding_window", quota: Quota::sliding_window, most: 2 * LIMIT },
    Algorithm { name: "strict", quota: Quota::strict, most: LIMIT },
    Algorithm { name: "gcra", quota: Quota::gcra, most: 2 * LIMIT },
    Algorithm {
        name: "gcra_with_burst(10)",
        quota: |quota| quota.gcra_with_burst(10),
        most: LIMIT + 10,
    },
    Algorithm { name: "fixed_window", quota: Quota::fixed_window, most: 2 * LIMIT },
    Algorithm { name: "exact_log", quota: Quota::exact_log, most: LIMIT },
];

/// When requests come, in nanoseconds.
type Traffic = Vec<u64>;

/// SplitMix64: the same numbers in every run and on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    /// How long until the next event of so many a window, on average. By comparisons alone (von Neumann, 1951): a
    /// logarithm is not the same on every machine.
    fn pause(&mut self, per_window: u64) -> u64 {
        let mean = W / per_window;
        let mut whole = 0;
        loop {
            let first = self.next();
            let (mut last, mut falls) = (first, 0);
            loop {
                let next = self.next();
                if next >= last {
                    break;
                }
                (last, falls) = (next, falls + 1);
            }
            if falls % 2 == 0 {
                return whole * mean + ((u128::from(first) * u128::from(mean)) >> 32) as u64;
            }
            whole += 1;
        }
    }
}

/// Independent requests.
fn poisson(per_window: u64) -> Traffic {
    let (mut random, mut now) = (Random(per_window), 0);
    // A crowd says as much in fewer windows.
    let windows = (WINDOWS * u64::from(LIMIT) / per_window).clamp(50, WINDOWS);
    let times = std::iter::from_fn(|| {
        now += random.pause(per_window);
        Some(now)
    });
    times.take_while(|now| *now < windows * W).collect()
}

/// Bursts of 1 to 200 at random times, as much as the limit allows on average, a millisecond between requests.
fn bursty() -> Traffic {
    let (mut random, mut now, mut traffic) = (Random(7), 0, Vec::new());
    while now < WINDOWS * W {
        now += random.pause(1);
        for _ in 0..random.next() % 200 {
            now += MILLI;
            traffic.push(now);
        }
    }
    traffic
}

/// More than the limit at once, at each of these times.
fn bursts(at: impl Iterator<Item = u64>) -> Traffic {
    at.flat_map(|at| (0..u64::from(LIMIT) + 20).map(move |n| at + n)).collect()
}

/// Bursts on both sides of the end of each window.
fn at_the_edges() -> Traffic {
    bursts((1..WINDOWS).flat_map(|window| [window * W - MILLI, window * W + MILLI]))
}

/// A burst at the end of a window, and then always again a little sooner than a window later.
fn just_too_soon() -> Traffic {
    bursts((1..WINDOWS).map(|window| window * (W - MILLI) - MILLI))
}

fn all_traffic() -> [(&'static str, Traffic); 8] {
    [
        ("Poisson 0.5x", poisson(50)),
        ("0.9x", poisson(90)),
        ("1x", poisson(100)),
        ("3x", poisson(300)),
        ("10x", poisson(1000)),
        ("bursts", bursty()),
        ("at edges", at_the_edges()),
        ("just too soon", just_too_soon()),
    ]
}

/// What a limit admits, through the policy, on a clock that shows when each request came.
fn admitted(quota: Quota, traffic: &Traffic) -> Traffic {
    let clock = ManualClock::default();
    let everybody = by(|_: &http::request::Parts| Some(()));
    let limit: RateLimit<By<_>> = RateLimit::per_key(everybody, quota)
        .capacity(1)
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let (head, ()) = http::Request::new(()).into_parts();
    let mut shown = 0;
    let passes = |at: &u64| {
        clock.advance(Duration::from_nanos(at - shown));
        shown = *at;
        matches!(limit.decide(&head), Decision::Now(Ok(_)))
    };
    traffic.iter().copied().filter(passes).collect()
}

/// What a log of all that was admitted admits: never more than the limit in any window's length, and never less.
fn exactly(traffic: &Traffic) -> Traffic {
    let mut log = VecDeque::new();
    let passes = |at: &u64| {
        while log.front().is_some_and(|first| first + W <= *at) {
            log.pop_front();
        }
        let fits = log.len() < LIMIT as usize;
        if fits {
            log.push_back(*at);
        }
        fits
    };
    traffic.iter().copied().filter(passes).collect()
}

/// The most that came in any window's length.
fn most_in_a_window(admitted: &Traffic) -> u32 {
    let mut first = 0;
    let counts = admitted.iter().enumerate().map(|(last, at)| {
        while admitted[first] + W <= *at {
            first += 1;
        }
        (last + 1 - first) as u32
    });
    counts.max().unwrap_or(0)
}

/// The result of an algorithm: how much it admitted, as a fraction of what a log admits, and the most in any
/// window's length.
struct Found {
    of_exact: f64,
    most: u32,
}

fn found(algorithm: &Algorithm, traffic: &Traffic, exact: &Traffic) -> Found {
    let admitted = admitted((algorithm.quota)(Quota::per(LIMIT, WINDOW)), traffic);
    if algorithm.name == "exact_log" {
        assert_eq!(&admitted, exact, "an exact log is exact");
    }
    Found {
        of_exact: admitted.len() as f64 / exact.len() as f64,
        most: most_in_a_window(&admitted),
    }
}

/// The table of the guide.
fn table() -> String {
    let traffic = all_traffic().map(|(name, traffic)| {
        let exact = exactly(&traffic);
        assert!(most_in_a_window(&exact) <= LIMIT);
        (name, traffic, exact)
    });
    let mut table = String::from("| admitted / exact, most |");
    for (name, ..) in &traffic {
        write!(table, " {name} |").unwrap();
    }
    table.push_str("\n|---|");
    table.push_str(&"--:|".repeat(traffic.len()));
    for algorithm in &ALGORITHMS {
        write!(table, "\n| `{}` |", algorithm.name).unwrap();
        for (name, traffic, exact) in &traffic {
            let found = found(algorithm, traffic, exact);
            assert!(
                found.most <= algorithm.most,
                "{}: {} in one window's length, {name}",
                algorithm.name,
                found.most
            );
            write!(table, " {:.3}, {} |", found.of_exact, found.most).unwrap();
        }
    }
    table
}

/// What one client does, for the chart, and from which second on.
const PHASES: [(&str, u64); 3] =
    [("1/s, bursts at 0:58 and 1:01", 0), ("5/s", 120), ("bursts at 3:59 and 4:58", 190)];
const SHOWN: u64 = 360;

fn six_minutes() -> Traffic {
    let burst = |at: u64, of: u64| (0..of).map(move |n| at * SECOND + n * MILLI);
    let mut traffic: Traffic = (1..120).map(|second| second * SECOND + 500 * MILLI).collect();
    traffic.extend((120 * 5..180 * 5).map(|fifth| fifth * SECOND / 5));
    for (at, of) in [(58, 100), (61, 100), (239, 120), (298, 120)] {
        traffic.extend(burst(at, of));
    }
    traffic.sort_unstable();
    traffic
}

/// The chart of the guide: how much each algorithm admitted within the last minute, second by second.
fn chart() -> String {
    const LEFT: f64 = 150.0;
    const WIDTH: f64 = 480.0;
    const ROW: f64 = 64.0;
    const TOP: f64 = 58.0;
    /// Pixels for a whole limit.
    const UNIT: f64 = 26.0;
    let x = |second: u64| LEFT + second as f64 / SHOWN as f64 * WIDTH;
    let traffic = six_minutes();
    let height = TOP + ROW * (ALGORITHMS.len() + 1) as f64 + 24.0;

    let mut svg = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").unwrap();
    line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img" aria-labelledby="title">
<title id="title">What each algorithm admits of the same traffic, at a limit of 100 a minute</title>
<style>
  svg {{ --ink: #1f2328; --faint: #d1d9e0; --fits: #4184e4; --over: #d1242f; --paper: #ffffff }}
  @media (prefers-color-scheme: dark) {{
    svg {{ --ink: #e6edf3; --faint: #3d444d; --fits: #316dca; --over: #f47067; --paper: #0d1117 }}
  }}
  text {{ font: 12px system-ui, sans-serif; fill: var(--ink) }}
  .code {{ font-family: ui-monospace, monospace }}
  .small {{ font-size: 10px }} .end {{ text-anchor: end }}
  .paper {{ fill: var(--paper) }} .fits {{ fill: var(--fits) }} .over {{ fill: var(--over) }}
  .limit {{ stroke: var(--ink); stroke-dasharray: 4 3 }} .tick {{ stroke: var(--faint) }}
</style>
<rect class="paper" width="760" height="{height}"/>
<text x="10" y="20" font-weight="600">Admitted within the last minute, at a limit of 100 a minute (dashed)</text>"#
    ));
    for minute in 0..=SHOWN / 60 {
        let (at, bottom) = (x(minute * 60), height - 22.0);
        line(format_args!(
            r#"<path class="tick" d="M{at:.1} {TOP}V{bottom}"/><text x="{at:.1}" y="{:.0}" text-anchor="middle">{minute} min</text>"#,
            height - 6.0
        ));
    }
    for (name, begins) in PHASES {
        line(format_args!(
            r#"<text class="small" x="{:.1}" y="40">{name}</text>"#,
            x(begins) + 2.0
        ));
    }
    line(format_args!(
        r#"<text class="small end" x="698" y="40">admitted</text><text class="small end" x="752" y="40">most</text>"#
    ));

    let all = Algorithm { name: "what came", quota: Quota::sliding_window, most: 0 };
    for (row, algorithm) in std::iter::once(&all).chain(&ALGORITHMS).enumerate() {
        let base = TOP + ROW * (row + 1) as f64 - 6.0;
        let admitted = match row {
            0 => traffic.clone(),
            _ => admitted((algorithm.quota)(Quota::per(LIMIT, WINDOW)), &traffic),
        };
        let within_a_minute = |second: u64| {
            let now = second * SECOND;
            let counts = admitted.iter().filter(|at| **at <= now && **at + W > now);
            counts.count() as f64 / f64::from(LIMIT)
        };
        // The top of what is offered is cut off.
        let levels: Vec<f64> = (0..=SHOWN).map(|at| within_a_minute(at).min(2.1)).collect();
        let area = |from: f64, to: &dyn Fn(f64) -> f64| {
            let mut path = format!("M{LEFT:.1} {:.1}", base - from * UNIT);
            let mut before = from;
            for (second, level) in (0..).zip(&levels) {
                if to(*level) != before {
                    before = to(*level);
                    write!(path, "H{:.1}V{:.1}", x(second), base - before * UNIT).unwrap();
                }
            }
            write!(path, "H{:.1}V{:.1}Z", x(SHOWN), base - from * UNIT).unwrap();
            path
        };
        line(format_args!(r#"<path class="fits" d="{}"/>"#, area(0.0, &|level| level.min(1.0))));
        if levels.iter().any(|level| *level > 1.0) {
            line(format_args!(
                r#"<path class="over" d="{}"/>"#,
                area(1.0, &|level| level.max(1.0))
            ));
        }
        let (limit, right) = (base - UNIT, LEFT + WIDTH);
        line(format_args!(r#"<path class="limit" d="M{LEFT} {limit}H{right}"/>"#));
        let class = if row == 0 { "end" } else { "end code" };
        let (name, middle) = (algorithm.name, base - UNIT + 4.0);
        line(format_args!(r#"<text class="{class}" x="142" y="{middle}">{name}</text>"#));
        let (count, most) = (admitted.len(), most_in_a_window(&admitted));
        line(format_args!(
            r#"<text class="end" x="698" y="{middle}">{count}</text><text class="end" x="752" y="{middle}">{most}</text>"#
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

fn guide(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide")).join(file)
}

#[test]
fn measured_admissions_match_the_table_in_the_guide() {
    let table = table();
    println!("{table}");
    let page = fs::read_to_string(guide("rate-limits.md")).unwrap();
    assert!(page.contains(&table), "the guide has another table than:\n{table}");
}

#[test]
fn chart_of_the_guide_is_current() {
    let shown = fs::read_to_string(guide("rate-limits.svg")).unwrap();
    assert!(shown == chart(), "the guide has another chart; see the top of this file");
}

#[test]
#[ignore = "writes the chart of the guide"]
fn draw_the_chart_of_the_guide() {
    fs::write(guide("rate-limits.svg"), chart()).unwrap();
    println!("{}", table());
}

#[test]
fn sliding_window_is_within_two_percent_of_an_exact_log() {
    for (name, traffic) in all_traffic().into_iter().take(5) {
        let found = found(&ALGORITHMS[0], &traffic, &exactly(&traffic));
        assert!((0.985..=1.02).contains(&found.of_exact), "{name}: {}", found.of_exact);
    }
}

#[test]
fn worst_cases_are_as_documented() {
    let most = |algorithm: usize, traffic: &Traffic| {
        found(&ALGORITHMS[algorithm], traffic, &exactly(traffic)).most
    };
    assert_eq!(most(0, &just_too_soon()), 2 * LIMIT);
    assert_eq!(most(1, &just_too_soon()), LIMIT);
    assert!(most(2, &just_too_soon()) >= 2 * LIMIT - 1);
    assert!(most(3, &poisson(1000)) >= LIMIT + 9);
    assert_eq!(most(4, &at_the_edges()), 2 * LIMIT);
}
