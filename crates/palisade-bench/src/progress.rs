use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Says on standard error what is measured: on a terminal in one line that changes, elsewhere in a line now and then.
pub(crate) struct Progress {
    title: String,
    done: usize,
    parts: usize,
    is_terminal: bool,
    shown: Instant,
}

/// The time between two lines in a file, such as the log of a CI job.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

impl Progress {
    pub(crate) fn new(title: &str, parts: usize) -> Self {
        let (title, is_terminal) = (title.to_owned(), std::io::stderr().is_terminal());
        Self { title, done: 0, parts, is_terminal, shown: Instant::now() }
    }

    /// Shows `part` while `work` runs.
    pub(crate) fn during<T>(&mut self, part: &str, work: impl FnOnce() -> T) -> T {
        self.done += 1;
        let line = format!("{}: {part} ({} of {})", self.title, self.done, self.parts);
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else if self.shown.elapsed() > BETWEEN_LINES {
            eprintln!("{line}");
            self.shown = Instant::now();
        }
        work()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
