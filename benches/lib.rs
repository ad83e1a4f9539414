//! Measures time and allocations per request, all subjects in one run.
//!
//! The machine may be shared and noisy, so the subjects take turns, round by round, and the medians are compared.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod allocations;
mod instructions;
pub mod stacks;

use std::{
    hint::black_box,
    io::IsTerminal,
    pin::pin,
    sync::Once,
    task::{Context, Poll, Waker},
    time::Instant,
};

pub use allocations::Counting;
use tower::Service;

/// Returns whether this process measures, as under `cargo bench`. `cargo test` runs each benchmark a few times, only to
/// show that it works; the first call then prints that the figures mean nothing.
pub fn is_measured() -> bool {
    static NOTE: Once = Once::new();
    let measured = std::env::args().any(|argument| argument == "--bench");
    if !measured {
        NOTE.call_once(|| {
            println!("TEST MODE: NOTHING IS MEASURED, and figures below mean nothing. `cargo bench` measures.");
        });
    }
    measured
}

/// One subject: a name, and something to do once.
pub struct Subject<'a> {
    name: &'a str,
    run: Box<dyn FnMut() + 'a>,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A service that is asked again and again, each time with a new request.
pub fn asking<'a, S, R>(
    name: &'a str,
    mut service: S,
    request: impl Fn() -> R + 'a,
    check: impl Fn(&S::Response) -> bool + 'a,
) -> Subject<'a>
where
    S: Service<R> + 'a,
    S::Error: std::fmt::Debug,
{
    let run = move || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))), "{name} is not ready");
        let mut future = pin!(service.call(black_box(request())));
        let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) else {
            panic!("{name} does not answer at once")
        };
        let response = outcome.expect("an answer");
        assert!(check(&response), "{name} answers something else");
        black_box(&response);
    };
    Subject { name, run: Box::new(run) }
}

/// Something else to do again and again.
pub fn doing<'a, T>(name: &'a str, mut run: impl FnMut() -> T + 'a) -> Subject<'a> {
    Subject { name, run: Box::new(move || drop(black_box(run()))) }
}

/// Measures all subjects and prints a table; the first one is the base that the others are compared with.
///
/// In test mode each subject runs a few times, and no table is printed.
pub fn compare(title: &str, subjects: &mut [Subject<'_>]) {
    if instructions::is_second_run() {
        subjects.iter_mut().for_each(|subject| instructions::run(&mut subject.run));
        return;
    }
    if !is_measured() {
        for subject in subjects.iter_mut() {
            (0..100).for_each(|_| (subject.run)());
        }
        println!("{title}: {} subjects work", subjects.len());
        return;
    }
    // Short rounds and many: a long round is interrupted on any machine that does something else, too.
    let rounds = 401;

    let allocations: Vec<_> = subjects.iter_mut().map(count_allocations).collect();
    let requests: Vec<_> = subjects.iter_mut().map(per_round).collect();
    let mut nanos = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..rounds {
        for ((subject, nanos), requests) in subjects.iter_mut().zip(&mut nanos).zip(&requests) {
            let start = Instant::now();
            for _ in 0..*requests {
                (subject.run)();
            }
            nanos.push(start.elapsed().as_nanos() as f64 / f64::from(*requests));
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{title}: round {} of {rounds} ", round + 1);
        }
    }
    eprintln!();

    let instructions: Vec<_> = subjects.iter().map(|_| instructions::next()).collect();
    let medians: Vec<f64> = nanos.iter_mut().map(|nanos| median(nanos)).collect();
    println!("## {title}\n");
    let base = subjects[0].name;
    println!(
        "| per request | ns | over {base} | instructions | over {base} | allocations | bytes |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (at, Subject { name, .. }) in subjects.iter().enumerate() {
        let (median, (count, bytes)) = (medians[at], allocations[at]);
        let over = median - medians[0];
        let counted = instructions[at].map_or_else(|| "-".to_owned(), |count| count.to_string());
        let more = match (instructions[at], instructions[0]) {
            (Some(count), Some(base)) => (count as i64 - base as i64).to_string(),
            _ => "-".to_owned(),
        };
        println!("| {name} | {median:.0} | {over:.0} | {counted} | {more} | {count} | {bytes} |");
    }
    println!();
}

/// How many requests make a round of some 0.3 ms.
fn per_round(subject: &mut Subject<'_>) -> u32 {
    let start = Instant::now();
    for _ in 0..100 {
        (subject.run)();
    }
    let each = start.elapsed().as_nanos() / 100;
    u32::try_from(300_000 / each.max(1)).unwrap_or(u32::MAX).max(1)
}

/// What one request allocates once everything is warm.
fn count_allocations(subject: &mut Subject<'_>) -> (usize, usize) {
    for _ in 0..10 {
        (subject.run)();
    }
    let before = Counting::so_far();
    for _ in 0..100 {
        (subject.run)();
    }
    let after = Counting::so_far();
    ((after.0 - before.0) / 100, (after.1 - before.1) / 100)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
