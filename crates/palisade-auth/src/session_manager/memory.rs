use std::{
    collections::HashMap,
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, SystemClock};

use super::storage::{NewSession, SessionId, SessionStorage};

/// More devices than one person logs in with.
const MAX_PER_SUBJECT: usize = 32;

/// Sessions in the memory of this process, which end when it does. For one process, and for tests.
///
/// It holds a limited number of sessions, and 32 of one subject: a further one ends the one that expires first. Where
/// all of them are in use, a login fails with 503 rather than ending the session of another caller.
///
/// ```
/// use palisade_auth::{InMemorySessions, SessionManager};
///
/// let sessions = SessionManager::<(), _>::builder(InMemorySessions::new(10_000)).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct InMemorySessions {
    sessions: Arc<Mutex<HashMap<SessionId, Session>>>,
    max_sessions: usize,
    clock: Arc<dyn Clock>,
}

struct Session {
    subject: String,
    data: String,
    /// By the monotonic clock.
    expires: Duration,
    ends: Duration,
}

impl InMemorySessions {
    /// Returns an empty storage for this number of sessions.
    pub fn new(max_sessions: usize) -> Self {
        Self { sessions: Arc::default(), max_sessions, clock: SystemClock::shared() }
    }

    /// Sets the clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, new: NewSession) -> Result<(), BoxError> {
        let now = self.clock.monotonic();
        let mut sessions = self.sessions();
        let of_subject: Vec<_> = sessions
            .iter()
            .filter(|(_, session)| session.subject == new.subject)
            .map(|(id, session)| (session.expires, *id))
            .collect();
        if of_subject.len() >= MAX_PER_SUBJECT
            && let Some((_, first)) = of_subject.iter().min_by_key(|(expires, _)| *expires)
        {
            sessions.remove(first);
        }
        if sessions.len() >= self.max_sessions {
            sessions.retain(|_, session| now < session.expires);
        }
        if sessions.len() >= self.max_sessions {
            return Err(format!(
                "{} sessions are in use: raise the limit of `InMemorySessions::new`",
                sessions.len()
            )
            .into());
        }
        let ends = now.saturating_add(new.ends_in);
        let expires = now.saturating_add(new.idle).min(ends);
        let session = Session { subject: new.subject, data: new.data, expires, ends };
        sessions.insert(new.id, session);
        Ok(())
    }

    fn get(&self, id: SessionId, idle: Duration) -> Option<String> {
        let now = self.clock.monotonic();
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&id)?;
        if now >= session.expires {
            sessions.remove(&id);
            return None;
        }
        session.expires = now.saturating_add(idle).min(session.ends);
        Some(session.data.clone())
    }
}

impl SessionStorage for InMemorySessions {
    fn insert(&self, session: NewSession) -> BoxFuture<Result<(), BoxError>> {
        Box::pin(ready(self.put(session)))
    }

    fn find(&self, id: SessionId, idle: Duration) -> BoxFuture<Result<Option<String>, BoxError>> {
        Box::pin(ready(Ok(self.get(id, idle))))
    }

    fn remove(&self, id: SessionId) -> BoxFuture<Result<(), BoxError>> {
        self.sessions().remove(&id);
        Box::pin(ready(Ok(())))
    }

    fn remove_all(&self, subject: &str) -> BoxFuture<Result<(), BoxError>> {
        self.sessions().retain(|_, session| session.subject != subject);
        Box::pin(ready(Ok(())))
    }
}

impl fmt::Debug for InMemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemorySessions")
            .field("sessions", &self.sessions().len())
            .field("max_sessions", &self.max_sessions)
            .finish_non_exhaustive()
    }
}
