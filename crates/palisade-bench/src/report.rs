use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Error, InstructionSource, Spread};

/// What the steps of a [`Ladder`](crate::Ladder), or the subjects of a [`Comparison`](crate::Comparison), cost.
///
/// Times and contention belong to the machine. Allocations, polls and sizes belong to the program; instructions nearly so, since
/// hash maps are seeded at random.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The title of the ladder or comparison.
    pub title: String,
    /// The number of threads of the measurement that shows what contends.
    pub threads: usize,
    /// What counted the instructions.
    pub instructions: InstructionSource,
    /// One entry for each request of a ladder, or for each set of a comparison, in the order in which they were given.
    pub requests: Vec<RequestReport>,
    /// True in the second run of a program that counts another ladder: nothing was measured, and nothing is written or checked.
    #[serde(skip)]
    pub(crate) is_of_other_ladder: bool,
}

/// The steps of a ladder, measured with one request; or a set of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestReport {
    /// The method and the path; or the name of the set.
    pub name: String,
    /// The status that the whole stack answers with. `None` for a set of a comparison.
    pub status: Option<u16>,
    /// The `grpc-status` of the whole stack's response, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u16>,
    /// The bare service, then each step, from the outside in; or each subject.
    pub steps: Vec<StepReport>,
}

/// What the stack up to one step costs, and what the step adds; or what one subject of a comparison costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The name of the step or subject.
    pub name: String,
    /// The status that the stack up to this step answers with. `None` for a closure.
    pub status: Option<u16>,
    /// The cost of the stack up to this step, the service included.
    pub total: Figures,
    /// Nanoseconds of a request that finds neither code nor data in the processor's caches. `None` if no time was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<Spread>,
    /// Nanoseconds of a request while other threads send requests too. `None` if there was one thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contended: Option<Spread>,
    /// The size of the future that the stack returns, in bytes. `None` for a closure.
    pub future_bytes: Option<usize>,
    /// The difference to the stack that ends before this step, or to the first subject. `None` for the first row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Difference>,
    /// The difference between the whole stack and the stack without this step. `None` for the bare service, and in a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Difference>,
}

/// The cost of one request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figures {
    /// Nanoseconds, with warm caches and one thread. `None` if no time was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanos: Option<Spread>,
    /// Allocations and reallocations; `None` if [`CountingAllocator`](crate::CountingAllocator) is not installed.
    pub allocations: Option<u64>,
    /// The bytes of these allocations.
    pub bytes: Option<u64>,
    /// Instructions; `None` if they were not counted.
    pub instructions: Option<u64>,
    /// How often the future was polled, until the response's body ended.
    pub polls: u64,
}

/// The cost of one stack minus that of another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// Nanoseconds: the median and quartiles of the differences in each round. `None` if no time was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanos: Option<Spread>,
    /// Allocations and reallocations.
    pub allocations: Option<i64>,
    /// The bytes of these allocations.
    pub bytes: Option<i64>,
    /// Instructions.
    pub instructions: Option<i64>,
}

impl Figures {
    pub(crate) fn minus(&self, other: &Self, nanos: Option<Spread>) -> Difference {
        let minus = |a: Option<u64>, b: Option<u64>| Some(a?.cast_signed() - b?.cast_signed());
        Difference {
            nanos,
            allocations: minus(self.allocations, other.allocations),
            bytes: minus(self.bytes, other.bytes),
            instructions: minus(self.instructions, other.instructions),
        }
    }
}

impl RequestReport {
    /// Returns true if the whole stack rejects the request: its status, or that of the gRPC call, is an error.
    pub fn is_rejected(&self) -> bool {
        self.status.is_some_and(|status| status >= 400)
            || self.grpc_status.is_some_and(|status| status != 0)
    }
}

impl Report {
    pub(crate) fn new(
        title: String,
        threads: usize,
        instructions: InstructionSource,
        requests: Vec<RequestReport>,
    ) -> Self {
        Self { title, threads, instructions, requests, is_of_other_ladder: false }
    }

    /// Returns the report of a ladder that is not measured, because the program runs to count another one.
    pub(crate) fn of_other_ladder(title: String) -> Self {
        let source = InstructionSource::Missing("another ladder is counted".to_owned());
        Self { is_of_other_ladder: true, ..Self::new(title, 0, source, Vec::new()) }
    }

    /// Writes the report as JSON, for [`check_against`](Self::check_against) and other programs.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("a report is valid JSON");
        self.write(path.as_ref(), &(json + "\n"))
    }

    /// Reads a report that [`write_json`](Self::write_json) wrote.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or does not contain such a report.
    pub fn read_json(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let failed = |error| Error::File { path: path.to_owned(), error };
        let json = fs::read_to_string(path).map_err(|error| match error.kind() {
            kind @ io::ErrorKind::NotFound => {
                failed(io::Error::new(kind, "no such file; `Report::write_json` stores a report"))
            }
            _ => failed(error),
        })?;
        serde_json::from_str(&json).map_err(|error| failed(error.into()))
    }

    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        if self.is_of_other_ladder {
            return Ok(());
        }
        fs::write(path, text).map_err(|error| Error::File { path: path.to_owned(), error })
    }
}
