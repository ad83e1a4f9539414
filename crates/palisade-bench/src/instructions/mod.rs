//! Instructions per request: by the processor's counter where the system allows it, otherwise by callgrind.

pub(crate) mod callgrind;
mod counter;

use serde::{Deserialize, Serialize};

/// How instructions are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Instructions {
    /// By the processor's counter if the system allows it, otherwise by callgrind if it is installed, otherwise not at all.
    #[default]
    Automatic,
    /// By the processor's counter of user instructions (`perf_event_open`, Linux).
    Counter,
    /// By running the program a second time under valgrind's callgrind. The program must come to the same
    /// [`Ladder::run`](crate::Ladder::run) again when it is started with the same arguments. On the way there, other ladders
    /// return reports without requests, which write nothing and pass every check.
    Callgrind,
    /// Not at all.
    Off,
}

/// What the instructions of a report were counted with, or why they are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InstructionSource {
    /// The processor's counter.
    Counter,
    /// Callgrind.
    Callgrind,
    /// They were not counted, for this reason.
    Missing(String),
}

/// How many single requests are counted, and as many runs of the harness without a request, which are subtracted.
///
/// The requests are made one at a time, as a server has them. Those of a batch are freed together, and a layer would be
/// charged with what the memory allocator does when its caches are full: thousands of instructions, which no server spends.
pub(crate) const COUNTED: usize = 16;

pub(crate) use counter::Counter;
