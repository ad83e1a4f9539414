use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use crate::Workspace;

/// An example that runs as a process of its own on a free port, until this is dropped.
#[derive(Debug)]
pub struct Example {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    log: Option<Receiver<String>>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How long an example may take to say what it has to say.
const PATIENCE: Duration = Duration::from_secs(30);

impl Example {
    /// Starts `examples/{name}.rs`.
    ///
    /// # Panics
    ///
    /// If it cannot be built or started, or does not say where it listens.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// Starts `examples/{name}.rs` with these variables in its environment.
    ///
    /// # Panics
    ///
    /// If it cannot be built or started, or does not say where it listens.
    pub fn start_with(name: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(name, variables, false)
    }

    /// The same, and keeps what it logs.
    ///
    /// # Panics
    ///
    /// If it cannot be built or started, or does not say where it listens.
    pub fn start_logging(name: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(name, variables, true)
    }

    fn launch(name: &str, variables: &[(&str, &str)], logs: bool) -> Self {
        let mut process = Command::new(Workspace::built().folder().join("examples").join(name))
            .env("PALISADE_ADDR", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(if logs { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .unwrap_or_else(|error| panic!("the example {name} does not start: {error}"));
        let lines = lines_of(process.stdout.take().expect("its output is piped"));
        let log = process.stderr.take().map(lines_of);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut example = Self { process, lines, seen: Vec::new(), log, address: nowhere };
        let address = example.line_after("listening on http://");
        example.address = address.parse().expect("an address after `listening on`");
        example
    }

    /// The token that it printed for `whom`.
    ///
    /// # Panics
    ///
    /// If it did not print one.
    pub fn token(&mut self, whom: &str) -> String {
        self.credential(&format!("{whom} token"))
    }

    /// What it printed as `name`: a key, a password.
    ///
    /// # Panics
    ///
    /// If it did not print it.
    pub fn credential(&mut self, name: &str) -> String {
        self.line_after(&format!("{name}:")).trim().to_owned()
    }

    /// All that it printed until the line with this text.
    ///
    /// # Panics
    ///
    /// If it does not print such a line.
    pub fn output_until(&mut self, text: &str) -> String {
        while !self.seen.iter().any(|line| line.contains(text)) {
            let line = self.lines.recv_timeout(PATIENCE);
            self.seen.push(line.unwrap_or_else(|_| panic!("it never printed `{text}`")));
        }
        self.seen.join("\n")
    }

    /// What it has logged from here on, until a line of which `last` is true.
    ///
    /// # Panics
    ///
    /// If it never logs such a line, or was not started to keep its log.
    pub fn log_until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let log = self.log.as_ref().expect("started by `start_logging`");
        let mut logged = Vec::new();
        while !logged.last().is_some_and(|line: &String| last(line)) {
            let line = log.recv_timeout(PATIENCE);
            logged.push(line.unwrap_or_else(|_| panic!("it logged only {logged:#?}")));
        }
        logged
    }

    /// What it printed after `start`, at the beginning of a line.
    ///
    /// # Panics
    ///
    /// If it did not print such a line.
    pub fn line_after(&mut self, start: &str) -> String {
        self.output_until(start);
        let found = self.seen.iter().find_map(|line| line.strip_prefix(start));
        found.unwrap_or_else(|| panic!("no line starts with `{start}`")).to_owned()
    }
}

/// The lines of an output, as they come.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl Drop for Example {
    fn drop(&mut self) {
        // Its own child, by its own handle.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
