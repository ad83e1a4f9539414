//! Real servers for tests: started on a free port of the loopback interface, in a directory of their own, and ended when they
//! are dropped.
//!
//! They need `redis-server` (or `valkey-server`) on the path, or the path of a server in `PALISADE_TEST_REDIS`. If it is
//! missing, `start` says so loudly and returns `None`, so that a test can go on without; with `CI=true` in the environment it
//! panics.
//!
//! ```no_run
//! use palisade_redis::{Redis, testing::RedisServer};
//!
//! let Some(mut server) = RedisServer::start() else { return };
//! let redis = Redis::builder(server.url()).build().unwrap();
//!
//! server.pause(); // it is there and does not answer
//! server.resume();
//! server.stop(); // its port refuses connections
//! server.restart_empty(); // on the same port
//! ```

use std::{
    ffi::OsStr,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use redis::Value;

/// How long a server may take to do what it is told, and how often it is asked whether it has.
const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);

/// A Redis server.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    password: Option<String>,
    kind: Kind,
    directory: Directory,
    process: Option<Child>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
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
        Self::launch(Directory::new(), arguments, None, Kind::Plain)
    }

    /// Starts a server that asks for this password.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with_password(password: &str) -> Option<Self> {
        let arguments = ["--requirepass", password, "--masterauth", password];
        Self::launch(Directory::new(), &arguments, Some(password), Kind::Plain)
    }

    /// Starts a server that speaks TLS only, with this certificate and key in PEM.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        let directory = Directory::new();
        let certificate = directory.write("certificate.pem", certificate);
        let key = directory.write("key.pem", key);
        let arguments =
            ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        Self::launch(directory, &arguments, None, Kind::Tls)
    }

    fn launch(
        directory: Directory,
        arguments: &[&str],
        password: Option<&str>,
        kind: Kind,
    ) -> Option<Self> {
        program()?;
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let password = password.map(str::to_owned);
        let port = free_port();
        let mut server = Self { port, arguments, password, kind, directory, process: None };
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            if server.run() {
                return Some(server);
            }
            server.port = free_port();
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// Where it is: `redis://127.0.0.1:port`, with TLS `rediss://localhost:port`. Without a password.
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Tls => format!("rediss://localhost:{}", self.port),
            Kind::Plain | Kind::Sentinel => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a command and returns the answer, all its values in a row as text. Not with TLS.
    ///
    /// # Panics
    ///
    /// If the server does not answer, or with an error.
    pub fn command(&self, words: &[&str]) -> Vec<String> {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn try_command(&self, words: &[&str]) -> Result<Vec<String>, String> {
        let run = || {
            let mut connection =
                redis::Client::open(self.url())?.get_connection_with_timeout(PATIENCE)?;
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
        let Some(program) = program() else { return false };
        let log = fs::File::create(self.directory.0.join("log")).expect("a log file");
        let port = self.port.to_string();
        let mut command = Command::new(program);
        match self.kind {
            Kind::Plain => command.args(["--port", &port]),
            Kind::Tls => command.args(["--port", "0", "--tls-port", &port]),
            // a server with a configuration that it writes to
            Kind::Sentinel => {
                let configuration = self.directory.write("sentinel.conf", "");
                command.args([&configuration, "--sentinel", "--port", &port])
            }
        };
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
            let answers = match self.kind {
                Kind::Tls => TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok(),
                Kind::Plain | Kind::Sentinel => self.try_command(&["PING"]).is_ok(),
            };
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

/// A Redis Cluster of three masters, with or without a replica of the first.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    replica: Option<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and makes a cluster of them. Returns when each of them calls it complete.
    ///
    /// # Panics
    ///
    /// If it does not start, and with `CI=true` if Redis is not installed.
    pub fn start() -> Option<Self> {
        Self::start_nodes(false)
    }

    /// The same with a replica of the first node, which takes its place when it is gone.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with_replica() -> Option<Self> {
        Self::start_nodes(true)
    }

    fn start_nodes(with_replica: bool) -> Option<Self> {
        const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            // a node that is gone does not take the others with it
            "--cluster-require-full-coverage",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let mut nodes = Vec::new();
        for (first, last) in SLOTS {
            let node = RedisServer::start_with(&arguments)?;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            nodes.push(node);
        }
        for (epoch, node) in nodes.iter().enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(epoch + 1).to_string()]);
        }
        for node in &nodes[1..] {
            let port = node.port().to_string();
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let replica = if with_replica { Some(RedisServer::start_with(&arguments)?) } else { None };
        if let Some(replica) = &replica {
            let port = nodes[0].port().to_string();
            replica.command(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let cluster = Self { nodes, replica };
        cluster.wait_until_complete();
        if let Some(replica) = &cluster.replica {
            let master = cluster.nodes[0].command(&["CLUSTER", "MYID"]).remove(0);
            eventually("the replica follows", || {
                let _ = replica.try_command(&["CLUSTER", "REPLICATE", &master]);
                let state = replica.command(&["INFO", "replication"]).concat();
                let known = cluster.nodes[1].command(&["CLUSTER", "NODES"]).concat();
                (state.contains("master_link_status:up") && known.contains("slave")).then_some(())
            });
        }
        Some(cluster)
    }

    /// The replica of the first node, if there is one.
    pub fn replica(&self) -> Option<&RedisServer> {
        self.replica.as_ref()
    }

    /// Waits until the replica has taken the place of the first node, and another node knows it.
    ///
    /// # Panics
    ///
    /// If there is no replica, or that takes too long.
    pub fn wait_for_promotion(&self) {
        let port = self.replica.as_ref().expect("a replica").port().to_string();
        eventually("the replica is a master", || {
            let slots = self.nodes[1].command(&["CLUSTER", "SLOTS"]);
            // first slot, last slot, host and port of the master
            slots
                .windows(4)
                .any(|range| range[0] == "0" && range[1] == "5460" && range[3] == port)
                .then_some(())
        });
    }

    /// Waits until every node knows all others, as after the restart of one.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_until_complete(&self) {
        let known = self.nodes.len() + usize::from(self.replica.is_some());
        eventually("the cluster is complete", || {
            let complete = self.nodes.iter().all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]).concat();
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{known}"))
                    && info.contains("cluster_slots_ok:16384")
            });
            complete.then_some(())
        });
    }

    /// Where its nodes are.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Its nodes, to be stopped.
    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }
}

/// A master and a replica of it, watched by a sentinel.
#[derive(Debug)]
pub struct RedisSentinel {
    sentinel: RedisServer,
    master: RedisServer,
    replica: RedisServer,
}

impl RedisSentinel {
    /// The name under which the sentinel watches the master.
    pub const MASTER: &str = "mymaster";

    /// Starts all three. Returns when the replica follows and the sentinel knows it.
    ///
    /// # Panics
    ///
    /// If they do not start, and with `CI=true` if Redis is not installed.
    pub fn start() -> Option<Self> {
        let master = RedisServer::start()?;
        let port = master.port().to_string();
        let replica = RedisServer::start_with(&[
            "--replicaof",
            &format!("127.0.0.1 {port}"),
            "--repl-diskless-sync-delay",
            "0",
        ])?;
        let sentinel = RedisServer::launch(Directory::new(), &[], None, Kind::Sentinel)?;
        sentinel.command(&["SENTINEL", "MONITOR", Self::MASTER, "127.0.0.1", &port, "1"]);
        for (setting, value) in [("down-after-milliseconds", "500"), ("failover-timeout", "3000")] {
            sentinel.command(&["SENTINEL", "SET", Self::MASTER, setting, value]);
        }
        let watched = Self { sentinel, master, replica };
        eventually("the sentinel knows a replica that follows", || {
            let follows = watched
                .replica
                .command(&["INFO", "replication"])
                .concat()
                .contains("link_status:up");
            let replicas = watched.sentinel.command(&["SENTINEL", "REPLICAS", Self::MASTER]);
            let is_known = replicas.windows(2).any(|pair| pair == ["flags", "slave"])
                && replicas.windows(2).any(|pair| pair == ["master-link-status", "ok"]);
            (follows && is_known).then_some(())
        });
        Some(watched)
    }

    /// Where the sentinel is.
    pub fn url(&self) -> String {
        self.sentinel.url()
    }

    /// The server that was the master at first.
    pub fn master(&self) -> &RedisServer {
        &self.master
    }

    /// The server that was the replica at first.
    pub fn replica(&self) -> &RedisServer {
        &self.replica
    }

    /// Ends the master. Returns when the sentinel has made the replica the master.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn fail_over(&mut self) {
        self.master.stop();
        self.wait_for_promotion();
    }

    /// Waits until the sentinel has made the replica the master.
    ///
    /// # Panics
    ///
    /// If that takes too long.
    pub fn wait_for_promotion(&self) {
        let port = self.replica.port().to_string();
        eventually("the replica is the master", || {
            let master = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
            let is_named = self.sentinel.command(&master).contains(&port);
            let is_master =
                self.replica.command(&["ROLE"]).first().is_some_and(|role| role == "master");
            (is_named && is_master).then_some(())
        });
    }
}

/// A directory that is removed when it is dropped.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade-redis-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the server");
        Self(path)
    }

    /// Writes a file and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
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

/// The server that `PALISADE_TEST_REDIS` names, or that is installed, or a loud message.
fn program() -> Option<String> {
    if let Ok(named) = std::env::var(PROGRAM) {
        return Some(named);
    }
    let is_installed = |program: &&str| {
        let mut command = Command::new(OsStr::new(program));
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["redis-server", "valkey-server"].into_iter().find(is_installed);
    if found.is_none() {
        let message = "redis-server is not installed, and this test did NOT run: apt-get install redis-server";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
        eprintln!("\n!!! {message}\n");
    }
    found.map(str::to_owned)
}

/// The variable that names another server to test with, such as a Valkey.
const PROGRAM: &str = "PALISADE_TEST_REDIS";

/// A port that nobody listens on, low enough that a cluster's bus has one 10,000 above it.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        if port < 55_000 {
            return port;
        }
    }
}

/// Asks until there is an answer.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / GLANCE.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(GLANCE);
    }
    panic!("not within {PATIENCE:?}: {what}");
}

fn flatten(value: &Value, into: &mut Vec<String>) {
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
