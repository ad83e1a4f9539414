//! The way to the server: opened when it is first needed, shared by all, and replaced when it is broken.
//!
//! A connection attempt runs on a task of its own, so that a caller that gives up does not end it for the others, and no
//! caller waits for it longer than the connect time-out. Attempts that fail are made ever more rarely, down to one a second;
//! between them callers learn at once that there is no connection.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Value;
use tokio::{runtime::Handle, sync::watch, time::Instant};

use crate::{
    error::Failure,
    script::Call,
    topology::{Pipe, Timeouts, Topology},
};

/// How long the next attempt has to wait after one that failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that has not answered for so long is idle: the server, or what is between, may have closed it. And one that
/// then lets a request time out is not worth waiting for, because a peer that vanished never says so.
const SILENCE: Duration = Duration::from_secs(1);

pub(crate) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    topology: Topology,
    timeouts: Timeouts,
    opened: Instant,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// When the last attempt began, and how long after it the next may.
    attempted: Option<Instant>,
    pause: Duration,
}

enum Stage {
    /// Nobody connects. With what the last attempt failed of, or the connection broke by.
    Down(Option<Failure>),
    Connecting(Attempt),
    Up(Connection),
}

/// Where the outcome of an attempt to connect will be.
type Attempt = watch::Receiver<Option<Result<Connection, Failure>>>;

#[derive(Clone)]
struct Connection {
    pipe: Pipe,
    /// When the last answer came, in milliseconds since the link was made. Also what tells connections apart.
    heard: Arc<AtomicU64>,
    answered: Arc<AtomicBool>,
}

impl Link {
    /// Connects nowhere yet.
    pub(crate) fn new(topology: Topology, timeouts: Timeouts) -> Self {
        let stage = Stage::Down(None);
        let state = Mutex::new(State { stage, attempted: None, pause: Duration::ZERO });
        let opened = Instant::now();
        Self { shared: Arc::new(Shared { topology, timeouts, opened, state }) }
    }

    /// Runs a script.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, Failure> {
        if Handle::try_current().is_err() {
            return Err(Failure::NoRuntime);
        }
        let Timeouts { connect, response } = self.shared.timeouts;
        let longest = connect.saturating_add(response);
        let answer = tokio::time::timeout(longest, self.call_on_some_connection(call)).await;
        answer.unwrap_or(Err(Failure::NoAnswer(longest)))
    }

    async fn call_on_some_connection(&self, call: &Call<'_>) -> Result<Value, Failure> {
        let connection = self.connection().await?;
        let was_idle = self.shared.silence(&connection) > SILENCE;
        let answer = self.call_on(&connection, call).await;
        match answer {
            // It was closed while nobody looked, so nothing was done yet. In any other case something might have been, and
            // to ask again might do it twice.
            Err(failure) if was_idle && failure.is_hang_up() => {
                let connection = self.connection().await?;
                self.call_on(&connection, call).await
            }
            answer => answer,
        }
    }

    async fn call_on(&self, connection: &Connection, call: &Call<'_>) -> Result<Value, Failure> {
        let mut pipe = connection.pipe.clone();
        let asked = async {
            match pipe.ask(&call.by_hash()).await.map_err(Failure::Refused) {
                Err(failure) if failure.is_unknown_script() => {
                    pipe.ask(&call.by_text()).await.map_err(Failure::Refused)
                }
                answer => answer,
            }
        };
        let limit = self.shared.timeouts.response;
        let answer = tokio::time::timeout(limit, asked).await;
        let answer = answer.unwrap_or(Err(Failure::NoAnswer(limit)));
        self.shared.judge(connection, &answer);
        answer
    }

    /// The connection, or a new one.
    async fn connection(&self) -> Result<Connection, Failure> {
        let mut attempt = match self.shared.attempt()? {
            Ok(connection) => return Ok(connection),
            Err(attempt) => attempt,
        };
        let limit = self.shared.timeouts.connect;
        let outcome = async { attempt.wait_for(Option::is_some).await.ok()?.clone() };
        match tokio::time::timeout(limit, outcome).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                self.shared.abandon(&attempt);
                Err(Failure::Abandoned)
            }
            Err(_) => Err(Failure::NoConnection(limit)),
        }
    }
}

impl Shared {
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

        let shared = Arc::clone(self);
        runtime.spawn(async move {
            let connected = shared.connect().await;
            shared.state().stage = match &connected {
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
        let pipe = tokio::time::timeout(limit, self.topology.connect(self.timeouts)).await;
        let pipe = pipe.unwrap_or(Err(Failure::NoConnection(limit)))?;
        let heard = Arc::new(AtomicU64::new(self.millis()));
        Ok(Connection { pipe, heard, answered: Arc::default() })
    }

    /// Notes what an answer says about its connection.
    fn judge(&self, connection: &Connection, answer: &Result<Value, Failure>) {
        let Err(failure) = answer else {
            return self.hear(connection);
        };
        let is_silent = self.silence(connection) > SILENCE;
        let replace = match failure {
            Failure::NoAnswer(_) => is_silent,
            failure if connection.pipe.repairs_itself() => failure.is_hang_up() && is_silent,
            failure => failure.calls_for_another_connection(),
        };
        if replace {
            self.replace(connection, failure.clone());
        } else if !matches!(failure, Failure::NoAnswer(_)) && !failure.is_hang_up() {
            // a refusal is an answer too
            self.hear(connection);
        }
    }

    fn hear(&self, connection: &Connection) {
        connection.heard.store(self.millis(), Ordering::Relaxed);
        connection.answered.store(true, Ordering::Relaxed);
    }

    /// Gives the connection up, unless somebody has already.
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

    /// Forgets an attempt that nobody works on any more.
    fn abandon(&self, attempt: &Attempt) {
        let mut state = self.state();
        if matches!(&state.stage, Stage::Connecting(current) if current.same_channel(attempt)) {
            state.stage = Stage::Down(None);
        }
    }

    /// How long ago the last answer came.
    fn silence(&self, connection: &Connection) -> Duration {
        let heard = connection.heard.load(Ordering::Relaxed);
        Duration::from_millis(self.millis().saturating_sub(heard))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so that a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
