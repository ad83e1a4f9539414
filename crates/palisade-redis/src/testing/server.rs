use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
};

use redis::Value;

use super::process::{Directory, PATIENCE, eventually, flatten, free_port, program, skip};

/// What a server with TLS needs, in PEM.
pub(super) struct Tls<'a> {
    pub(super) certificate: &'a str,
    pub(super) key: &'a str,
    /// The authority of the servers that it connects to itself.
    pub(super) authority: Option<&'a str>,
}

/// A Redis server.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    /// The port for the kit's own commands, which have no TLS.
    plain_port: u16,
    arguments: Vec<String>,
    password: Option<String>,
    kind: Kind,
    has_tls: bool,
    directory: Directory,
    process: Option<Child>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Sentinel,
}

impl RedisServer {
    /// Starts a server. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If it does not start, and with `CI=true` if it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["--maxmemory", "1mb"]`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> Option<Self> {
        Self::launch(Directory::new(), arguments, None, Kind::Plain, false)
    }

    /// Starts a server that asks for this password.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with_password(password: &str) -> Option<Self> {
        let arguments = ["--requirepass", password, "--masterauth", password];
        Self::launch(Directory::new(), &arguments, Some(password), Kind::Plain, false)
    }

    /// Starts a server that speaks TLS, with this certificate and key in PEM. The kit's own commands go to another port.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and with `CI=true` if the server was built without TLS.
    pub fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        Self::start_with_tls_and(certificate, key, &[])
    }

    /// The same with further arguments, such as `["--tls-protocols", "TLSv1.2"]`.
    ///
    /// # Panics
    ///
    /// As [`start_with_tls`](Self::start_with_tls).
    pub fn start_with_tls_and(certificate: &str, key: &str, arguments: &[&str]) -> Option<Self> {
        let tls = Tls { certificate, key, authority: None };
        Self::launch_with_tls(&tls, arguments, Kind::Plain)
    }

    pub(super) fn launch_with_tls(tls: &Tls<'_>, arguments: &[&str], kind: Kind) -> Option<Self> {
        let directory = Directory::new();
        let certificate = directory.write("certificate.pem", tls.certificate);
        let key = directory.write("key.pem", tls.key);
        let files =
            ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        let authority = tls.authority.map(|authority| directory.write("authority.pem", authority));
        let authority = authority.as_deref().map(|file| ["--tls-ca-cert-file", file]);
        let authority = authority.as_ref().map_or(&[][..], |both| &both[..]);
        let arguments = [&files[..], authority, arguments].concat();
        Self::launch(directory, &arguments, None, kind, true)
    }

    pub(super) fn launch(
        directory: Directory,
        arguments: &[&str],
        password: Option<&str>,
        kind: Kind,
        has_tls: bool,
    ) -> Option<Self> {
        program(has_tls)?;
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let password = password.map(str::to_owned);
        let (port, plain_port, process) = (0, 0, None);
        let mut server =
            Self { port, plain_port, arguments, password, kind, has_tls, directory, process };
        // Another process may take a port before the server does.
        for _ in 0..5 {
            server.plain_port = free_port();
            server.port = if has_tls { free_port() } else { server.plain_port };
            if server.run() {
                return Some(server);
            }
            if has_tls && server.log().contains("TLS support") {
                skip("the server was built without TLS; name another in PALISADE_TEST_REDIS_TLS");
                return None;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Where it is: `redis://127.0.0.1:port`, with TLS `rediss://localhost:port`. Without a password.
    pub fn url(&self) -> String {
        if self.has_tls {
            format!("rediss://localhost:{}", self.port)
        } else {
            format!("redis://127.0.0.1:{}", self.port)
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a command and returns the answer, all its values in a row as text.
    ///
    /// # Panics
    ///
    /// If the server does not answer, or with an error.
    pub fn command(&self, words: &[&str]) -> Vec<String> {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(super) fn try_command(&self, words: &[&str]) -> Result<Vec<String>, String> {
        let run = || {
            let url = format!("redis://127.0.0.1:{}", self.plain_port);
            let mut connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            if let Some(password) = &self.password {
                redis::cmd("AUTH").arg(password).query::<Value>(&mut connection)?;
            }
            let (name, arguments) = words.split_first().unwrap_or((&"PING", &[]));
            redis::cmd(name).arg(arguments).query::<Value>(&mut connection)
        };
        let mut answer = Vec::new();
        flatten(&run().map_err(|error: redis::RedisError| error.to_string())?, &mut answer);
        Ok(answer)
    }

    /// The names of all keys.
    ///
    /// # Panics
    ///
    /// If the server does not answer.
    pub fn keys(&self) -> Vec<String> {
        self.command(&["KEYS", "*"])
    }

    /// The keys that would never expire. A test that ends with this being empty has found no leak.
    ///
    /// # Panics
    ///
    /// If the server does not answer.
    pub fn keys_without_expiry(&self) -> Vec<String> {
        let lives_on = |key: &String| self.command(&["PTTL", key]) == ["-1"];
        self.keys().into_iter().filter(lives_on).collect()
    }

    /// Stops its process with SIGSTOP: connections stay open, and nothing is answered.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it run on.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Ends it with SIGKILL. Its port refuses connections.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // an error means that it has ended by itself
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends it and starts another on the same port that knows nothing.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart_empty(&mut self) {
        self.stop();
        assert!(self.run(), "redis-server does not start again: {}", self.log());
    }

    /// Starts the process. False if it ended again.
    fn run(&mut self) -> bool {
        let Some(program) = program(self.has_tls) else { return false };
        let log = fs::File::create(self.directory.0.join("log")).expect("a log file");
        let mut command = Command::new(program);
        if self.kind == Kind::Sentinel {
            // a server with a configuration that it writes to
            let configuration = self.directory.write("sentinel.conf", "");
            command.args([&configuration, "--sentinel"]);
        }
        command.args(["--port", &self.plain_port.to_string()]);
        if self.has_tls {
            command.args(["--tls-port", &self.port.to_string()]);
        }
        if self.kind != Kind::Sentinel {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command
            .args(["--bind", "127.0.0.1", "--loglevel", "warning", "--dir"])
            .arg(&self.directory.0)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server can be started"));
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> bool {
        eventually("redis-server answers", || {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|process| process.try_wait().is_ok_and(|status| status.is_some()));
            if ended {
                return Some(false);
            }
            let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            let answers = self.try_command(&["PING"]).is_ok() && listens();
            answers.then_some(true)
        })
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("the server runs");
        let id = process.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was sent to {id}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.0.join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
