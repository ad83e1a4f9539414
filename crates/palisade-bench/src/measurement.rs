//! One run of a ladder, with the types of its services erased.

use std::{
    hint::black_box,
    sync::Barrier,
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use tokio::runtime::Runtime;

use crate::{
    CountingAllocator, Error, InstructionSource, Instructions, Report, Spread,
    instructions::{BATCHES, Counter, callgrind},
    ladder::Settings,
    progress::Progress,
    report::{Figures, RequestReport, StepReport},
    subject::{Batch, Subject},
};

/// Requests that are cloned before they are sent and timed together: few enough to stay in the processor's cache.
const BATCH: usize = 32;
/// Single requests of each subject whose median is the number of allocations and polls.
const SINGLES: usize = 21;
/// The size of what is read between two cold requests, in bytes: more than the caches of common processors.
const CACHES: usize = 64 * 1024 * 1024;
/// How long each thread sends requests in one of the rounds that show contention.
const CONTENDED_TURN: Duration = Duration::from_millis(10);
const CONTENDED_ROUNDS: usize = 7;

pub(crate) struct Measurement<B> {
    settings: Settings,
    runtime: Runtime,
    requests: Vec<Request<B>>,
    names: Vec<String>,
    /// The stacks of no layer, one layer, up to all layers.
    growing: Vec<Box<dyn Subject<B>>>,
    /// The whole stack without its first layer, without its second one, and so on.
    without: Vec<Box<dyn Subject<B>>>,
}

/// The instructions of each request, and of each subject with it. Nothing if they were not counted.
type Counts = Vec<Vec<Option<u64>>>;

/// What single requests of one subject came to.
struct Described {
    status: StatusCode,
    allocations: Option<u64>,
    bytes: Option<u64>,
    polls: u64,
}

impl<B: Clone + Send + 'static> Measurement<B> {
    pub(crate) fn new(
        settings: Settings,
        requests: Vec<Request<B>>,
        names: Vec<String>,
        growing: Vec<Box<dyn Subject<B>>>,
        without: Vec<Box<dyn Subject<B>>>,
    ) -> Result<Self, Error> {
        if requests.is_empty() {
            return Err(Error::NoRequests);
        }
        Ok(Self { settings, runtime: runtime()?, requests, names, growing, without })
    }

    pub(crate) fn run(mut self) -> Result<Report, Error> {
        match callgrind::counted_ladder() {
            Some(title) if title == self.settings.title => self.run_under_callgrind(),
            Some(_) => return Ok(Report::of_other_ladder(self.settings.title)),
            None => {}
        }
        let mut progress = Progress::new(&self.settings.title, 4 * self.requests.len() + 1);
        let (source, instructions) = progress.during("instructions", || self.instructions())?;
        let mut requests = Vec::new();
        for at in 0..self.requests.len() {
            requests.push(self.request(at, &instructions, &mut progress)?);
        }
        let Settings { title, threads, .. } = self.settings;
        Ok(Report::new(title, threads, source, requests))
    }

    fn request(
        &mut self,
        at: usize,
        instructions: &Counts,
        progress: &mut Progress,
    ) -> Result<RequestReport, Error> {
        let request = self.requests[at].clone();
        let described = progress.during("allocations", || self.describe(&request))?;
        let warm = progress.during("time", || self.time(&request, &described))?;
        let cold = progress.during("cold", || self.cold(&request));
        let contended = progress.during("contention", || self.contended(&request))?;
        let (growing, without) = described.split_at(self.growing.len());
        let (warm, warm_without) = warm.split_at(growing.len());
        let figures = |described: &Described, nanos: &[f64], which: usize| Figures {
            nanos: Spread::from_values(nanos.to_vec()),
            allocations: described.allocations,
            bytes: described.bytes,
            polls: described.polls,
            instructions: instructions[at].get(which).copied().flatten(),
        };
        let whole = growing.len() - 1;
        let whole_figures = figures(&growing[whole], &warm[whole], whole);
        let steps = growing.iter().zip(warm).zip(cold).enumerate().map(
            |(step, ((growing, nanos), cold))| {
                let total = figures(growing, nanos, step);
                let added = step.checked_sub(1).map(|before| {
                    let before_figures = figures(&described[before], &warm[before], before);
                    total.minus(&before_figures, Spread::of_differences(nanos, &warm[before]))
                });
                let saved = step.checked_sub(1).map(|left_out| {
                    let nanos = &warm_without[left_out];
                    let rest = figures(&without[left_out], nanos, whole + 1 + left_out);
                    whole_figures.minus(&rest, Spread::of_differences(&warm[whole], nanos))
                });
                StepReport {
                    name: self.names[step].clone(),
                    status: growing.status.as_u16(),
                    total,
                    cold: Spread::from_values(cold),
                    contended: contended.get(step).cloned().map(Spread::from_values),
                    future_bytes: self.growing[step].future_bytes(),
                    added,
                    saved,
                }
            },
        );
        Ok(RequestReport::new(&request, growing[whole].status, steps.collect()))
    }

    fn name_of(&self, subject: usize) -> String {
        match subject.checked_sub(self.growing.len()) {
            None => self.names[subject].clone(),
            Some(left_out) => format!("without {}", self.names[left_out + 1]),
        }
    }

    /// Sends single requests, and counts.
    fn describe(&mut self, request: &Request<B>) -> Result<Vec<Described>, Error> {
        let counted = CountingAllocator::is_installed();
        let runtime = &self.runtime;
        let mut batch = Vec::with_capacity(BATCH);
        let mut described = Vec::new();
        for subject in self.growing.iter_mut().chain(&mut self.without) {
            let mut single = |batch: &mut Vec<Request<B>>| {
                batch.push(request.clone());
                let before = CountingAllocator::counted();
                let ran = subject.run(runtime, batch);
                let after = CountingAllocator::counted();
                (after.count - before.count, after.bytes - before.bytes, ran)
            };
            let mut last = single(&mut batch);
            for _ in 0..BATCH {
                last = single(&mut batch);
            }
            let singles: Vec<_> = (0..SINGLES).map(|_| single(&mut batch)).collect();
            let median = |of: fn(&(u64, u64, Batch)) -> u64| {
                let mut values: Vec<_> = singles.iter().map(of).collect();
                values.sort_unstable();
                values[values.len() / 2]
            };
            described.push(last.2.status.map(|status| Described {
                status,
                allocations: counted.then(|| median(|single| single.0)),
                bytes: counted.then(|| median(|single| single.1)),
                polls: median(|single| single.2.polls),
            }));
        }
        let name = |subject| self.name_of(subject);
        described
            .into_iter()
            .enumerate()
            .map(|(at, described)| described.ok_or_else(|| Error::ServiceFailed { step: name(at) }))
            .collect()
    }

    /// Returns the nanoseconds per request of each round, for each subject.
    fn time(
        &mut self,
        request: &Request<B>,
        described: &[Described],
    ) -> Result<Vec<Vec<f64>>, Error> {
        let Settings { rounds, turn, .. } = self.settings;
        let mut nanos = vec![Vec::with_capacity(rounds); described.len()];
        for _ in 0..rounds {
            let subjects = self.growing.iter_mut().chain(&mut self.without);
            for (at, (subject, nanos)) in subjects.zip(&mut nanos).enumerate() {
                let (each, status) = take_turn(subject.as_mut(), &self.runtime, request, turn);
                if status != Some(described[at].status) {
                    let (step, first) = (self.name_of(at), described[at].status);
                    return Err(Error::StatusChanged { step, first, later: status });
                }
                nanos.push(each);
            }
        }
        Ok(nanos)
    }

    /// Returns the nanoseconds of requests that find nothing in the processor's caches, for each stack.
    fn cold(&mut self, request: &Request<B>) -> Vec<Vec<f64>> {
        let mut caches = vec![0_u8; CACHES];
        let mut batch = Vec::with_capacity(1);
        let mut nanos = vec![Vec::new(); self.growing.len()];
        for _ in 0..self.settings.rounds.min(SINGLES) {
            for (subject, nanos) in self.growing.iter_mut().zip(&mut nanos) {
                batch.push(request.clone());
                caches.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                black_box(&caches);
                nanos.push(subject.run(&self.runtime, &mut batch).elapsed.as_nanos() as f64);
            }
        }
        nanos
    }

    /// Returns the nanoseconds per request of threads that send at the same time, for each stack. Nothing without threads.
    fn contended(&mut self, request: &Request<B>) -> Result<Vec<Vec<f64>>, Error> {
        let threads = self.settings.threads;
        if threads < 2 {
            return Ok(Vec::new());
        }
        let runtimes: Vec<_> = (0..threads).map(|_| runtime()).collect::<Result<_, _>>()?;
        let mut nanos = vec![Vec::new(); self.growing.len()];
        for _ in 0..CONTENDED_ROUNDS.min(self.settings.rounds) {
            for (subject, nanos) in self.growing.iter().zip(&mut nanos) {
                let start = Barrier::new(threads);
                let turns = std::thread::scope(|scope| {
                    let running: Vec<_> = runtimes
                        .iter()
                        .map(|runtime| {
                            let (mut subject, request, start) =
                                (subject.fork(), request.clone(), &start);
                            scope.spawn(move || {
                                start.wait();
                                take_turn(subject.as_mut(), runtime, &request, CONTENDED_TURN).0
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

    /// Returns the instructions of each request and subject.
    fn instructions(&mut self) -> Result<(InstructionSource, Counts), Error> {
        let none = vec![Vec::new(); self.requests.len()];
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
                let subjects = self.growing.len() + self.without.len();
                let counted = counted.into_iter().map(Some).collect::<Vec<_>>();
                Ok((source, counted.chunks(subjects).map(<[_]>::to_vec).collect()))
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
        self.each_batch(|subject, runtime, batches| {
            let [short, long] = batches;
            let [short, long] = [
                counter.count(|| _ = subject.run(runtime, short)),
                counter.count(|| _ = subject.run(runtime, long)),
            ];
            counts.push(short.and_then(|short| Ok(per_request(short, long?))));
        });
        counts.into_iter().collect()
    }

    fn by_callgrind(&self) -> Result<Vec<u64>, String> {
        let subjects = self.requests.len() * (self.growing.len() + self.without.len());
        let counts = callgrind::count(&self.settings.title, 3 * subjects - 1)?;
        // Three marks a subject: the third count is what lies between two subjects.
        Ok(counts.chunks(3).map(|counts| per_request(counts[0], counts[1])).collect())
    }

    /// The second run of the program: marks the batches, and ends the process.
    fn run_under_callgrind(&mut self) {
        self.each_batch(|subject, runtime, [short, long]| {
            callgrind::mark();
            subject.run(runtime, short);
            callgrind::mark();
            subject.run(runtime, long);
            callgrind::mark();
        });
        std::process::exit(0);
    }

    /// Calls `run` with the two batches of each request and subject, once the subject is warm.
    fn each_batch(
        &mut self,
        mut run: impl FnMut(&mut dyn Subject<B>, &Runtime, [&mut Vec<Request<B>>; 2]),
    ) {
        for request in &self.requests {
            for subject in self.growing.iter_mut().chain(&mut self.without) {
                let mut batches = [BATCH, BATCHES[0], BATCHES[1]].map(|n| vec![request.clone(); n]);
                let [warm, short, long] = &mut batches;
                subject.run(&self.runtime, warm);
                run(subject.as_mut(), &self.runtime, [short, long]);
            }
        }
    }
}

fn per_request(short: u64, long: u64) -> u64 {
    long.saturating_sub(short) / (BATCHES[1] - BATCHES[0]) as u64
}

/// Sends requests for `turn`, and returns the nanoseconds of each and the status of all.
fn take_turn<B: Clone>(
    subject: &mut dyn Subject<B>,
    runtime: &Runtime,
    request: &Request<B>,
    turn: Duration,
) -> (f64, Option<StatusCode>) {
    let mut batch = Vec::with_capacity(BATCH);
    let (mut elapsed, mut sent) = (Duration::ZERO, 0);
    // Preparing requests takes time as well: the turn is over by the clock on the wall, too.
    let start = Instant::now();
    loop {
        batch.extend(std::iter::repeat_n(request, BATCH).cloned());
        let ran = subject.run(runtime, &mut batch);
        (elapsed, sent) = (elapsed + ran.elapsed, sent + BATCH);
        if elapsed >= turn || start.elapsed() >= 4 * turn {
            return (elapsed.as_nanos() as f64 / sent as f64, ran.status);
        }
    }
}

fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Error::Runtime)
}
