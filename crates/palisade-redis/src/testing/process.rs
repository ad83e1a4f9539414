//! Processes, directories and ports.

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use redis::Value;

/// How long a server may take to do what it is told, and how often it is asked whether it has.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);

/// A directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade-redis-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the server");
        Self(path)
    }

    /// Writes a file and returns its path.
    pub(super) fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file for the server");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // what is left is in the system's directory for what may be removed
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the server that a variable of the environment names, or one that is installed. Prints a warning if there is no server.
pub(super) fn program(needs_tls: bool) -> Option<String> {
    let named = |variable| std::env::var(variable).ok().filter(|path| !path.is_empty());
    if let Some(named) = named(PROGRAM_WITH_TLS).filter(|_| needs_tls).or_else(|| named(PROGRAM)) {
        return Some(named);
    }
    let is_installed = |program: &&str| {
        let mut command = Command::new(OsStr::new(program));
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["redis-server", "valkey-server"].into_iter().find(is_installed);
    if found.is_none() {
        skip("redis-server is not installed: apt-get install redis-server");
    }
    found.map(str::to_owned)
}

/// Says loudly that a test does not run. With `CI=true`, it fails.
pub(super) fn skip(reason: &str) {
    let message = format!("this test did NOT run: {reason}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    eprintln!("\n!!! {message}\n");
}

/// The variable that names another server to test with, such as a Valkey, and one for a server with TLS.
const PROGRAM: &str = "PALISADE_TEST_REDIS";
const PROGRAM_WITH_TLS: &str = "PALISADE_TEST_REDIS_TLS";

/// Returns a port without a listener, low enough that a cluster's bus has one 10,000 above it.
pub(super) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        if port < 55_000 {
            return port;
        }
    }
}

/// Asks until there is an answer.
pub(super) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(GLANCE);
    }
    panic!("not within {PATIENCE:?}: {what}");
}

pub(super) fn flatten(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| flatten(value, into));
        }
        Value::BulkString(bytes) => into.push(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => into.push(text.clone()),
        Value::Int(number) => into.push(number.to_string()),
        Value::Okay => into.push("OK".to_owned()),
        _ => {}
    }
}
