//! One run of a ladder or a comparison, with the types of the services erased.

use std::{
    hint::black_box,
    sync::Barrier,
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use tokio::runtime::Runtime;

use crate::{
    CountingAllocator, Error, InstructionSource, Instructions, Report, Spread, Subject,
    instructions::{BATCHES, Counter, callgrind},
    progress::Progress,
    report::{Difference, Figures, RequestReport, StepReport},
    settings::Settings,
    subject::{Batch, Run},
};

/// The most requests that are made before they are sent and timed together: few enough to stay in the processor's cache.
const BATCH: usize = 32;
/// Single requests of each subject whose median is the number of allocations and polls.
const SINGLES: usize = 21;
/// The size of what is read between two cold requests, in bytes: more than the caches of common processors.
const CACHES: usize = 64 * 1024 * 1024;
/// How long each thread sends requests in one of the rounds that show contention.
const CONTENDED_TURN: Duration = Duration::from_millis(10);
const CONTENDED_ROUNDS: usize = 7;

/// Subjects that take turns.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    /// True for the steps of a ladder, each of which is compared with the one before. Otherwise the first subject is the base.
    is_ladder: bool,
    /// The stacks of no layer, one layer, up to all layers; or the subjects of a comparison.
    pub(crate) subjects: Vec<Subject>,
    /// In a ladder: the whole stack without its first layer, without its second one, and so on.
    without: Vec<Subject>,
}

impl Set {
    pub(crate) fn of_subjects(name: String, subjects: impl IntoIterator<Item = Subject>) -> Self {
        let subjects = subjects.into_iter().collect();
        Self { name, is_ladder: false, subjects, without: Vec::new() }
    }

    pub(crate) fn of_steps<B>(
        request: &Request<B>,
        names: &[String],
        growing: Vec<Box<dyn Run>>,
        without: Vec<Box<dyn Run>>,
    ) -> Self {
        let name = format!("{} {}", request.method(), request.uri());
        let subjects = names.iter().zip(growing).map(|(name, run)| Subject::new(name, run));
        let without = names[1..].iter().zip(without);
        let without = without.map(|(name, run)| Subject::new(&format!("without {name}"), run));
        let (subjects, without) = (subjects.collect(), without.collect());
        Self { name, is_ladder: true, subjects, without }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Subject> {
        self.subjects.iter_mut().chain(&mut self.without)
    }

    fn len(&self) -> usize {
        self.subjects.len() + self.without.len()
    }
}

pub(crate) struct Measurement {
    settings: Settings,
    runtime: Runtime,
    sets: Vec<Set>,
}

/// The instructions of each set, and of each subject in it. Nothing if they were not counted.
type Counts = Vec<Vec<Option<u64>>>;

/// What single requests of one subject came to.
struct Described {
    status: Option<StatusCode>,
    allocations: Option<u64>,
    bytes: Option<u64>,
    polls: u64,
    /// How many requests are timed together.
    batch: usize,
}

impl Measurement {
    pub(crate) fn new(settings: Settings, sets: Vec<Set>) -> Result<Self, Error> {
        if sets.is_empty() || sets.iter().any(|set| set.subjects.is_empty()) {
            return Err(Error::NoRequests);
        }
        Ok(Self { settings, runtime: runtime()?, sets })
    }

    pub(crate) fn run(mut self) -> Result<Report, Error> {
        match callgrind::counted_ladder() {
            Some(title) if title == self.settings.title => self.run_under_callgrind(),
            Some(_) => return Ok(Report::of_other_ladder(self.settings.title)),
            None => {}
        }
        let mut progress = Progress::new(&self.settings.title, 4 * self.sets.len() + 1);
        let (source, instructions) = progress.during("instructions", || self.instructions())?;
        let Self { settings, runtime, sets } = self;
        let mut requests = Vec::new();
        for (set, instructions) in sets.into_iter().zip(instructions) {
            let turns = Turns { settings: &settings, runtime: &runtime, set };
            requests.push(turns.run(&instructions, &mut progress)?);
        }
        Ok(Report::new(settings.title, settings.threads, source, requests))
    }

    /// Returns the instructions of each set and subject.
    fn instructions(&mut self) -> Result<(InstructionSource, Counts), Error> {
        let none = self.sets.iter().map(|set| vec![None; set.len()]).collect();
        let (counted, source) = match self.settings.instructions {
            Instructions::Off => {
                return Ok((InstructionSource::Missing("switched off".to_owned()), none));
            }
            Instructions::Counter => (self.by_counter(), InstructionSource::Counter),
            Instructions::Callgrind => (self.by_callgrind(), InstructionSource::Callgrind),
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
            let [short, long] = BATCHES.map(|batch| {
                run.prepare(batch);
                counter.count(|| _ = run.run(runtime))
            });
            counts.push(short.and_then(|short| Ok(per_request(short, long?))));
        });
        counts.into_iter().collect()
    }

    fn by_callgrind(&self) -> Result<Vec<u64>, String> {
        let subjects: usize = self.sets.iter().map(Set::len).sum();
        let counts = callgrind::count(&self.settings.title, 4 * subjects - 1)?;
        // Four marks a subject: between those of a batch, requests are made; the last count is what lies between two subjects.
        Ok(counts.chunks(4).map(|counts| per_request(counts[0], counts[2])).collect())
    }

    /// The second run of the program: marks the batches, and ends the process.
    fn run_under_callgrind(&mut self) {
        self.each_subject(|run, runtime| {
            for batch in BATCHES {
                run.prepare(batch);
                callgrind::mark();
                run.run(runtime);
                callgrind::mark();
            }
        });
        std::process::exit(0);
    }

    /// Calls `count` with each subject, once it is warm.
    fn each_subject(&mut self, mut count: impl FnMut(&mut dyn Run, &Runtime)) {
        for subject in self.sets.iter_mut().flat_map(Set::all) {
            subject.run.prepare(BATCH);
            subject.run.run(&self.runtime);
            count(subject.run.as_mut(), &self.runtime);
        }
    }
}

/// The measurement of one set.
struct Turns<'a> {
    settings: &'a Settings,
    runtime: &'a Runtime,
    set: Set,
}

impl Turns<'_> {
    fn run(
        mut self,
        instructions: &[Option<u64>],
        progress: &mut Progress,
    ) -> Result<RequestReport, Error> {
        let described = progress.during("allocations", || self.describe())?;
        let warm = progress.during("time", || self.time(&described))?;
        let cold = progress.during("cold", || self.cold());
        let contended = progress.during("contention", || self.contended(&described))?;
        let figures: Vec<_> = (0..described.len())
            .map(|at| Figures {
                nanos: Spread::try_from_values(warm[at].clone()),
                allocations: described[at].allocations,
                bytes: described[at].bytes,
                polls: described[at].polls,
                instructions: instructions[at],
            })
            .collect();
        let difference = |minuend: usize, subtrahend: usize| -> Difference {
            let nanos = Spread::of_differences(&warm[minuend], &warm[subtrahend]);
            figures[minuend].minus(&figures[subtrahend], nanos)
        };
        let count = self.set.subjects.len();
        let steps = (0..count).map(|at| {
            let base = if self.set.is_ladder { at.checked_sub(1) } else { (at > 0).then_some(0) };
            let left_out = (self.set.is_ladder && at > 0).then(|| count + at - 1);
            StepReport {
                name: self.set.subjects[at].name().to_owned(),
                status: described[at].status.map(|status| status.as_u16()),
                total: figures[at],
                cold: Spread::try_from_values(cold[at].clone()),
                contended: Spread::try_from_values(contended[at].clone()),
                future_bytes: self.set.subjects[at].run.future_bytes(),
                added: base.map(|base| difference(at, base)),
                saved: left_out.map(|left_out| difference(count - 1, left_out)),
            }
        });
        let steps: Vec<_> = steps.collect();
        let status = steps.last().and_then(|whole| whole.status).filter(|_| self.set.is_ladder);
        Ok(RequestReport { name: self.set.name, status, steps })
    }

    /// Sends single requests, and counts.
    fn describe(&mut self) -> Result<Vec<Described>, Error> {
        let is_counted = CountingAllocator::is_installed();
        let mut described = Vec::new();
        for subject in self.set.all() {
            let mut single = || {
                subject.run.prepare(1);
                let before = CountingAllocator::counted();
                let ran = subject.run.run(self.runtime);
                let after = CountingAllocator::counted();
                (after.count - before.count, after.bytes - before.bytes, ran)
            };
            (0..BATCH).for_each(|_| _ = single());
            let singles: Vec<_> = (0..SINGLES).map(|_| single()).collect();
            let median = |of: fn(&(u64, u64, Batch)) -> u64| {
                let mut values: Vec<_> = singles.iter().map(of).collect();
                values.sort_unstable();
                values[values.len() / 2]
            };
            let last = &singles[SINGLES - 1].2;
            if last.failed {
                return Err(Error::ServiceFailed { step: subject.name().to_owned() });
            }
            let nanos =
                median(|single| u64::try_from(single.2.elapsed.as_nanos()).unwrap_or(u64::MAX));
            let in_a_turn = self.settings.turn.as_nanos() / u128::from(nanos.max(1));
            described.push(Described {
                status: last.status,
                allocations: is_counted.then(|| median(|single| single.0)),
                bytes: is_counted.then(|| median(|single| single.1)),
                polls: median(|single| single.2.polls),
                batch: usize::try_from(in_a_turn).unwrap_or(BATCH).clamp(1, BATCH),
            });
        }
        Ok(described)
    }

    /// Returns the nanoseconds per request of each round, for each subject.
    fn time(&mut self, described: &[Described]) -> Result<Vec<Vec<f64>>, Error> {
        let Settings { rounds, turn, .. } = *self.settings;
        let mut nanos = vec![Vec::with_capacity(rounds); described.len()];
        for _ in 0..rounds {
            for (at, (subject, nanos)) in self.set.all().zip(&mut nanos).enumerate() {
                let described = &described[at];
                let (each, last) =
                    take_turn(subject.run.as_mut(), self.runtime, turn, described.batch);
                if last.failed || last.status != described.status {
                    let step = subject.name().to_owned();
                    let first = described.status.unwrap_or_default();
                    let later = last.status.filter(|_| !last.failed);
                    return Err(Error::StatusChanged { step, first, later });
                }
                nanos.push(each);
            }
        }
        Ok(nanos)
    }

    /// Returns the nanoseconds of requests that find nothing in the processor's caches, for each stack.
    fn cold(&mut self) -> Vec<Vec<f64>> {
        let mut nanos = vec![Vec::new(); self.set.subjects.len()];
        if self.settings.rounds == 0 {
            return nanos;
        }
        let mut caches = vec![0_u8; CACHES];
        for _ in 0..self.settings.rounds.min(SINGLES) {
            for (subject, nanos) in self.set.subjects.iter_mut().zip(&mut nanos) {
                subject.run.prepare(1);
                caches.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                black_box(&caches);
                nanos.push(subject.run.run(self.runtime).elapsed.as_nanos() as f64);
            }
        }
        nanos
    }

    /// Returns the nanoseconds per request of threads that send at the same time, for each stack. Nothing without threads.
    fn contended(&mut self, described: &[Described]) -> Result<Vec<Vec<f64>>, Error> {
        let mut nanos = vec![Vec::new(); self.set.subjects.len()];
        let Settings { threads, rounds, .. } = *self.settings;
        if threads < 2 || rounds == 0 {
            return Ok(nanos);
        }
        let runtimes: Vec<_> = (0..threads).map(|_| runtime()).collect::<Result<_, _>>()?;
        for _ in 0..CONTENDED_ROUNDS.min(rounds) {
            for (at, (subject, nanos)) in self.set.subjects.iter().zip(&mut nanos).enumerate() {
                let start = Barrier::new(threads);
                let turns = std::thread::scope(|scope| {
                    let running: Vec<_> = runtimes
                        .iter()
                        .map(|runtime| {
                            let (mut run, start) = (subject.run.fork(), &start);
                            let batch = described[at].batch;
                            scope.spawn(move || {
                                start.wait();
                                take_turn(run.as_mut(), runtime, CONTENDED_TURN, batch).0
                            })
                        })
                        .collect();
                    running.into_iter().map(ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
                });
                let turns = turns.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                nanos.push(turns.iter().sum::<f64>() / threads as f64);
            }
        }
        Ok(nanos)
    }
}

fn per_request(short: u64, long: u64) -> u64 {
    long.saturating_sub(short) / (BATCHES[1] - BATCHES[0]) as u64
}

/// Sends requests for `turn`, and returns the nanoseconds of each, and the last batch.
fn take_turn(run: &mut dyn Run, runtime: &Runtime, turn: Duration, batch: usize) -> (f64, Batch) {
    let (mut elapsed, mut sent) = (Duration::ZERO, 0);
    // Making requests takes time as well: the turn is over by the clock on the wall, too.
    let start = Instant::now();
    loop {
        run.prepare(batch);
        let ran = run.run(runtime);
        (elapsed, sent) = (elapsed + ran.elapsed, sent + batch);
        if elapsed >= turn || start.elapsed() >= 4 * turn {
            return (elapsed.as_nanos() as f64 / sent as f64, ran);
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Runtime)
}
