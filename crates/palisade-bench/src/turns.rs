//! The subjects of one set take turns.

use std::{
    hint::black_box,
    sync::Barrier,
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::{runtime::Runtime, sync::mpsc};

use crate::{
    CountingAllocator, Error, Spread,
    progress::Progress,
    report::{Difference, Figures, RequestReport, StepReport},
    set::{BATCH, LONG, Set, runtime},
    settings::Settings,
    subject::{Batch, Outcome, Run},
};

/// Single requests of each subject whose median is the number of allocations and polls.
const SINGLES: usize = 21;
/// The time after which a slow service is sent fewer single requests.
const SLOW: Duration = Duration::from_millis(500);
/// The fewest single requests and rounds of a slow service.
const FEW: usize = 5;
/// The size of what is read between two cold requests, in bytes: more than the caches of common processors.
const CACHES: usize = 64 * 1024 * 1024;
/// How long each thread sends requests in one of the rounds that show contention.
const CONTENDED_TURN: Duration = Duration::from_millis(10);
const CONTENDED_ROUNDS: usize = 7;

/// What single requests of one subject came to.
struct Described {
    status: Option<StatusCode>,
    allocations: Option<u64>,
    bytes: Option<u64>,
    polls: u64,
    /// How many requests are timed together.
    batch: usize,
}

/// The measurement of one set.
pub(crate) struct Turns<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) runtime: &'a Runtime,
    pub(crate) set: Set,
}

impl Turns<'_> {
    pub(crate) fn run(
        mut self,
        instructions: &[Option<u64>],
        outcome: Outcome,
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
        let whole = if self.set.is_ladder { outcome } else { Outcome::default() };
        let status = whole.status.map(|status| status.as_u16());
        Ok(RequestReport { name: self.set.name, status, grpc_status: whole.grpc_status, steps })
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
            let start = Instant::now();
            let is_over = |done: usize, all: usize| done >= all || start.elapsed() > SLOW;
            (0..).take_while(|done| !is_over(*done, BATCH)).for_each(|_| _ = single());
            let mut singles = vec![single()];
            while singles.len() < FEW || !is_over(singles.len(), SINGLES) {
                singles.push(single());
            }
            let median = |of: fn(&(u64, u64, Batch)) -> u64| {
                let mut values: Vec<_> = singles.iter().map(of).collect();
                values.sort_unstable();
                values[values.len() / 2]
            };
            let last = &singles[singles.len() - 1].2;
            if last.failed {
                let step = subject.name().to_owned();
                return Err(Error::StatusChanged {
                    step,
                    first: last.status.unwrap_or_default(),
                    later: None,
                });
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
        let start = Instant::now();
        for round in 0..rounds {
            if round >= FEW && start.elapsed() > LONG {
                break;
            }
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
        let start = Instant::now();
        for round in 0..self.settings.rounds.min(SINGLES) {
            if round >= FEW && start.elapsed() > LONG {
                break;
            }
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
                let (ended, mut all_ended) = mpsc::channel::<()>(1);
                let turns = std::thread::scope(|scope| {
                    let running: Vec<_> = runtimes
                        .iter()
                        .map(|runtime| {
                            let (mut run, start) = (subject.run.fork(), &start);
                            let batch = described[at].batch;
                            let ended = ended.clone();
                            scope.spawn(move || {
                                let _ended = ended;
                                start.wait();
                                take_turn(run.as_mut(), runtime, CONTENDED_TURN, batch).0
                            })
                        })
                        .collect();
                    drop(ended);
                    // The service may have tasks on this runtime, which have to run meanwhile.
                    self.runtime.block_on(all_ended.recv());
                    running.into_iter().map(ScopedJoinHandle::join).collect::<Result<Vec<_>, _>>()
                });
                let turns = turns.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                nanos.push(turns.iter().sum::<f64>() / threads as f64);
            }
        }
        Ok(nanos)
    }
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
