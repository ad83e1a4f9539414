//! A report as a table for the terminal or a Markdown page.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::{Difference, InstructionSource, Report, RequestReport, Spread, report::StepReport};

/// The width of the longest bar, in characters.
const BAR: f64 = 24.0;

impl Report {
    /// Prints the report to standard output: a table for each request, with bars for the time that each
    /// step adds.
    pub fn print(&self) {
        if !self.is_of_other_ladder {
            print!("{}", self.render(presets::UTF8_FULL_CONDENSED, true));
        }
    }

    /// Returns the report as Markdown: a table for each request.
    pub fn to_markdown(&self) -> String {
        self.render(presets::ASCII_MARKDOWN, false)
    }

    fn render(&self, preset: &str, bars: bool) -> String {
        let mut text = String::new();
        for request in &self.requests {
            let heading = format!("{}: {}{}", self.title, request.name, request.outcome());
            let _ = writeln!(text, "## {heading}\n\n{}\n", self.table(request, preset, bars));
        }
        let legend = self.legend();
        // A terminal breaks long lines inside of words.
        let legend = if bars { legend.replace(". ", ".\n") } else { legend };
        let _ = writeln!(text, "{legend}");
        text
    }

    fn legend(&self) -> String {
        let mut legend = "Time in nanoseconds: the median, and half of its interquartile range after ±; `~` marks a difference \
             within the noise. \"Adds\": the difference to the stack up to the step before, or to the first row of a comparison. \
             \"Saves\": what leaving the step out of the whole stack saves. Cold: nothing in the processor's caches."
            .to_owned();
        if cfg!(debug_assertions) {
            legend.push_str(
                " THIS PROGRAM IS NOT OPTIMIZED: `cargo bench` or `--release` measure what users get.",
            );
        }
        if let InstructionSource::Missing(why) = &self.instructions {
            let _ = write!(legend, " Instructions were not counted: {why}.");
        }
        if self
            .requests
            .iter()
            .flat_map(|request| &request.steps)
            .any(|step| step.total.allocations.is_none())
        {
            legend.push_str(
                " Allocations were not counted: the program does not install `CountingAllocator`.",
            );
        }
        legend
    }

    fn table(&self, request: &RequestReport, preset: &str, bars: bool) -> Table {
        let mut header = vec!["step", "total", "adds"];
        if request.is_ladder() {
            header.push("saves");
        }
        header.push("cold");
        let contended = request.steps.iter().any(|step| step.contended.is_some());
        let threads = format!("{} threads", self.threads);
        if contended {
            header.push(&threads);
        }
        header.extend(["allocations", "bytes", "instructions", "future", "polls"]);
        if bars {
            header.push("");
        }
        let longest = request.steps.iter().map(|step| shown(request, step)).fold(1.0, f64::max);
        let mut table = Table::new();
        table.load_preset(preset).set_header(header);
        for step in &request.steps {
            let median = |spread: Option<Spread>| {
                spread.map_or(String::new(), |spread| format!("{:.0}", spread.median))
            };
            let change = |of: Option<Difference>| {
                of.and_then(|of| of.nanos).map_or(String::new(), difference)
            };
            let mut row = vec![step.name.clone(), median(step.total.nanos), change(step.added)];
            if request.is_ladder() {
                row.push(change(step.saved));
            }
            row.push(median(step.cold));
            if contended {
                row.push(median(step.contended));
            }
            let added = step.added;
            row.extend([
                count(step.total.allocations, added.and_then(|added| added.allocations)),
                count(step.total.bytes, added.and_then(|added| added.bytes)),
                count(step.total.instructions, added.and_then(|added| added.instructions)),
                step.future_bytes.map_or("–".to_owned(), |bytes| bytes.to_string()),
                step.total.polls.to_string(),
            ]);
            if bars {
                let length = (shown(request, step) / longest * BAR).round().max(0.0);
                row.push("█".repeat(length as usize));
            }
            table.add_row(row);
        }
        let columns = table.column_count() - usize::from(bars);
        for column in table.column_iter_mut().take(columns).skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl RequestReport {
    /// Returns true for the steps of a ladder.
    pub(crate) fn is_ladder(&self) -> bool {
        self.status.is_some()
    }

    /// Returns what the whole stack answers, as the end of a heading. Empty for a set of a comparison.
    pub(crate) fn outcome(&self) -> String {
        let outcome = if self.is_rejected() { "rejected" } else { "allowed" };
        let grpc_status =
            self.grpc_status.map_or(String::new(), |status| format!(" and grpc-status {status}"));
        self.status
            .map_or(String::new(), |status| format!(", {outcome} with {status}{grpc_status}"))
    }
}

/// Returns the nanoseconds that a chart shows: those of the bare service and those that each step adds, or those of a subject of
/// a comparison.
pub(crate) fn shown(request: &RequestReport, step: &StepReport) -> f64 {
    let added = step.added.filter(|_| request.is_ladder());
    let nanos = added.map_or(step.total.nanos, |added| added.nanos);
    nanos.map_or(0.0, |nanos| nanos.median)
}

fn difference(nanos: Spread) -> String {
    let noise = if nanos.is_noise() { "~" } else { "" };
    format!("{noise}{:+.0} ±{:.0}", nanos.median, (nanos.upper - nanos.lower) / 2.0)
}

fn count(total: Option<u64>, added: Option<i64>) -> String {
    match (total, added) {
        (Some(total), Some(added)) => format!("{total} ({added:+})"),
        (Some(total), None) => total.to_string(),
        (None, _) => "–".to_owned(),
    }
}
