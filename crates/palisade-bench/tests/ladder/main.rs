//! Layers whose cost is known are reported with that cost.

mod comparison;

use std::{
    convert::Infallible,
    hint::black_box,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use palisade_bench::{
    Comparison, CountingAllocator, Error, InstructionSource, Instructions, Ladder, Report,
    RequestReport, Subject, Tolerance,
};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Does something before each request, and passes it on.
#[derive(Clone)]
struct Before<F>(F);

#[derive(Clone)]
struct BeforeService<F, S>(F, S);

impl<F: Clone, S> Layer<S> for Before<F> {
    type Service = BeforeService<F, S>;

    fn layer(&self, service: S) -> Self::Service {
        BeforeService(self.0.clone(), service)
    }
}

impl<F: Fn(), S: Service<R>, R> Service<R> for BeforeService<F, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        (self.0)();
        self.1.call(request)
    }
}

fn allocates(times: usize, bytes: usize) -> Before<impl Fn() + Clone + Send + 'static> {
    Before(move || {
        for _ in 0..times {
            black_box(Vec::<u8>::with_capacity(black_box(bytes)));
        }
    })
}

/// A layer of exactly `N` instructions, besides those of a call.
fn idles<const N: usize>() -> Before<impl Fn() + Clone + Send + 'static> {
    #[allow(unsafe_code, reason = "no other code has a known number of instructions")]
    // SAFETY: `nop` does nothing.
    Before(|| unsafe { std::arch::asm!(".rept {n}", "nop", ".endr", n = const N) })
}

fn computes(steps: u64) -> Before<impl Fn() + Clone + Send + 'static> {
    Before(move || {
        let mut value = black_box(1_u64);
        for _ in 0..steps {
            value = black_box(value.wrapping_mul(3));
        }
    })
}

type Ready = std::future::Ready<Result<Response<String>, Infallible>>;

fn hello()
-> impl Service<Request<String>, Response = Response<String>, Error = Infallible, Future = Ready>
+ Clone
+ Send {
    service_fn(|_: Request<String>| std::future::ready(Ok(Response::new("hello".to_owned()))))
}

fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

#[test]
fn counts_allocations_and_bytes_of_each_step() {
    let report = Ladder::new(hello(), [get("/items")])
        .step("three", allocates(3, 100))
        .step("none", computes(1))
        .step("two", allocates(2, 1000))
        .instructions(Instructions::Off)
        .rounds(3)
        .run()
        .unwrap();
    let steps = &report.requests[0].steps;
    let names: Vec<_> = steps.iter().map(|step| &step.name[..]).collect();
    assert_eq!(names, ["bare service", "three", "none", "two"]);
    let counted = |step: usize| {
        let added = steps[step].added.unwrap();
        let saved = steps[step].saved.unwrap();
        assert_eq!(added.allocations, saved.allocations);
        assert_eq!(added.bytes, saved.bytes);
        (added.allocations.unwrap(), added.bytes.unwrap())
    };
    assert_eq!([counted(1), counted(2), counted(3)], [(3, 300), (0, 0), (2, 2000)]);
    assert_eq!(steps[0].total.allocations, Some(1), "the body of the response");
    assert_eq!(steps[3].total.allocations, Some(6));
    assert!(steps[0].added.is_none() && steps[0].saved.is_none());
    assert_eq!(report.requests[0].name, "GET /items");
    assert!(!report.requests[0].is_rejected());
}

/// Needs valgrind, which `scripts/test` installs.
#[test]
fn counts_instructions_under_callgrind() {
    let ladder = |title: &str| {
        Ladder::new(hello(), [get("/"), get("/again")])
            .title(title)
            .step("none", idles::<0>())
            .step("thousand", idles::<1000>())
            .step("three thousand", idles::<3000>())
            .instructions(Instructions::Callgrind)
            .rounds(0)
    };
    let report = match ladder("counted").run() {
        Err(Error::NoInstructions(why)) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("NOT TESTED: {why}");
            return;
        }
        report => report.unwrap(),
    };
    // The report is empty in the second run that counts the other ladder.
    if !report.requests.is_empty() {
        check_counts(&report);
    }
    let other = ladder("other").step("more", computes(500)).run().unwrap();
    assert_eq!(other.requests[0].steps.len(), 5);
}

fn check_counts(report: &Report) {
    assert_eq!(report.instructions, InstructionSource::Callgrind);
    for request in &report.requests {
        let added = |step: usize| request.steps[step].added.unwrap().instructions.unwrap();
        let saved = |step: usize| request.steps[step].saved.unwrap().instructions.unwrap();
        // What a layer costs besides the instructions that it is made of.
        let layer = added(1);
        for (step, instructions) in [(2, 1000), (3, 3000)] {
            let off = added(step) - layer - instructions;
            assert!(off.abs() <= 4, "{instructions}: {layer}, {}", added(step));
            let off = saved(step) - layer - instructions;
            assert!(off.abs() <= 4, "{instructions}: {layer}, saved {}", saved(step));
        }
    }
    let [first, again] = &report.requests[..] else { panic!("two requests") };
    let bare = |request: &RequestReport| request.steps[0].total.instructions.unwrap() as f64;
    assert!((bare(first) / bare(again) - 1.0).abs() < 0.03);
}

#[test]
fn counts_hardware_instructions_if_available() {
    let run = || {
        Ladder::new(hello(), [get("/")])
            .step("thousand", computes(1000))
            .instructions(Instructions::Counter)
            .rounds(1)
            .run()
    };
    match run() {
        Ok(report) => {
            let counted = report.requests[0].steps[1].added.unwrap().instructions.unwrap();
            assert!(counted >= 1000, "{counted}");
        }
        // Virtual machines often have no such counter: the error then gives the cause.
        Err(Error::NoInstructions(why)) => {
            eprintln!("NOT TESTED: {why}");
            assert!(why.contains("perf_event_open"), "{why}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn distinguishes_rejected_from_allowed_requests() {
    #[derive(Clone)]
    struct Guard<S>(S);
    impl<S> Service<Request<String>> for Guard<S>
    where
        S: Service<Request<String>, Response = Response<String>, Error: 'static, Future: 'static>,
    {
        type Response = Response<String>;
        type Error = S::Error;
        type Future = Pin<Box<dyn Future<Output = Result<Response<String>, S::Error>>>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, request: Request<String>) -> Self::Future {
            if request.uri().path() != "/private" {
                return Box::pin(self.0.call(request));
            }
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Box::pin(std::future::ready(Ok(response)))
        }
    }
    let report = Ladder::new(hello(), [get("/"), get("/private")])
        .step("guard", tower::layer::layer_fn(Guard))
        .instructions(Instructions::Off)
        .rounds(3)
        .run()
        .unwrap();
    let [allowed, rejected] = &report.requests[..] else { panic!("two requests") };
    assert_eq!((allowed.status, allowed.is_rejected()), (Some(200), false));
    assert_eq!((rejected.status, rejected.is_rejected()), (Some(401), true));
    assert_eq!(rejected.steps[0].status, Some(200));
    let markdown = report.to_markdown();
    assert!(markdown.contains("## Ladder: GET /private, rejected with 401"), "{markdown}");
}

#[test]
fn fails_if_the_status_changes_while_measuring() {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    let limited = service_fn(|_: Request<String>| {
        let mut response = Response::new(String::new());
        if SERVED.fetch_add(1, Ordering::Relaxed) > 60 {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let ran = Ladder::new(limited, [get("/")]).instructions(Instructions::Off).run();
    let error = ran.unwrap_err().to_string();
    assert!(error.contains("changed from 200 OK to 429 Too Many Requests"), "{error}");
    let nothing = Ladder::new(hello(), Vec::<Request<String>>::new()).run();
    assert!(matches!(nothing, Err(Error::NoRequests)));
}

#[test]
fn counts_polls_until_the_end_of_the_response() {
    /// Wakes the task and is pending, a number of times.
    async fn pending(times: usize) {
        for _ in 0..times {
            let mut was_pending = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut was_pending, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
    }
    let waits = |times: usize| {
        tower::layer::layer_fn(move |service: BoxedHello| {
            let service = tower::util::BoxCloneService::new(service);
            BoxedHello::new(service_fn(move |request| {
                let mut service = service.clone();
                async move {
                    pending(times).await;
                    service.call(request).await
                }
            }))
        })
    };
    let report = Ladder::new(BoxedHello::new(hello()), [get("/")])
        .step("two", waits(2))
        .step("none", waits(0))
        .step("five", waits(5))
        .instructions(Instructions::Off)
        .rounds(0)
        .run()
        .unwrap();
    let polls: Vec<_> = report.requests[0].steps.iter().map(|step| step.total.polls).collect();
    assert_eq!(polls, [1, 3, 3, 8]);
    assert_eq!(report.requests[0].steps[0].future_bytes, Some(16), "a box");
}

type BoxedHello = tower::util::BoxCloneService<Request<String>, Response<String>, Infallible>;
