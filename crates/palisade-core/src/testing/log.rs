use std::{
    fmt::{self, Write as _},
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// Captures the log of this thread until it is dropped, for tests.
///
/// A line contains the level, the target, the message and the fields, without spans.
///
/// ```
/// use palisade_core::testing::Log;
///
/// let log = Log::of_this_thread(tracing::Level::INFO);
/// tracing::warn!(target: "palisade::example", who = "a client", "was refused");
/// tracing::debug!(target: "palisade::example", "in detail");
/// assert_eq!(log.text(), "WARN palisade::example: was refused who=\"a client\"\n");
/// ```
#[derive(Debug)]
pub struct Log {
    text: Arc<Mutex<String>>,
    _guard: DefaultGuard,
}

impl Log {
    /// Begins, with the events of this level and those that are worse.
    pub fn of_this_thread(level: Level) -> Self {
        keep_events_alive();
        let text = Arc::default();
        let lines = Lines { text: Arc::clone(&text), level: level.into() };
        Self { text, _guard: set_default(lines) }
    }

    /// Returns the captured lines.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the lines that are logged while `act` runs.
    pub fn during(level: Level, act: impl FnOnce()) -> String {
        let log = Self::of_this_thread(level);
        act();
        log.text()
    }

    /// Runs a future, and returns its output and the lines that it logged. Events of this future go nowhere else; those of
    /// other tasks go where they went before.
    ///
    /// ```
    /// use palisade_core::testing::Log;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let rejected = async { tracing::info!(target: "palisade::example", "rejected") };
    /// let ((), log) = Log::during_future(tracing::Level::INFO, rejected).await;
    /// assert_eq!(log, "INFO palisade::example: rejected\n");
    /// # });
    /// ```
    pub async fn during_future<F: Future>(level: Level, future: F) -> (F::Output, String) {
        keep_events_alive();
        let text = Arc::<Mutex<String>>::default();
        let lines = Dispatch::new(Lines { text: Arc::clone(&text), level: level.into() });
        let mut future = pin!(future);
        let output =
            poll_fn(|cx| dispatcher::with_default(&lines, || future.as_mut().poll(cx))).await;
        let text = mem::take(&mut *text.lock().unwrap_or_else(PoisonError::into_inner));
        (output, text)
    }
}

/// Registers two more subscribers, one that disables all events and one that enables all. With a single subscriber of another
/// thread, the first thread that reaches an event would disable it for the whole process.
fn keep_events_alive() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        mem::forget(Dispatch::new(NoSubscriber::default()));
        mem::forget(Dispatch::new(Lines { text: Arc::default(), level: LevelFilter::TRACE }));
    });
}

struct Lines {
    text: Arc<Mutex<String>>,
    level: LevelFilter,
}

impl Subscriber for Lines {
    fn enabled(&self, event: &Metadata<'_>) -> bool {
        *event.level() <= self.level && event.target().starts_with("palisade")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{level} {target}: {}{}", line.message, line.fields);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
