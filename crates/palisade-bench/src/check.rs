//! Compares a report with a stored one, by the figures that do not depend on the machine.

use std::path::Path;

use crate::{Error, Report, report::StepReport};

/// How far figures may differ from those of a stored report.
///
/// Times are never compared: they belong to the machine.
///
/// ```
/// use palisade_bench::Tolerance;
///
/// let tolerance = Tolerance::allocations(0).instructions_percent(2.0);
/// assert_eq!(tolerance, Tolerance::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    allocations: u64,
    instructions_percent: f64,
}

impl Default for Tolerance {
    /// The same allocations, and instructions within 2 %.
    fn default() -> Self {
        Self { allocations: 0, instructions_percent: 2.0 }
    }
}

impl Tolerance {
    /// Accepts a difference of `allocations` in a request's allocations, and of 2 % in its instructions.
    #[must_use]
    pub fn allocations(allocations: u64) -> Self {
        Self { allocations, ..Self::default() }
    }

    /// Accepts a difference of `percent` in a request's instructions. Default: 2 %, because hash maps with random seeds make
    /// counts differ from run to run.
    #[must_use]
    pub fn instructions_percent(mut self, percent: f64) -> Self {
        self.instructions_percent = percent;
        self
    }
}

impl Report {
    /// Compares allocations and instructions with those of a report that [`write_json`](Self::write_json) stored.
    ///
    /// Both a figure that grew and one that shrank differ: a stored report that is too high would hide the next growth. Figures
    /// that one of the two reports could not count are not compared.
    ///
    /// # Errors
    ///
    /// Fails with [`Error::Changed`], which lists old and new values, if a figure differs by more than `tolerance`, or if steps
    /// or requests are not the same. Fails if the file cannot be read.
    pub fn check_against(&self, path: impl AsRef<Path>, tolerance: Tolerance) -> Result<(), Error> {
        if self.is_of_other_ladder {
            return Ok(());
        }
        let stored = Self::read_json(&path)?;
        let figures = self.changes_since(&stored, tolerance);
        if figures.is_empty() {
            return Ok(());
        }
        Err(Error::Changed { path: path.as_ref().to_owned(), figures })
    }

    fn changes_since(&self, stored: &Self, tolerance: Tolerance) -> Vec<String> {
        let outline = |report: &Self| -> Vec<String> {
            let steps = |steps: &[StepReport]| {
                steps
                    .iter()
                    .map(|step| match step.status {
                        Some(status) => format!("{} ({status})", step.name),
                        None => step.name.clone(),
                    })
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            report
                .requests
                .iter()
                .map(|request| format!("{}: {}", request.name, steps(&request.steps)))
                .collect()
        };
        let (old, new) = (outline(stored), outline(self));
        if old != new {
            return vec![format!("the steps: {old:?} -> {new:?}")];
        }
        let mut changes = Vec::new();
        for (old, new) in stored.requests.iter().zip(&self.requests) {
            for (was, is) in old.steps.iter().zip(&new.steps) {
                let place = format!("{}, {:?}", new.name, is.name);
                let (was, is) = (was.total, is.total);
                if let (Some(was), Some(is)) = (was.allocations, is.allocations)
                    && was.abs_diff(is) > tolerance.allocations
                {
                    changes.push(format!("{place}: {was} -> {is} allocations"));
                }
                if let (Some(was), Some(is)) = (was.instructions, is.instructions)
                    && was.abs_diff(is) as f64 > was as f64 * tolerance.instructions_percent / 100.0
                {
                    let percent = (is as f64 / was as f64 - 1.0) * 100.0;
                    changes.push(format!("{place}: {was} -> {is} instructions ({percent:+.1} %)"));
                }
            }
        }
        changes
    }
}
