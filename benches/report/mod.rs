//! The report: measures all groups, both stacks and all servers, and writes a page with charts.

mod goals;
mod machine;
mod page;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use palisade_bench::{LoadReport, Protocol, Report};

use crate::{
    Group, groups,
    keys::{self, LATENCY_SECONDS, Latencies},
    ladders, servers,
    stacks::Ours,
};

/// How the report is written.
#[derive(Debug)]
pub struct Options {
    is_quick: bool,
    note: Option<String>,
    folder: PathBuf,
}

impl Options {
    /// Returns `None` if the arguments are not those of a report.
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let (command, arguments) = arguments.split_first()?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut options = Self { is_quick: false, note: None, folder };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.is_quick = true,
                "--note" => options.note = Some(arguments.next()?.clone()),
                option if option.starts_with('-') => return None,
                folder => options.folder = folder.into(),
            }
        }
        (command == "report").then_some(options)
    }
}

/// What was measured.
struct Measured {
    groups: Vec<(Group, Report)>,
    ladders: Vec<Report>,
    loads: Vec<LoadReport>,
    latencies: Option<Latencies>,
}

/// How long the ladders and the servers take, in seconds.
const LADDERS: u32 = 45;
const SERVERS: u32 = 40;

/// Measures, writes the page with its charts, and prints the goals. `profile` describes how the program was compiled.
pub fn write(options: &Options, profile: &str) -> Result<(), Box<dyn Error>> {
    let seconds = groups().map(|group| group.seconds).sum::<u32>();
    let seconds = seconds + LADDERS + SERVERS + LATENCY_SECONDS;
    if options.is_quick {
        eprintln!("QUICK MODE: NOTHING IS MEASURED, and the figures mean nothing.");
    } else {
        eprintln!("Measuring takes about {} minutes.", seconds.div_ceil(60));
    }
    let start = Instant::now();
    let measured = measure(options, start, seconds)?;
    let charts = options.folder.join("performance");
    fs::create_dir_all(&charts)?;
    for report in measured.groups.iter().map(|(_, report)| report).chain(&measured.ladders) {
        report.write_svg(charts.join(file_name(&report.title)))?;
    }
    let page = options.folder.join("performance.md");
    fs::write(&page, page::render(&measured, profile, options.note.as_deref()))?;
    let took = Duration::from_secs(start.elapsed().as_secs());
    println!("{}", goals::render(&measured));
    eprintln!(
        "{} and its charts are written, after {took:?}. `scripts/readme` copies the costs of a stack.",
        page.display()
    );
    Ok(())
}

fn measure(options: &Options, start: Instant, seconds: u32) -> Result<Measured, Box<dyn Error>> {
    let announce = |what: &str| {
        eprintln!("{:>4} of about {seconds} s: {what}", start.elapsed().as_secs());
    };
    let mut measured =
        Measured { groups: Vec::new(), ladders: Vec::new(), loads: Vec::new(), latencies: None };
    for group in groups() {
        announce(group.name);
        if options.is_quick {
            measured.groups.push((group, group.small_comparison().run()?));
        } else if let Some(comparison) = group.comparison() {
            measured.groups.push((group, comparison.run()?));
        }
    }
    if options.is_quick {
        return Ok(measured);
    }
    announce("the stacks, layer by layer");
    let ours = Ours::new()?;
    measured.ladders = vec![
        ladders::palisade_on_tower(&ours)?,
        ladders::others_on_tower()?,
        ladders::palisade_in_axum(&ours)?,
        ladders::others_in_axum()?,
    ];
    announce("both stacks behind servers");
    measured.loads = vec![
        servers::behind_hyper(&ours, Protocol::Http1)?,
        servers::behind_hyper(&ours, Protocol::Http2)?,
        servers::behind_tonic(&ours)?,
    ];
    announce("single checks of the rate limiter");
    measured.latencies = Some(keys::latencies(1_000_000));
    Ok(measured)
}

/// Returns the name of a chart's file.
fn file_name(title: &str) -> String {
    title.to_lowercase().replace(' ', "-") + ".svg"
}
