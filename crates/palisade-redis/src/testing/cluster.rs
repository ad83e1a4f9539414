use super::{RedisServer, process::eventually};

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

    /// Returns the slot of a key.
    #[cfg(feature = "cluster")]
    pub fn slot_of(key: &str) -> u16 {
        crate::cluster::slot_of(key)
    }

    /// Begins to move a slot from one node to another: what the first does not have, it leaves to the second.
    ///
    /// # Panics
    ///
    /// If a node does not answer.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, [from, to]) = (slot.to_string(), [from, to].map(|node| &self.nodes[node]));
        let id = |node: &RedisServer| node.command(&["CLUSTER", "MYID"]).remove(0);
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    }

    /// Moves the keys of the slot, and then the slot itself. All nodes know it.
    ///
    /// # Panics
    ///
    /// If a node does not answer.
    pub fn finish_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, port) = (slot.to_string(), self.nodes[to].port().to_string());
        loop {
            let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                self.nodes[from].command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
            }
        }
        let id = self.nodes[to].command(&["CLUSTER", "MYID"]).remove(0);
        for node in [to, from, 3 - to - from] {
            self.nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
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
