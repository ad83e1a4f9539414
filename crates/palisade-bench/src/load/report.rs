use std::{path::Path, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::client::{Ran, new_histogram};
use crate::{Error, Spread};

/// What the services of a [`Load`](super::Load) came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// The title of the load.
    pub title: String,
    /// As fast as possible first, then one group for each rate; in each group one row for each service.
    pub rows: Vec<LoadRow>,
}

/// One service under one load.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadRow {
    /// The name of the service.
    pub name: String,
    /// Requests per second that were due; `None` if the client sent as many as it could.
    pub rate: Option<u32>,
    /// The requests that were answered, in all rounds together.
    pub requests: u64,
    /// Requests per second that were answered, over the rounds.
    pub per_second: Spread,
    /// The share of what the first service answered in the same round.
    pub share: Spread,
    /// Latency in nanoseconds: half of the requests were faster.
    pub p50: u64,
    /// 99 % of the requests were faster.
    pub p99: u64,
    /// 99.9 % of the requests were faster.
    pub p999: u64,
    /// The server's time in user mode for each request. `None` if the system does not tell it.
    pub user_time: Option<UserTime>,
}

/// The server's time in user mode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserTime {
    /// Microseconds for each request.
    pub micros: Spread,
    /// Microseconds more than the first service, in the same round.
    pub added: Spread,
}

/// The rounds of one service under one load.
pub(super) struct Samples {
    name: String,
    rate: Option<u32>,
    latencies: Histogram<u64>,
    per_second: Vec<f64>,
    user_micros: Vec<f64>,
}

impl Samples {
    pub(super) fn new(name: &str, rate: Option<u32>) -> Self {
        let latencies = new_histogram();
        Self {
            name: name.to_owned(),
            rate,
            latencies,
            per_second: Vec::new(),
            user_micros: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, ran: Ran, user_time: Duration) {
        let requests = ran.latencies.len().max(1) as f64;
        self.per_second.push(requests / ran.elapsed.as_secs_f64());
        self.user_micros.push(user_time.as_secs_f64() * 1e6 / requests);
        self.latencies += ran.latencies;
    }
}

impl LoadReport {
    pub(super) fn new(title: String, services: usize, samples: &[Samples]) -> Self {
        let rows = samples.chunks(services).flat_map(|group| {
            group.iter().map(|samples| {
                let first = &group[0];
                let shares = samples.per_second.iter().zip(&first.per_second).map(|(a, b)| a / b);
                let known = samples.user_micros.iter().any(|micros| *micros > 0.0);
                LoadRow {
                    name: samples.name.clone(),
                    rate: samples.rate,
                    requests: samples.latencies.len(),
                    per_second: Spread::from_values(samples.per_second.clone()),
                    share: Spread::from_values(shares.collect()),
                    p50: samples.latencies.value_at_quantile(0.5),
                    p99: samples.latencies.value_at_quantile(0.99),
                    p999: samples.latencies.value_at_quantile(0.999),
                    user_time: known.then(|| UserTime {
                        micros: Spread::from_values(samples.user_micros.clone()),
                        added: Spread::of_differences(&samples.user_micros, &first.user_micros)
                            .unwrap_or_default(),
                    }),
                }
            })
        });
        Self { title, rows: rows.collect() }
    }

    /// Prints the report to standard output, as a table.
    pub fn print(&self) {
        if !self.rows.is_empty() {
            println!("{}", self.render(presets::UTF8_FULL_CONDENSED));
        }
    }

    /// Returns the report as Markdown.
    pub fn to_markdown(&self) -> String {
        self.render(presets::ASCII_MARKDOWN)
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let json = serde_json::to_string_pretty(self).expect("a report is valid JSON");
        std::fs::write(path, json + "\n")
            .map_err(|error| Error::File { path: path.to_owned(), error })
    }

    fn render(&self, preset: &str) -> String {
        let mut table = Table::new();
        table.load_preset(preset).set_header([
            "service",
            "due per s",
            "answered per s",
            "of the first",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "user µs",
            "added µs",
        ]);
        for row in &self.rows {
            let micros = |nanos: u64| format!("{:.0}", nanos as f64 / 1000.0);
            let user =
                |of: fn(&UserTime) -> String| row.user_time.as_ref().map_or("–".to_owned(), of);
            table.add_row([
                row.name.clone(),
                row.rate.map_or("all it can".to_owned(), |rate| rate.to_string()),
                format!("{:.0}", row.per_second.median),
                format!("{:.2}", row.share.median),
                micros(row.p50),
                micros(row.p99),
                micros(row.p999),
                user(|time| format!("{:.1}", time.micros.median)),
                user(|time| format!("{:+.2}", time.added.median)),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("## {}\n\n{table}\n", self.title)
    }
}
