use std::time::Duration;

use crate::Instructions;

/// How a [`Ladder`](crate::Ladder) or a [`Comparison`](crate::Comparison) is measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) title: String,
    pub(crate) rounds: usize,
    pub(crate) turn: Duration,
    pub(crate) threads: usize,
    pub(crate) instructions: Instructions,
}

impl Settings {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            rounds: 101,
            turn: Duration::from_micros(300),
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            instructions: Instructions::Automatic,
        }
    }
}

/// The setters that a ladder and a comparison share.
macro_rules! setters {
    () => {
        /// Sets the number of rounds. Default: 101. A service so slow that the rounds of one request take more than 20 s gets
        /// fewer, but at least 5. With 0 rounds no time is measured, and the report contains only figures that
        /// do not depend on the machine, for [`Report::check_against`](crate::Report::check_against).
        #[must_use]
        pub fn rounds(mut self, rounds: usize) -> Self {
            self.settings.rounds = rounds;
            self
        }

        /// Sets how long a subject runs in one round. Default: 0.3 ms. Long turns measure the noise of a busy machine.
        #[must_use]
        pub fn turn(mut self, turn: std::time::Duration) -> Self {
            self.settings.turn = turn;
            self
        }

        /// Sets the number of threads of the measurement that shows what contends. Default: the number of cores. Up to 1: none.
        #[must_use]
        pub fn threads(mut self, threads: usize) -> Self {
            self.settings.threads = threads;
            self
        }

        /// Sets how instructions are counted. Default: [`Instructions::Automatic`].
        #[must_use]
        pub fn instructions(mut self, instructions: Instructions) -> Self {
            self.settings.instructions = instructions;
            self
        }
    };
}

pub(crate) use setters;
