//! One run of a ladder or a comparison, with the types of the services erased.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tokio::runtime::{Handle, Runtime};

use crate::{
    Error, InstructionSource, Instructions, Report,
    instructions::{COUNTED, Counter, callgrind},
    progress::Progress,
    set::{BATCH, LONG, Set, runtime},
    settings::Settings,
    subject::{Outcome, Run},
    turns::Turns,
};

pub(crate) struct Measurement {
    settings: Settings,
    runtime: Runtime,
    sets: Vec<Set>,
}

/// The instructions of each set, and of each subject in it. Nothing if they were not counted.
type Counts = Vec<Vec<Option<u64>>>;

impl Measurement {
    /// Makes the sets. Their layers may start tasks, as `tower::buffer` does: on the caller's runtime if there is one.
    pub(crate) fn new(settings: Settings, sets: impl FnOnce() -> Vec<Set>) -> Result<Self, Error> {
        let runtime = runtime()?;
        let sets = {
            let _entered = Handle::try_current().is_err().then(|| runtime.enter());
            sets()
        };
        if sets.is_empty() || sets.iter().any(|set| set.subjects.is_empty()) {
            return Err(Error::NoRequests);
        }
        Ok(Self { settings, runtime, sets })
    }

    pub(crate) fn run(self) -> Result<Report, Error> {
        outside_of_runtimes(|| self.run_here())
    }

    fn run_here(mut self) -> Result<Report, Error> {
        match callgrind::counted_ladder() {
            Some(title) if title == self.settings.title => self.run_under_callgrind(),
            Some(_) => return Ok(Report::of_other_ladder(self.settings.title)),
            None => {}
        }
        let mut progress = Progress::new(&self.settings.title, 4 * self.sets.len() + 2);
        let (outcomes, took) = progress.during("first requests", || self.probe())?;
        let (source, instructions) = progress.during("instructions", || self.instructions(took))?;
        let Self { settings, runtime, sets } = self;
        let mut requests = Vec::new();
        for ((set, instructions), outcome) in sets.into_iter().zip(instructions).zip(outcomes) {
            let turns = Turns { settings: &settings, runtime: &runtime, set };
            requests.push(turns.run(&instructions, outcome, &mut progress)?);
        }
        Ok(Report::new(settings.title, settings.threads, source, requests))
    }

    /// Sends one request to each subject. Returns what the whole stack, or the last subject, of each set answers, and how long
    /// all of it took.
    fn probe(&mut self) -> Result<(Vec<Outcome>, Duration), Error> {
        let (runtime, start) = (&self.runtime, Instant::now());
        let outcomes = self.sets.iter_mut().map(|set| {
            let request = set.name.clone();
            let mut whole = Outcome::default();
            let last = set.subjects.len() - 1;
            for (at, subject) in set.all().enumerate() {
                let probed = catch_unwind(AssertUnwindSafe(|| subject.run.probe(runtime)));
                let probed = probed.unwrap_or_else(|panic| {
                    let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
                    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
                    Err(format!("the service panicked: {}", message.unwrap_or_default()))
                });
                let outcome = probed.map_err(|why| Error::ServiceFailed {
                    step: subject.name().to_owned(),
                    request: request.clone(),
                    why,
                })?;
                if at == last {
                    whole = outcome;
                }
            }
            Ok(whole)
        });
        let outcomes = outcomes.collect::<Result<_, Error>>()?;
        Ok((outcomes, start.elapsed()))
    }

    /// Returns the instructions of each set and subject. `one_request` is how long one request of each takes.
    fn instructions(
        &mut self,
        one_request: Duration,
    ) -> Result<(InstructionSource, Counts), Error> {
        let none = self.sets.iter().map(|set| vec![None; set.len()]).collect();
        let counting = one_request * (BATCH + COUNTED) as u32;
        let (counted, source) = match self.settings.instructions {
            Instructions::Off => {
                return Ok((InstructionSource::Missing("switched off".to_owned()), none));
            }
            Instructions::Counter => (self.by_counter(), InstructionSource::Counter),
            Instructions::Callgrind => (self.by_callgrind(), InstructionSource::Callgrind),
            Instructions::Automatic if counting > LONG => {
                let why = format!("the service is slow, and counting would take {counting:.0?}");
                return Ok((InstructionSource::Missing(why), none));
            }
            Instructions::Automatic => match self.by_counter() {
                Ok(counted) => (Ok(counted), InstructionSource::Counter),
                Err(counter) => (
                    self.by_callgrind().map_err(|callgrind| format!("{counter}; {callgrind}")),
                    InstructionSource::Callgrind,
                ),
            },
        };
        match counted {
            Ok(counted) => {
                let mut counted = counted.into_iter().map(Some);
                let of_set = |set: &Set| counted.by_ref().take(set.len()).collect();
                Ok((source, self.sets.iter().map(of_set).collect()))
            }
            Err(why) if self.settings.instructions == Instructions::Automatic => {
                Ok((InstructionSource::Missing(why), none))
            }
            Err(why) => Err(Error::NoInstructions(why)),
        }
    }

    fn by_counter(&mut self) -> Result<Vec<u64>, String> {
        let mut counter = Counter::new()?;
        let mut counts = Vec::new();
        self.each_subject(|run, runtime| {
            let [harness, requests] = [0, 1].map(|requests| {
                let counted = (0..COUNTED).map(|_| {
                    run.prepare(requests);
                    counter.count(|| _ = run.run(runtime))
                });
                counted.sum::<Result<u64, String>>()
            });
            counts.push(harness.and_then(|harness| Ok(per_request(harness, requests?))));
        });
        counts.into_iter().collect()
    }

    fn by_callgrind(&self) -> Result<Vec<u64>, String> {
        let subjects: usize = self.sets.iter().map(Set::len).sum();
        let counts = callgrind::count(&self.settings.title, 2 * subjects)?;
        Ok(counts.chunks(2).map(|counts| per_request(counts[0], counts[1])).collect())
    }

    /// The second run of the program: counts the harness and the requests of each subject, and ends the process.
    fn run_under_callgrind(&mut self) {
        self.each_subject(|run, runtime| {
            for requests in [0, 1] {
                for _ in 0..COUNTED {
                    run.prepare(requests);
                    callgrind::counted_run(run, runtime);
                }
                callgrind::mark();
            }
        });
        std::process::exit(0);
    }

    /// Calls `count` with each subject, once it is warm.
    fn each_subject(&mut self, mut count: impl FnMut(&mut dyn Run, &Runtime)) {
        for subject in self.sets.iter_mut().flat_map(Set::all) {
            for _ in 0..BATCH {
                subject.run.prepare(1);
                subject.run.run(&self.runtime);
            }
            count(subject.run.as_mut(), &self.runtime);
        }
    }
}

fn per_request(harness: u64, requests: u64) -> u64 {
    requests.saturating_sub(harness) / COUNTED as u64
}

/// Runs `work` on a thread of its own inside an async function, where a runtime cannot wait for another one.
pub(crate) fn outside_of_runtimes<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Handle::try_current().is_err() {
        return work();
    }
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
