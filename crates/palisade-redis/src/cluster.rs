//! The nodes of a cluster: their slots, and a link to each.
//!
//! The cluster client of `redis` has one queue for all nodes, and while it connects to a node that is gone, or asks for the
//! slots again, calls to the other nodes wait. Here a node that is down or stalled has a link of its own that fails, and the
//! others do not notice. A call has one slot, so that following a redirection is all that is left to do.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use palisade_core::BoxFuture;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, Value};
use tokio::{runtime::Handle, task::JoinSet, time::Instant};

use crate::{
    error::Failure,
    link::{Link, Timeouts},
    script::Call,
    setup::Setup,
    topology::{Certificates, Place, prompt},
};

/// How often a call is sent on to another node, or again to the same one.
const MOST_HOPS: u32 = 6;

/// How long the slots are not asked for again.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// Nodes with a link, of those that joined and left.
const MOST_LINKS: usize = 1024;

#[derive(Clone)]
pub(crate) struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    /// What all nodes have in common.
    login: RedisConnectionInfo,
    tls: bool,
    certificates: Certificates,
    timeouts: Timeouts,
    setup: Arc<Setup>,
    links: Mutex<HashMap<String, Link>>,
    slots: RwLock<Arc<Slots>>,
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

/// The master of each range of slots, in their order.
type Slots = Vec<Range>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    master: String,
}

impl Cluster {
    /// The nodes have the same credentials and scheme.
    pub(crate) fn new(
        nodes: Vec<ConnectionInfo>,
        certificates: Certificates,
        timeouts: Timeouts,
        setup: Arc<Setup>,
    ) -> Result<Self, redis::RedisError> {
        let first = nodes.first();
        let login = first.map(|node| node.redis_settings().clone()).unwrap_or_default();
        let tls = first.is_some_and(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }));
        let cluster = Self {
            inner: Arc::new(Inner {
                login,
                tls,
                certificates,
                timeouts,
                setup,
                links: Mutex::default(),
                slots: RwLock::default(),
                refreshed: tokio::sync::Mutex::default(),
            }),
        };
        for node in nodes {
            cluster.inner.link(&node.addr().to_string())?;
        }
        Ok(cluster)
    }

    /// Runs a script on the node of its first key, within the connect and the response time-out together.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, Failure> {
        if Handle::try_current().is_err() {
            return Err(Failure::NoRuntime);
        }
        let Timeouts { connect, response } = self.inner.timeouts;
        let longest = connect.saturating_add(response);
        let answer = tokio::time::timeout(longest, self.follow(call)).await;
        answer.unwrap_or_else(|_| {
            self.refresh_soon();
            Err(Failure::NoAnswer(longest))
        })
    }

    /// Sends a call from node to node until one of them runs it.
    async fn follow(&self, call: &Call<'_>) -> Result<Value, Failure> {
        let slot = call.keys.first().map_or(0, |key| slot_of(key));
        let inner = &self.inner;
        let mut master = inner.master_of(slot).await?;
        let mut asking = false;
        let mut last = Failure::TooManyRedirects;
        for hop in 0..MOST_HOPS {
            let mut link = inner.link(&master).map_err(Failure::Unreachable)?;
            if hop == 0 && link.is_idle() {
                // Its node may have been replaced meanwhile, and not know it.
                inner.refresh().await;
                master = inner.master_of(slot).await?;
                link = inner.link(&master).map_err(Failure::Unreachable)?;
            }
            let answer = if asking { link.run_asking(call).await } else { link.call(call).await };
            asking = false;
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match redirection(&failure) {
                Some(address) => {
                    asking = failure.has_code("ASK");
                    if !asking {
                        inner.learn(slot, &address);
                        self.refresh_soon();
                    }
                    master = address;
                }
                None if failure.has_code("TRYAGAIN") => {
                    tokio::time::sleep(Duration::from_millis(u64::from(2_u32.pow(hop)))).await;
                }
                None => {
                    if failure.is_loss_of_node() || failure.has_code("CLUSTERDOWN") {
                        self.refresh_soon();
                    }
                    return Err(failure);
                }
            }
            last = failure;
        }
        Err(if last.has_code("TRYAGAIN") { last } else { Failure::TooManyRedirects })
    }

    /// Connects to all masters.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        self.inner.refresh().await;
        let slots = self.inner.slots();
        if slots.is_empty() {
            return Err(Failure::NoSlots);
        }
        let mut connecting = JoinSet::new();
        for range in &**slots {
            let link = self.inner.link(&range.master).map_err(Failure::Unreachable)?;
            connecting.spawn(async move { link.ready().await });
        }
        while let Some(connected) = connecting.join_next().await {
            connected.map_err(|_| Failure::Abandoned)??;
        }
        Ok(())
    }

    /// Tells nodes apart: the same number for all keys of one node. 0 as long as the slots are not known.
    pub(crate) fn node_of(&self, key: &str) -> u64 {
        let slots = self.inner.slots();
        owner(&slots, slot_of(key)).map_or(0, |range| {
            let mut hasher = DefaultHasher::new();
            range.master.hash(&mut hasher);
            hasher.finish().max(1)
        })
    }

    /// Connects to the node of a key, if that was never tried.
    pub(crate) fn connecting(&self, key: &str) -> Option<BoxFuture<Result<(), Failure>>> {
        let slot = slot_of(key);
        let slots = self.inner.slots();
        if let Some(range) = owner(&slots, slot)
            && !self.inner.link(&range.master).is_ok_and(|link| link.is_new())
        {
            return None;
        }
        let inner = Arc::clone(&self.inner);
        Some(Box::pin(async move {
            let master = inner.master_of(slot).await?;
            inner.link(&master).map_err(Failure::Unreachable)?.ready().await
        }))
    }

    /// Asks for the slots on a task of its own, unless that is being done.
    fn refresh_soon(&self) {
        if self.inner.refreshed.try_lock().is_ok() {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { inner.refresh().await });
        }
    }
}

impl Inner {
    fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn master_of(&self, slot: u16) -> Result<String, Failure> {
        let known = |slots: &Slots| owner(slots, slot).map(|range| range.master.clone());
        if let Some(master) = known(&self.slots()) {
            return Ok(master);
        }
        self.refresh().await;
        known(&self.slots()).ok_or(Failure::NoSlots)
    }

    /// The link to a node, which exists from now on.
    fn link(&self, address: &str) -> Result<Link, redis::RedisError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(address) {
            return Ok(link.clone());
        }
        if links.len() >= MOST_LINKS {
            links.clear();
        }
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "6379"));
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = port.parse().unwrap_or(6379);
        let place = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = place.into_connection_info()?.set_redis_settings(self.login.clone());
        let client = self.certificates.client(prompt(info))?;
        let link = Link::new(Place::Node(client), self.timeouts, Arc::clone(&self.setup));
        links.insert(address.to_owned(), link.clone());
        Ok(link)
    }

    /// Records the owner of one slot, as a redirection names it, until all slots are read again.
    fn learn(&self, slot: u16, master: &str) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let range = Range { first: slot, last: slot, master: master.to_owned() };
        // The first range that has a slot is its owner.
        let mut learnt = vec![range];
        learnt.extend(slots.iter().filter(|old| old.first != slot || old.last != slot).cloned());
        *slots = Arc::new(learnt);
    }

    /// Reads the slots from all nodes at once, and uses the first reply.
    async fn refresh(&self) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|then| then.elapsed() < REFRESH_PAUSE) {
            return;
        }
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut asking = JoinSet::new();
        for (address, link) in links {
            asking.spawn(async move {
                let mut command = redis::cmd("CLUSTER");
                let answer = link.query(command.arg("SLOTS")).await.ok()?;
                slots_in(&answer, &address).filter(|slots| !slots.is_empty())
            });
        }
        while let Some(answer) = asking.join_next().await {
            if let Ok(Some(slots)) = answer {
                *self.slots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(slots);
                break;
            }
        }
        *refreshed = Some(Instant::now());
    }
}

fn owner(slots: &Slots, slot: u16) -> Option<&Range> {
    slots.iter().find(|range| (range.first..=range.last).contains(&slot))
}

/// The node that a node sends the caller to.
fn redirection(failure: &Failure) -> Option<String> {
    let Failure::Refused(error) = failure else { return None };
    error.redirect_node().map(|(address, _)| address.to_owned())
}

/// Reads the answer to `CLUSTER SLOTS`: for each range the first and the last slot, and the nodes, of which the first is the
/// master. A node that does not know its own host leaves it empty.
fn slots_in(answer: &Value, asked: &str) -> Option<Slots> {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    let number = |value: &Value| match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let Value::Array(ranges) = answer else { return None };
    let range = |range: &Value| {
        let Value::Array(parts) = range else { return None };
        let [first, last, Value::Array(master), ..] = &parts[..] else { return None };
        let [host, port, ..] = &master[..] else { return None };
        let host = text(host).filter(|host| !host.is_empty() && host != "?");
        let own = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
        let host = host.unwrap_or_else(|| own.to_owned());
        let master = format!("{host}:{}", number(port)?);
        Some(Range { first: number(first)?, last: number(last)?, master })
    };
    ranges.iter().map(range).collect()
}

/// The slot of a key: CRC-16/XMODEM of its hash tag, or of all of it, modulo 16384.
pub(crate) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_equal_those_of_redis_cluster_keyslot() {
        // CLUSTER KEYSLOT of Redis
        assert_eq!(slot_of("123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12182);
        assert_eq!(slot_of("{foo}:bar"), 12182);
        assert_eq!(slot_of("x{}y{foo}"), slot_of("x{}y{foo}"));
        assert_ne!(slot_of("x{}y{foo}"), 12182, "an empty tag is none");
    }

    #[test]
    fn parses_cluster_slots_replies() {
        let node = |host: &str, port| {
            Value::Array(vec![Value::BulkString(host.as_bytes().to_vec()), Value::Int(port)])
        };
        let answer = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(9), node("10.0.0.1", 7000), node("x", 1)]),
            Value::Array(vec![Value::Int(10), Value::Int(16383), node("", 7001)]),
        ]);
        let slots = slots_in(&answer, "10.0.0.2:7001").unwrap();
        assert_eq!(owner(&slots, 9).unwrap().master, "10.0.0.1:7000");
        assert_eq!(owner(&slots, 10).unwrap().master, "10.0.0.2:7001");
        assert_eq!(slots_in(&Value::Okay, "a:1"), None);
        assert_eq!(slots_in(&Value::Array(vec![Value::Int(1)]), "a:1"), None);
    }
}
