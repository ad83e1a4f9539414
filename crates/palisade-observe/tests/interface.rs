//! Names that others build on are written down, and are what they were.
#![cfg(feature = "metrics")]

use palisade_observe::METRICS;

const GUIDE: &str = include_str!("../../../docs/guide/observability.md");

#[test]
fn the_metrics_are_those_of_the_table_in_the_guide() {
    let rows: Vec<&str> = GUIDE.lines().filter(|line| line.starts_with("| `palisade_")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            let cell = if labels.is_empty() { " ".to_owned() } else { format!(" {labels} ") };
            format!("| `{}` | {} |{cell}| {} |", metric.name, metric.kind, metric.help)
        })
        .collect();
    assert_eq!(rows, expected);
}
