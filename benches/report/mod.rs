//! The report: measures all groups, both stacks and all servers, and writes a page with charts.

mod machine;
mod page;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use palisade_bench::{LoadReport, Protocol, Report};
use palisade_benches::{Group, groups, stacks::Ours};

use crate::overhead;

/// How the report is written.
#[derive(Debug)]
pub(crate) struct Options {
    is_quick: bool,
    note: Option<String>,
    folder: PathBuf,
}

impl Options {
    /// Returns `None` if the arguments are not those of a report.
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
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
pub(crate) struct Measured {
    groups: Vec<(Group, Report)>,
    ladders: Vec<Report>,
    loads: Vec<LoadReport>,
}

/// How long the ladders and the servers take, in seconds.
const LADDERS: u32 = 45;
const SERVERS: u32 = 40;

/// Measures, and writes the page with its charts.
pub(crate) fn write(options: &Options) -> Result<(), Box<dyn Error>> {
    let seconds = groups().map(|group| group.seconds).sum::<u32>() + LADDERS + SERVERS;
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
    fs::write(&page, page::render(&measured, options.note.as_deref()))?;
    let took = Duration::from_secs(start.elapsed().as_secs());
    eprintln!(
        "{} and its charts are written, after {took:?}. `scripts/readme` copies the first costs.",
        page.display()
    );
    Ok(())
}

fn measure(options: &Options, start: Instant, seconds: u32) -> Result<Measured, Box<dyn Error>> {
    let announce = |what: &str| {
        eprintln!("{:>4} of about {seconds} s: {what}", start.elapsed().as_secs());
    };
    let mut measured = Measured { groups: Vec::new(), ladders: Vec::new(), loads: Vec::new() };
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
        overhead::palisade_on_tower(&ours)?,
        overhead::others_on_tower()?,
        overhead::palisade_in_axum(&ours)?,
        overhead::others_in_axum()?,
    ];
    announce("both stacks behind servers");
    measured.loads = vec![
        overhead::behind_hyper(&ours, Protocol::Http1)?,
        overhead::behind_hyper(&ours, Protocol::Http2)?,
        overhead::behind_tonic(&ours)?,
    ];
    Ok(measured)
}

/// Returns the name of a chart's file.
fn file_name(title: &str) -> String {
    title.to_lowercase().replace(' ', "-") + ".svg"
}
