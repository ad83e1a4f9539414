//! The page as Markdown.

use std::fmt::Write;

use palisade_bench::{InstructionSource, Report, RequestReport, Spread, StepReport};

use super::{Measured, file_name, goals, machine};
use crate::{BARE, POLICIES};

/// What one subject costs: more than the bare service, if the set has one.
pub(super) fn cost(set: &RequestReport, step: &StepReport) -> Option<Spread> {
    let has_bare = set.steps.first().is_some_and(|first| first.name == BARE);
    if has_bare { step.added.and_then(|added| added.nanos) } else { step.total.nanos }
}

fn is_ours(step: &StepReport) -> bool {
    step.name.starts_with("Palisade")
}

/// Returns the first subject of another crate.
fn peer(set: &RequestReport) -> Option<&StepReport> {
    set.steps.iter().find(|step| step.name != BARE && !is_ours(step))
}

pub(super) fn render(measured: &Measured, profile: &str, note: Option<&str>) -> String {
    let mut page = String::from(
        "# Performance\n\nWhat Palisade costs for each request, beside other crates. `cargo bench -p palisade-benches --bench policies -- \
         report` measures and writes this page; [Measure your own stack](guide/measuring.md) explains the columns.\n\n",
    );
    let _ = writeln!(
        page,
        "{} Compared with {}.{}\n",
        machine::describe(profile),
        machine::peers(),
        note.map_or(String::new(), |note| format!(" {note}"))
    );
    page.push_str(
        "Times are medians in nanoseconds, with half of the interquartile range after ±. Costs are those over the bare service, in the \
         same round. `~` marks a difference within the noise. Instructions and allocations hardly depend on the machine.\n\n",
    );
    page.push_str(&goals::render(measured));
    slower(&mut page, measured);
    stack(&mut page, measured);
    for (group, report) in &measured.groups {
        let _ = writeln!(page, "## {}\n\n{}\n", title(&report.title), group.about);
        if report.is_growth() {
            growth(&mut page, report);
        } else {
            comparison(&mut page, report);
        }
        let _ = writeln!(
            page,
            "![{0}](performance/{1})\n",
            title(&report.title),
            file_name(&report.title)
        );
    }
    if !measured.ladders.is_empty() {
        page.push_str("## Layer by layer\n\n");
    }
    for report in &measured.ladders {
        let _ = writeln!(page, "{}", report.to_markdown().replace("## ", "### ").trim_end());
        let _ =
            writeln!(page, "\n![{0}](performance/{1})\n", report.title, file_name(&report.title));
    }
    if !measured.loads.is_empty() {
        page.push_str(
            "## Behind real servers\n\nThe server has one core and the client another. \"Due\" requests are sent at a fixed rate, however slow \
             the responses are.\n\n",
        );
    }
    for report in &measured.loads {
        page.push_str(&report.to_markdown().replace("## ", "### "));
        page.push('\n');
    }
    if let Some(latencies) = &measured.latencies {
        let _ =
            writeln!(page, "## Single checks of the rate limiter\n\n{}", latencies.to_markdown());
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// All that costs more time than the same of a peer.
fn slower(page: &mut String, measured: &Measured) {
    let mut rows = Vec::new();
    for (group, report) in &measured.groups {
        for set in &report.requests {
            let Some((peer, theirs)) = peer(set).and_then(|peer| Some((peer, cost(set, peer)?)))
            else {
                continue;
            };
            for step in set.steps.iter().filter(|step| is_ours(step)) {
                let Some(ours) = cost(set, step) else { continue };
                if ours.median > theirs.median {
                    // Two costs near 0 have no ratio.
                    let ratio = ours.median / theirs.median.max(1.0);
                    let noise = if ours.lower <= theirs.upper { "~" } else { "" };
                    let row = format!(
                        "| {}: {} | {} | {} | {} | {} | {noise}{ratio:.1} |",
                        group.name,
                        set.name,
                        step.name,
                        nanos(Some(ours)),
                        peer.name,
                        nanos(Some(theirs)),
                    );
                    rows.push((ratio, row));
                }
            }
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    page.push_str("## What is slower than a peer\n\n");
    if rows.is_empty() {
        page.push_str("Nothing, in this run.\n\n");
        return;
    }
    page.push_str(
        "| measured | Palisade | ns | peer | ns | times |\n| --- | --- | --: | --- | --: | --: |\n",
    );
    rows.iter().for_each(|(_, row)| _ = writeln!(page, "{row}"));
    page.push('\n');
}

/// The table that the README contains.
fn stack(page: &mut String, measured: &Measured) {
    let Some((group, report)) =
        measured.groups.iter().find(|(group, _)| group.name == POLICIES[0].name)
    else {
        return;
    };
    let _ = writeln!(
        page,
        "## What a stack costs\n\n{} Over the bare service:\n\n<!-- cost -->",
        group.about
    );
    page.push_str("| | Palisade, ns | other crates, ns | of their time | instructions | allocations |\n| --- | --: | --: | --: | --: | --: |\n");
    for set in &report.requests {
        let Some((ours, theirs)) = set.steps.iter().find(|step| is_ours(step)).zip(peer(set))
        else {
            continue;
        };
        let count = |of: fn(&palisade_bench::Difference) -> Option<i64>| {
            let [ours, theirs] = [ours, theirs].map(|step| {
                step.added.as_ref().and_then(of).map_or("–".to_owned(), |count| count.to_string())
            });
            format!("{ours} : {theirs}")
        };
        let ratio = cost(set, ours)
            .zip(cost(set, theirs))
            .map(|(ours, theirs)| ours.median / theirs.median);
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.0} % | {} | {} |",
            set.name,
            nanos(cost(set, ours)),
            nanos(cost(set, theirs)),
            ratio.unwrap_or_default() * 100.0,
            count(|added| added.instructions),
            count(|added| added.allocations),
        );
    }
    page.push_str("<!-- /cost -->\n\n");
}

fn comparison(page: &mut String, report: &Report) {
    let threads = format!("{} threads", report.threads);
    let _ = writeln!(
        page,
        "| | ns | of the peer | {threads} | cold | instructions | allocations | bytes |\n| --- | --: | --: | --: | --: | --: | --: | --: |"
    );
    for set in &report.requests {
        let _ = writeln!(page, "| **{}** | | | | | | | |", set.name);
        let theirs = peer(set).and_then(|peer| cost(set, peer));
        for step in &set.steps {
            let cost = cost(set, step).or(step.total.nanos);
            let ratio = match (cost, theirs) {
                (Some(cost), Some(theirs)) if is_ours(step) => {
                    format!("{:.0} %", cost.median / theirs.median * 100.0)
                }
                _ => String::new(),
            };
            let count =
                |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
            let median = |spread: Option<Spread>| {
                spread.map_or("–".to_owned(), |spread| format!("{:.0}", spread.median))
            };
            let _ = writeln!(
                page,
                "| {} | {} | {ratio} | {} | {} | {} | {} | {} |",
                step.name,
                nanos(cost),
                median(step.contended),
                median(step.cold),
                count(step.total.instructions),
                count(step.total.allocations),
                count(step.total.bytes),
            );
        }
    }
    if let InstructionSource::Missing(why) = &report.instructions {
        let _ = writeln!(page, "\nInstructions were not counted: {why}.");
    }
    page.push_str(
        "\nns: over the bare service, if the first row is one. All other columns contain it.\n\n",
    );
}

fn growth(page: &mut String, report: &Report) {
    let names: Vec<_> = report.requests[0]
        .steps
        .iter()
        .map(|step| &step.name)
        .filter(|name| *name != BARE)
        .collect();
    let mut header = format!("| {} |", report.title);
    let mut rule = String::from("| --: |");
    for name in &names {
        let _ = write!(header, " {name}, ns |");
        rule.push_str(" --: |");
    }
    let _ = writeln!(page, "{header}\n{rule}");
    for set in &report.requests {
        let _ = write!(page, "| {} |", thousands(&set.name));
        for step in set.steps.iter().filter(|step| step.name != BARE) {
            let _ = write!(page, " {} |", nanos(cost(set, step)));
        }
        page.push('\n');
    }
    page.push('\n');
}

fn thousands(number: &str) -> String {
    let mut text = String::new();
    for (at, digit) in number.chars().enumerate() {
        if at > 0 && (number.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn nanos(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return "–".to_owned() };
    let noise = if spread.is_noise() { "~" } else { "" };
    let digits = usize::from(spread.median.abs() < 10.0);
    format!("{noise}{:.digits$} ±{:.digits$}", spread.median, (spread.upper - spread.lower) / 2.0)
}
