use super::{
    RedisServer,
    process::{Directory, eventually},
    server::{Kind, Tls},
};

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
        Self::start_all(None)
    }

    /// The same with TLS between all of them. The authority signed the certificate, which has to be for `localhost` and
    /// `127.0.0.1`; all three in PEM.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and with `CI=true` if the server was built without TLS.
    pub fn start_with_tls(authority: &str, certificate: &str, key: &str) -> Option<Self> {
        Self::start_all(Some(&Tls { certificate, key, authority: Some(authority) }))
    }

    fn start_all(tls: Option<&Tls<'_>>) -> Option<Self> {
        let launch = |arguments: &[&str], kind| match tls {
            None => RedisServer::launch(Directory::new(), arguments, None, kind, false),
            Some(tls) => {
                let arguments = [arguments, &["--tls-replication", "yes"]].concat();
                RedisServer::launch_with_tls(tls, &arguments, kind)
            }
        };
        let master = launch(&[], Kind::Plain)?;
        let port = master.port().to_string();
        let follows = format!("127.0.0.1 {port}");
        let replica = ["--replicaof", &follows, "--repl-diskless-sync-delay", "0"];
        let replica = launch(&replica, Kind::Plain)?;
        let sentinel = launch(&[], Kind::Sentinel)?;
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
