use std::io::{IsTerminal, Write};

/// A line on standard error that says what is measured, if standard error is a terminal.
pub(crate) struct Progress {
    title: String,
    done: usize,
    parts: usize,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(title: &str, parts: usize) -> Self {
        Self { title: title.to_owned(), done: 0, parts, shown: std::io::stderr().is_terminal() }
    }

    /// Shows `part` while `work` runs.
    pub(crate) fn during<T>(&mut self, part: &str, work: impl FnOnce() -> T) -> T {
        self.done += 1;
        if self.shown {
            eprint!("\r\x1b[K{}: {part} ({} of {})", self.title, self.done, self.parts);
            let _ = std::io::stderr().flush();
        }
        work()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
