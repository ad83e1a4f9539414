//! A connection to one server: opened when it is first needed, shared by all callers, and replaced when it is broken.
//!
//! An attempt to connect runs on a task of its own, so that a caller that gives up does not end it for the others, and no
//! caller waits for it longer than the connect time-out. Attempts that fail become rarer, down to one a second; between them
//! callers get an error at once.
//!
//! `redis::aio::ConnectionManager` opens connections again, too, but not for these reasons: it keeps a connection whose peer
//! vanished without closing it, or became a replica, or is a master that was replaced while the connection was idle. It
//! has one address, while the master of sentinels moves. And a request waits for all of its attempts, while ours fails
//! during the pause between them.
//!
//! Measured with redis 1.8.1 and its default settings: while the server is down, each request on a `ConnectionManager` waits
//! 9.5 s for its error, ours at most the connect time-out. Of a server that stopped without closing (SIGSTOP), the manager keeps
//! the connection, and each request waits for its time-out of 500 ms; ours is given up after a second of silence.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Value, aio::MultiplexedConnection};
use tokio::{runtime::Handle, sync::watch, time::Instant};

use crate::{error::Failure, script::Call, setup::Setup};

/// How long the next attempt has to wait after one that failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that has not answered for so long is idle: the server, or a device between, may have closed it, and another
/// node may be the master. A connection that then lets a request time out is given up, because a peer that vanished does not
/// say so.
const SILENCE: Duration = Duration::from_secs(1);

/// Timeouts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
}

/// A connection that is ready for calls, with its address.
pub(crate) struct Opened {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) address: String,
}

/// Boxed, because connecting to a master uses links to sentinels, which connect too.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server that a link leads to.
pub(crate) trait Target: Send + Sync + 'static {
    /// Opens a connection that is ready for calls.
    fn connect<'a>(
        &'a self,
        timeouts: Timeouts,
        setup: &'a Arc<Setup>,
    ) -> Boxed<'a, Result<Opened, Failure>>;

    /// Returns false if the sentinels name another master than the node at this address. A master that was cut off still reports
    /// the role of a master.
    fn is_still_master<'a>(&'a self, address: &'a str) -> Boxed<'a, bool>;

    /// Returns true if the connection is, or would be, encrypted.
    fn speaks_tls(&self) -> bool;
}

#[derive(Clone)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    target: Box<dyn Target>,
    timeouts: Timeouts,
    setup: Arc<Setup>,
    opened: Instant,
    /// The first attempt to connect is over, however it ended.
    was_tried: AtomicBool,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// When the last attempt began, and how long after it the next may.
    attempted: Option<Instant>,
    pause: Duration,
}

enum Stage {
    /// No attempt is under way. With the failure of the last one, or of the connection.
    Down(Option<Failure>),
    Connecting(Attempt),
    Up(Connection),
}

/// The outcome of an attempt to connect, once there is one.
type Attempt = watch::Receiver<Option<Result<Connection, Failure>>>;

#[derive(Clone)]
struct Connection {
    node: MultiplexedConnection,
    address: Arc<str>,
    /// When the last answer came, in milliseconds since the link was made. Also what tells connections apart.
    heard: Arc<AtomicU64>,
    /// When the sentinels last confirmed that the node is the master.
    confirmed: Arc<AtomicU64>,
    answered: Arc<AtomicBool>,
}

/// A request to a node.
enum Request<'a> {
    Script(&'a Call<'a>),
    #[cfg(feature = "cluster")]
    Asking(&'a Call<'a>),
    Command(&'a Cmd),
}

impl Request<'_> {
    async fn send(&self, mut node: MultiplexedConnection) -> Result<Value, Failure> {
        match self {
            Self::Script(call) => {
                match call.by_hash().query_async(&mut node).await.map_err(Failure::Refused) {
                    Err(failure) if failure.is_unknown_script() => {
                        call.by_text().query_async(&mut node).await.map_err(Failure::Refused)
                    }
                    answer => answer,
                }
            }
            #[cfg(feature = "cluster")]
            Self::Asking(call) => {
                let mut commands = redis::pipe();
                commands.cmd("ASKING").ignore().add_command(call.by_text());
                let answer: Result<(Value,), _> = commands.query_async(&mut node).await;
                answer.map(|(answer,)| answer).map_err(Failure::Refused)
            }
            Self::Command(command) => {
                command.query_async(&mut node).await.map_err(Failure::Refused)
            }
        }
    }
}

impl Link {
    /// Creates a link without connecting.
    pub(crate) fn new(target: impl Target, timeouts: Timeouts, setup: Arc<Setup>) -> Self {
        let stage = Stage::Down(None);
        let state = Mutex::new(State { stage, attempted: None, pause: Duration::ZERO });
        let (opened, was_tried) = (Instant::now(), AtomicBool::new(false));
        let target = Box::new(target);
        Self { inner: Arc::new(Inner { target, timeouts, setup, opened, was_tried, state }) }
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.inner.target.speaks_tls()
    }

    /// Runs a script, within the connect and the response time-out together.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, Failure> {
        self.in_time(self.run(call)).await
    }

    /// Connects, unless it is connected.
    pub(crate) async fn ready(&self) -> Result<(), Failure> {
        self.in_time(self.connection()).await.map(drop)
    }

    /// True if the link waits for its first connection.
    pub(crate) fn is_new(&self) -> bool {
        !self.inner.was_tried.load(Ordering::Relaxed)
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if Handle::try_current().is_err() {
            return Err(Failure::NoRuntime);
        }
        let Timeouts { connect, response } = self.inner.timeouts;
        let longest = connect.saturating_add(response);
        let answer = tokio::time::timeout(longest, answer).await;
        answer.unwrap_or(Err(Failure::NoAnswer(longest)))
    }

    async fn run(&self, call: &Call<'_>) -> Result<Value, Failure> {
        self.on_connection(&Request::Script(call)).await
    }

    /// Runs a script on a node that takes over its slot and does not serve it yet.
    #[cfg(feature = "cluster")]
    pub(crate) async fn run_asking(&self, call: &Call<'_>) -> Result<Value, Failure> {
        self.on_connection(&Request::Asking(call)).await
    }

    /// Sends a command that may be sent twice.
    pub(crate) async fn query(&self, command: &Cmd) -> Result<Value, Failure> {
        self.on_connection(&Request::Command(command)).await
    }

    async fn on_connection(&self, request: &Request<'_>) -> Result<Value, Failure> {
        let mut connection = self.connection().await?;
        let was_idle = self.inner.silence(&connection) > SILENCE;
        if was_idle && !self.inner.is_still_master(&connection).await {
            self.inner.replace(&connection, Failure::OtherMaster);
            connection = self.connection().await?;
        }
        match self.ask_on(&connection, request).await {
            // It was closed while it was idle, so nothing was done yet. In any other case something might have been, and to
            // ask again might do it twice.
            Err(failure) if was_idle && failure.is_hang_up() => {
                let connection = self.connection().await?;
                self.ask_on(&connection, request).await
            }
            answer => answer,
        }
    }

    async fn ask_on(
        &self,
        connection: &Connection,
        request: &Request<'_>,
    ) -> Result<Value, Failure> {
        let limit = self.inner.timeouts.response;
        let answer = tokio::time::timeout(limit, request.send(connection.node.clone())).await;
        let answer = answer.unwrap_or(Err(Failure::NoAnswer(limit)));
        self.inner.judge(connection, &answer);
        answer
    }

    /// The connection, or a new one.
    async fn connection(&self) -> Result<Connection, Failure> {
        let mut attempt = match self.inner.attempt()? {
            Ok(connection) => return Ok(connection),
            Err(attempt) => attempt,
        };
        let limit = self.inner.timeouts.connect;
        let outcome = async { attempt.wait_for(Option::is_some).await.ok()?.clone() };
        match tokio::time::timeout(limit, outcome).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                self.inner.abandon(&attempt);
                Err(Failure::Abandoned)
            }
            Err(_) => Err(self.inner.no_connection(limit)),
        }
    }

    /// True if the link has been silent for so long that its node may have another role by now.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_idle(&self) -> bool {
        match &self.inner.state().stage {
            Stage::Up(connection) => self.inner.silence(connection) > SILENCE,
            Stage::Down(_) | Stage::Connecting(_) => false,
        }
    }
}

impl Inner {
    fn no_connection(&self, waited: Duration) -> Failure {
        Failure::NoConnection { waited, is_plain: !self.target.speaks_tls() }
    }

    /// The connection, or the attempt at one that is under way, or that begins now.
    fn attempt(self: &Arc<Self>) -> Result<Result<Connection, Attempt>, Failure> {
        let mut state = self.state();
        match &state.stage {
            Stage::Up(connection) => return Ok(Ok(connection.clone())),
            Stage::Connecting(attempt) => return Ok(Err(attempt.clone())),
            Stage::Down(failure) => {
                let paused = state.attempted.is_some_and(|then| then.elapsed() < state.pause);
                if let Some(failure) = failure.as_ref().filter(|_| paused) {
                    return Err(failure.clone());
                }
            }
        }
        let runtime = Handle::try_current().map_err(|_| Failure::NoRuntime)?;
        let (outcome, attempt) = watch::channel(None);
        state.attempted = Some(Instant::now());
        state.pause = (state.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        state.stage = Stage::Connecting(attempt.clone());
        drop(state);

        let inner = Arc::clone(self);
        runtime.spawn(async move {
            let connected = inner.connect().await;
            inner.was_tried.store(true, Ordering::Relaxed);
            inner.state().stage = match &connected {
                Ok(connection) => Stage::Up(connection.clone()),
                Err(failure) => Stage::Down(Some(failure.clone())),
            };
            outcome.send_replace(Some(connected));
        });
        Ok(Err(attempt))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        // Several nodes may be asked one after the other, each of which may be gone. Callers do not wait for so long.
        let Timeouts { connect, response } = self.timeouts;
        let limit = connect.saturating_add(response).saturating_mul(3);
        let opening = self.target.connect(self.timeouts, &self.setup);
        let opened = tokio::time::timeout(limit, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(self.no_connection(limit)))?;
        let now = || Arc::new(AtomicU64::new(self.millis()));
        Ok(Connection {
            node: opened.connection,
            address: opened.address.into(),
            heard: now(),
            confirmed: now(),
            answered: Arc::default(),
        })
    }

    /// Asks whether a connection that was idle still leads to the master, once for all callers of the same moment.
    async fn is_still_master(&self, connection: &Connection) -> bool {
        let now = self.millis();
        let before = connection.confirmed.swap(now, Ordering::Relaxed);
        now.saturating_sub(before) <= millis(SILENCE)
            || self.target.is_still_master(&connection.address).await
    }

    /// Notes what an answer says about its connection.
    fn judge(&self, connection: &Connection, answer: &Result<Value, Failure>) {
        let Err(failure) = answer else {
            return self.hear(connection);
        };
        let replace = match failure {
            Failure::NoAnswer(_) => self.silence(connection) > SILENCE,
            failure => failure.calls_for_another_connection(),
        };
        if replace {
            self.replace(connection, failure.clone());
        } else if !matches!(failure, Failure::NoAnswer(_)) {
            // An error is a reply too.
            self.hear(connection);
        }
    }

    fn hear(&self, connection: &Connection) {
        connection.heard.store(self.millis(), Ordering::Relaxed);
        connection.answered.store(true, Ordering::Relaxed);
    }

    /// Drops the connection, unless another caller already has.
    fn replace(&self, connection: &Connection, failure: Failure) {
        let mut state = self.state();
        let is_current = matches!(&state.stage, Stage::Up(current) if Arc::ptr_eq(&current.heard, &connection.heard));
        if is_current {
            if connection.answered.load(Ordering::Relaxed) {
                state.pause = Duration::ZERO;
            }
            state.stage = Stage::Down(Some(failure));
        }
    }

    /// Removes an attempt whose task has ended.
    fn abandon(&self, attempt: &Attempt) {
        let mut state = self.state();
        if matches!(&state.stage, Stage::Connecting(current) if current.same_channel(attempt)) {
            state.stage = Stage::Down(None);
        }
    }

    /// Returns the time since the last reply.
    fn silence(&self, connection: &Connection) -> Duration {
        let heard = connection.heard.load(Ordering::Relaxed);
        Duration::from_millis(self.millis().saturating_sub(heard))
    }

    fn millis(&self) -> u64 {
        millis(self.opened.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so that a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
