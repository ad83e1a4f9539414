//! Sessions that the service begins and ends itself: in memory, and in a real Redis.

#[cfg(feature = "redis")]
mod in_redis;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, header};
use palisade_auth::{
    Identity, InMemorySessions, NewSession, SameSite, SessionId, SessionManager, SessionStorage,
};
use palisade_core::{BoxError, BoxFuture, Decision, Halt, ManualClock, Policy, Principal};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

fn user() -> User {
    User { name: "Ada".to_owned() }
}

fn ada() -> Principal {
    Principal::new("ada")
        .issued_by("here")
        .with_roles(["editor"])
        .with_tenant_roles("acme", ["admin"])
}

/// The headers of a browser that took these `Set-Cookie` fields.
fn browser(set_cookie: &HeaderValue) -> HeaderMap {
    let pair = set_cookie.to_str().unwrap().split(';').next().unwrap();
    HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(pair).unwrap())])
}

fn token(set_cookie: &HeaderValue) -> String {
    let pair = set_cookie.to_str().unwrap().split(';').next().unwrap();
    pair.split_once('=').unwrap().1.to_owned()
}

/// The identity that a request with these headers has, or the status of the refusal.
async fn whoami<S: SessionStorage>(
    manager: &SessionManager<User, S>,
    headers: &HeaderMap,
) -> Result<Identity<User>, u16> {
    let auth = manager.sessions().build().unwrap();
    let (mut head, ()) = Request::get("/").body(()).unwrap().into_parts();
    head.headers = headers.clone();
    let outcome = match auth.decide(&head) {
        Decision::Now(outcome) => outcome,
        Decision::Later(decision) => decision.await,
    };
    match outcome {
        Ok(identity) => Ok(identity.unwrap()),
        Err(Halt::Refuse(error)) => Err(error.status().as_u16()),
        Err(Halt::Reply(reply)) => panic!("{reply:?}"),
    }
}

/// What holds for every storage.
async fn keeps_sessions<S: SessionStorage>(manager: &SessionManager<User, S>) {
    let anonymous = HeaderMap::new();
    let phone = browser(&manager.log_in(&anonymous, &ada(), user()).await.unwrap());
    let identity = whoami(manager, &phone).await.unwrap();
    assert_eq!((identity.claims(), identity.principal()), (&user(), &ada()));
    assert_eq!(identity.principal().method(), "session");
    assert!(identity.principal().in_tenant("acme").unwrap().has_role("admin"));

    // another device is another session
    let laptop = browser(&manager.log_in(&anonymous, &ada(), user()).await.unwrap());
    assert_ne!(phone, laptop);
    assert!(whoami(manager, &phone).await.is_ok() && whoami(manager, &laptop).await.is_ok());

    // a login over a session ends it, also that of another caller
    let eve = Principal::new("ada").issued_by("elsewhere");
    let again = browser(&manager.log_in(&phone, &eve, user()).await.unwrap());
    assert_eq!(whoami(manager, &phone).await.unwrap_err(), 401);
    assert_eq!(whoami(manager, &again).await.unwrap().principal(), &eve);

    // a token that an attacker plants is not adopted
    let planted = browser(&HeaderValue::from_static("__Host-session=planted"));
    let own = browser(&manager.log_in(&planted, &ada(), user()).await.unwrap());
    assert_eq!(whoami(manager, &planted).await.unwrap_err(), 401);
    assert!(whoami(manager, &own).await.is_ok());

    // a renewed session has another token and the same caller
    let renewed = browser(&manager.renew(&own).await.unwrap().unwrap());
    assert_eq!(whoami(manager, &own).await.unwrap_err(), 401);
    assert_eq!(whoami(manager, &renewed).await.unwrap().principal(), &ada());
    assert!(manager.renew(&own).await.unwrap().is_none());
    assert!(manager.renew(&anonymous).await.unwrap().is_none());

    // one logout ends one session, and one everywhere those of its caller alone
    let removed = manager.log_out(&renewed).await.unwrap();
    assert!(removed.to_str().unwrap().starts_with("__Host-session=; Path=/; Max-Age=0;"));
    assert_eq!(whoami(manager, &renewed).await.unwrap_err(), 401);
    assert!(whoami(manager, &laptop).await.is_ok());
    manager.log_out(&anonymous).await.unwrap();
    let tablet = browser(&manager.log_in(&anonymous, &ada(), user()).await.unwrap());
    manager.log_out_everywhere(&ada()).await.unwrap();
    assert_eq!(whoami(manager, &laptop).await.unwrap_err(), 401);
    assert_eq!(whoami(manager, &tablet).await.unwrap_err(), 401);
    assert!(whoami(manager, &again).await.is_ok(), "the same subject of another issuer");

    // a token is found whole or not at all
    for other in ["", "x", &"a".repeat(43), &"a".repeat(10_000)] {
        let headers = HeaderMap::from_iter([(
            header::COOKIE,
            HeaderValue::try_from(format!("__Host-session={other}")).unwrap(),
        )]);
        assert_eq!(whoami(manager, &headers).await.unwrap_err(), 401, "{other}");
        manager.log_out(&headers).await.unwrap();
    }
}

/// A storage in which another request ends all sessions of the subject of each session that is inserted.
#[derive(Clone)]
struct LogsOut<S> {
    storage: S,
    before_the_insertion: bool,
    inserted: Arc<Mutex<Vec<SessionId>>>,
    is_on: Arc<AtomicBool>,
}

impl<S: SessionStorage + Clone> SessionStorage for LogsOut<S> {
    fn insert(&self, session: NewSession) -> BoxFuture<Result<(), BoxError>> {
        let this = self.clone();
        Box::pin(async move {
            let (id, subject) = (session.id, session.subject.clone());
            let is_on = this.is_on.load(Ordering::SeqCst);
            if is_on && this.before_the_insertion {
                this.storage.remove_all(&subject).await?;
            }
            this.storage.insert(session).await?;
            this.inserted.lock().unwrap().push(id);
            if is_on && !this.before_the_insertion {
                this.storage.remove_all(&subject).await?;
            }
            Ok(())
        })
    }
    fn find(&self, id: SessionId, idle: Duration) -> BoxFuture<Result<Option<String>, BoxError>> {
        self.storage.find(id, idle)
    }
    fn remove(&self, id: SessionId) -> BoxFuture<Result<(), BoxError>> {
        self.storage.remove(id)
    }
    fn remove_all(&self, subject: &str) -> BoxFuture<Result<(), BoxError>> {
        self.storage.remove_all(subject)
    }
}

/// A renewal beside a logout from everywhere leaves no session, in whichever order they run.
async fn renewal_resurrects_no_session<S: SessionStorage + Clone>(storage: S) {
    for before_the_insertion in [true, false] {
        let storage = LogsOut {
            storage: storage.clone(),
            before_the_insertion,
            inserted: Arc::default(),
            is_on: Arc::default(),
        };
        let manager = SessionManager::<User, _>::builder(storage.clone()).build().unwrap();
        let session = browser(&manager.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap());
        storage.is_on.store(true, Ordering::SeqCst);
        assert!(manager.renew(&session).await.unwrap().is_none(), "{before_the_insertion}");
        assert_eq!(whoami(&manager, &session).await.unwrap_err(), 401);
        let inserted = storage.inserted.lock().unwrap().clone();
        assert_eq!(inserted.len(), 2);
        for id in inserted {
            let found = storage.find(id, Duration::from_secs(60)).await.unwrap();
            assert_eq!(found, None, "{before_the_insertion}");
        }
    }
    // And in whichever way their steps interleave.
    let manager = SessionManager::<User, _>::builder(storage).build().unwrap();
    for round in 0..30 {
        let session = browser(&manager.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap());
        let renewals: Vec<_> = (0..4)
            .map(|_| {
                let (manager, session) = (manager.clone(), session.clone());
                tokio::spawn(async move { manager.renew(&session).await.unwrap() })
            })
            .collect();
        for _ in 0..round % 10 {
            tokio::task::yield_now().await;
        }
        manager.log_out_everywhere(&ada()).await.unwrap();
        for renewal in renewals {
            let Some(cookie) = renewal.await.unwrap() else { continue };
            // The renewal may have begun after the logout, but not with a session that had ended.
            assert_eq!(whoami(&manager, &browser(&cookie)).await.unwrap_err(), 401, "{round}");
        }
        assert_eq!(whoami(&manager, &session).await.unwrap_err(), 401);
    }
}

fn in_memory(clock: &ManualClock) -> SessionManager<User, InMemorySessions> {
    let clock = Arc::new(clock.clone());
    SessionManager::builder(InMemorySessions::new(40).clock(clock.clone()))
        .idle_timeout(Duration::from_secs(60))
        .lifetime(Duration::from_secs(150))
        .clock(clock)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renewal_in_memory_never_restores_a_removed_session() {
    renewal_resurrects_no_session(InMemorySessions::new(100)).await;
}

#[tokio::test]
async fn sessions_are_kept_in_memory() {
    keeps_sessions(&in_memory(&ManualClock::default())).await;
}

#[tokio::test]
async fn session_ends_when_idle_and_at_the_end_of_its_lifetime() {
    let clock = ManualClock::at(Duration::from_secs(1_800_000_000));
    let manager = in_memory(&clock);
    let begin = async || browser(&manager.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap());
    let idle = begin().await;
    clock.advance(Duration::from_millis(59_999));
    assert!(whoami(&manager, &idle).await.is_ok());
    clock.advance(Duration::from_secs(60));
    assert_eq!(whoami(&manager, &idle).await.unwrap_err(), 401);

    let mut used = begin().await;
    for _ in 0..2 {
        clock.advance(Duration::from_secs(50));
        assert!(whoami(&manager, &used).await.is_ok(), "each request puts the end off");
    }
    // another token is not another lifetime
    let renewed = manager.renew(&used).await.unwrap().unwrap();
    assert!(renewed.to_str().unwrap().contains("; Max-Age=50;"), "{renewed:?}");
    used = browser(&renewed);
    clock.advance(Duration::from_millis(49_999));
    assert!(whoami(&manager, &used).await.is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(whoami(&manager, &used).await.unwrap_err(), 401);
}

#[tokio::test]
async fn manager_ends_expired_sessions_that_the_storage_keeps() {
    let clock = ManualClock::default();
    // the storage's time stands still
    let storage = InMemorySessions::new(1).clock(Arc::new(ManualClock::default()));
    let manager = SessionManager::<User, _>::builder(storage)
        .clock(Arc::new(clock.clone()))
        .lifetime(Duration::from_secs(1800))
        .build()
        .unwrap();
    let session = browser(&manager.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap());
    clock.advance(Duration::from_millis(1_799_999));
    assert!(whoami(&manager, &session).await.is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(whoami(&manager, &session).await.unwrap_err(), 401);
    assert!(manager.renew(&session).await.unwrap().is_none());
}

#[tokio::test]
async fn memory_is_limited_in_total_and_per_caller() {
    let clock = ManualClock::default();
    let manager = in_memory(&clock);
    let log_in = async |subject: String| {
        manager.log_in(&HeaderMap::new(), &Principal::new(subject), user()).await
    };
    let first = browser(&log_in("ada".to_owned()).await.unwrap());
    clock.advance(Duration::from_secs(1));
    let second = browser(&log_in("ada".to_owned()).await.unwrap());
    for _ in 0..31 {
        log_in("ada".to_owned()).await.unwrap();
    }
    assert_eq!(whoami(&manager, &first).await.unwrap_err(), 401, "the oldest of the caller's");
    assert!(whoami(&manager, &second).await.is_ok());

    for other in 0..8 {
        log_in(format!("user {other}")).await.unwrap();
    }
    assert_eq!(log_in("one too many".to_owned()).await.unwrap_err().status(), 503);
    assert!(whoami(&manager, &second).await.is_ok(), "no other caller is logged out for it");
    clock.advance(Duration::from_secs(60));
    log_in("now there is room".to_owned()).await.unwrap();
}

#[tokio::test]
async fn cookie_is_host_only_secure_and_http_only() {
    let strict = SessionManager::<User, _>::builder(InMemorySessions::new(10))
        .cookie("__Host-shop")
        .same_site(SameSite::Strict)
        .build()
        .unwrap();
    let set = strict.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap();
    let token = token(&set);
    assert_eq!(
        set.to_str().unwrap(),
        format!("__Host-shop={token}; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Strict")
    );
    assert!(token.len() == 43 && set.is_sensitive());
    assert!(whoami(&strict, &browser(&set)).await.is_ok());
    let shown = format!("{strict:?} {set:?}");
    assert!(!shown.contains(&token) && shown.contains("__Host-shop"), "{shown}");
}

#[test]
fn settings_without_effect_or_protection_are_errors() {
    let builder = || SessionManager::<User, _>::builder(InMemorySessions::new(1));
    let second = Duration::from_secs(1);
    for (builder, setting) in [
        (builder().cookie("session"), "cookie"),
        (builder().cookie("__Host-"), "cookie"),
        (builder().cookie("__Host-a b"), "cookie"),
        (builder().cookie("__host-session"), "cookie"),
        (builder().idle_timeout(Duration::from_millis(999)), "idle_timeout"),
        (builder().lifetime(2 * second).idle_timeout(3 * second), "idle_timeout"),
        (builder().lifetime(Duration::MAX), "lifetime"),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
}

#[tokio::test]
async fn failed_storage_is_503_and_large_claims_are_500() {
    struct Down;
    impl SessionStorage for Down {
        fn insert(&self, _: NewSession) -> BoxFuture<Result<(), BoxError>> {
            Box::pin(async { Err("the database at db.internal is down".into()) })
        }
        fn find(&self, _: SessionId, _: Duration) -> BoxFuture<Result<Option<String>, BoxError>> {
            Box::pin(async { Err("the database at db.internal is down".into()) })
        }
        fn remove(&self, _: SessionId) -> BoxFuture<Result<(), BoxError>> {
            Box::pin(async { Err("the database at db.internal is down".into()) })
        }
        fn remove_all(&self, _: &str) -> BoxFuture<Result<(), BoxError>> {
            Box::pin(async { Err("the database at db.internal is down".into()) })
        }
    }
    let manager = SessionManager::<User, _>::builder(Down).build().unwrap();
    let session = browser(&HeaderValue::from_static("__Host-session=abc"));
    let error = manager.log_in(&HeaderMap::new(), &ada(), user()).await.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(!error.to_string().contains("db.internal"), "the cause is for the log");
    assert_eq!(manager.log_out(&session).await.unwrap_err().status(), 503);
    assert_eq!(manager.renew(&session).await.unwrap_err().status(), 503);
    assert_eq!(manager.log_out_everywhere(&ada()).await.unwrap_err().status(), 503);
    assert_eq!(whoami(&manager, &session).await.unwrap_err(), 503);

    let large = User { name: "a".repeat(20_000) };
    assert_eq!(manager.log_in(&HeaderMap::new(), &ada(), large).await.unwrap_err().status(), 500);
}
