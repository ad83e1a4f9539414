use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use palisade_core::{BoxError, BoxFuture, Clock, SystemClock};

use super::storage::{MAX_PER_SUBJECT, NewSession, SessionId, SessionStorage};

/// Stores sessions in the memory of this process, which end when it does. For one process, and for tests.
///
/// It holds a limited number of sessions, and 32 of one subject: a further one ends the one that expires first. If all
/// of them are in use, a login fails with 503 rather than ending the session of another caller. The time of each operation
/// grows with the logarithm of the number of sessions.
///
/// ```
/// use palisade_auth::{InMemorySessions, SessionManager};
///
/// let sessions = SessionManager::<(), _>::builder(InMemorySessions::new(10_000)).build()?;
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct InMemorySessions {
    sessions: Arc<Mutex<Stored>>,
    max_sessions: usize,
    clock: Arc<dyn Clock>,
}

/// The sessions, and two indexes of all of them.
#[derive(Default)]
struct Stored {
    by_id: HashMap<SessionId, Session>,
    by_expiry: BTreeSet<(Duration, SessionId)>,
    by_subject: HashMap<Arc<str>, Vec<SessionId>>,
}

struct Session {
    subject: Arc<str>,
    data: String,
    /// By the monotonic clock.
    expires: Duration,
    ends: Duration,
}

impl Stored {
    fn insert(&mut self, id: SessionId, session: Session) {
        self.remove(id);
        self.by_expiry.insert((session.expires, id));
        self.by_subject.entry(Arc::clone(&session.subject)).or_default().push(id);
        self.by_id.insert(id, session);
    }

    fn remove(&mut self, id: SessionId) {
        let Some(session) = self.by_id.remove(&id) else { return };
        self.by_expiry.remove(&(session.expires, id));
        if let Some(ids) = self.by_subject.get_mut(&session.subject) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_subject.remove(&session.subject);
            }
        }
    }

    /// Removes the sessions that have expired.
    fn remove_expired(&mut self, now: Duration) {
        while let Some((_, id)) = self.by_expiry.first().filter(|(expires, _)| *expires <= now) {
            self.remove(*id);
        }
    }

    /// Returns the session of a subject that expires first, if the subject has as many as it may have.
    fn first_of_many(&self, subject: &str) -> Option<SessionId> {
        let ids = self.by_subject.get(subject).filter(|ids| ids.len() >= MAX_PER_SUBJECT)?;
        ids.iter().copied().min_by_key(|id| self.by_id.get(id).map(|session| session.expires))
    }

    fn set_expiry(&mut self, id: SessionId, expires: Duration) {
        if let Some(session) = self.by_id.get_mut(&id) {
            self.by_expiry.remove(&(session.expires, id));
            self.by_expiry.insert((expires, id));
            session.expires = expires;
        }
    }
}

impl InMemorySessions {
    /// Creates an empty storage for this number of sessions.
    pub fn new(max_sessions: usize) -> Self {
        Self { sessions: Arc::default(), max_sessions, clock: SystemClock::shared() }
    }

    /// Uses this clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn sessions(&self) -> MutexGuard<'_, Stored> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, new: NewSession) -> Result<(), BoxError> {
        let now = self.clock.monotonic();
        let mut sessions = self.sessions();
        sessions.remove_expired(now);
        if let Some(first) = sessions.first_of_many(&new.subject) {
            sessions.remove(first);
        }
        if sessions.by_id.len() >= self.max_sessions {
            return Err(format!(
                "{} sessions are in use: raise the limit of `InMemorySessions::new`",
                sessions.by_id.len()
            )
            .into());
        }
        let ends = now.saturating_add(new.ends_in);
        let expires = now.saturating_add(new.idle).min(ends);
        let session = Session { subject: new.subject.into(), data: new.data, expires, ends };
        sessions.insert(new.id, session);
        Ok(())
    }

    fn get(&self, id: SessionId, idle: Duration) -> Option<String> {
        let now = self.clock.monotonic();
        let mut sessions = self.sessions();
        sessions.remove_expired(now);
        let session = sessions.by_id.get(&id)?;
        let (expires, data) = (now.saturating_add(idle).min(session.ends), session.data.clone());
        sessions.set_expiry(id, expires);
        Some(data)
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
        self.sessions().remove(id);
        Box::pin(ready(Ok(())))
    }

    fn remove_all(&self, subject: &str) -> BoxFuture<Result<(), BoxError>> {
        let mut sessions = self.sessions();
        for id in sessions.by_subject.get(subject).cloned().unwrap_or_default() {
            sessions.remove(id);
        }
        Box::pin(ready(Ok(())))
    }
}

impl fmt::Debug for InMemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemorySessions")
            .field("sessions", &self.sessions().by_id.len())
            .field("max_sessions", &self.max_sessions)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use palisade_core::ManualClock;

    use super::*;

    fn session(number: usize, subject: &str) -> NewSession {
        NewSession {
            id: SessionId::of_token(&number.to_string()),
            subject: subject.to_owned(),
            data: number.to_string(),
            idle: Duration::from_secs(10),
            ends_in: Duration::from_secs(100),
        }
    }

    /// All indexes contain the same sessions.
    fn check(storage: &InMemorySessions) -> usize {
        let stored = storage.sessions();
        let sessions = stored.by_id.len();
        assert_eq!(stored.by_expiry.len(), sessions);
        assert_eq!(stored.by_subject.values().map(Vec::len).sum::<usize>(), sessions);
        assert!(stored.by_subject.values().all(|ids| !ids.is_empty()));
        for (expires, id) in &stored.by_expiry {
            assert_eq!(stored.by_id[id].expires, *expires);
        }
        sessions
    }

    #[test]
    fn indexes_follow_every_change() {
        let clock = ManualClock::at(Duration::ZERO);
        let storage = InMemorySessions::new(1000).clock(Arc::new(clock.clone()));
        let idle = Duration::from_secs(10);
        for number in 0..2000 {
            let subject = format!("subject {}", number % 7);
            storage.put(session(number, &subject)).unwrap();
            let earlier = SessionId::of_token(&(number / 2).to_string());
            storage.get(earlier, idle);
            if number % 3 == 0 {
                storage.sessions().remove(earlier);
            }
            clock.advance(Duration::from_millis(100));
            check(&storage);
        }
        assert!(check(&storage) > 0);
        clock.advance(Duration::from_secs(11));
        storage.put(session(0, "another")).unwrap();
        assert_eq!(check(&storage), 1, "all others have expired");
        storage.put(session(0, "again")).unwrap();
        assert_eq!(check(&storage), 1, "the same id");
    }

    #[test]
    fn session_in_use_is_not_evicted_for_another_caller() {
        let clock = ManualClock::at(Duration::ZERO);
        let storage = InMemorySessions::new(2).clock(Arc::new(clock.clone()));
        let id = SessionId::of_token("0");
        storage.put(session(0, "ada")).unwrap();
        storage.put(session(1, "grace")).unwrap();
        clock.advance(Duration::from_secs(9));
        assert!(storage.get(id, Duration::from_secs(10)).is_some());
        assert!(storage.put(session(2, "eve")).is_err(), "full");
        clock.advance(Duration::from_secs(1));
        storage.put(session(2, "eve")).unwrap();
        assert_eq!(storage.get(id, Duration::from_secs(10)).as_deref(), Some("0"));
    }
}
