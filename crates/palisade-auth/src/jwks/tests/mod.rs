//! The engine with a scripted client, on a clock that the tests move.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, Uri, header};
use palisade_core::{ApiError, BoxError, BoxFuture, ManualClock};
use tokio::sync::Semaphore;

use super::{
    Jwks, JwksBuilder,
    key_set::KeySet,
    remote::{Lookup, RemoteKeys},
};
use crate::{Fetch, Fetched};

mod discovery;
mod first_keys;
mod missing_keys;
mod refresh;
mod rotation;

const URL: &str = "https://issuer.example/keys";

/// A key set that consists of key ids: `a b c`.
#[derive(Debug)]
struct Ids(Vec<String>);

impl KeySet for Ids {
    fn parse(document: &[u8], _: Option<&Self>) -> Result<Self, BoxError> {
        match std::str::from_utf8(document)? {
            "garbage" => Err("garbage".into()),
            "panic" => panic!("a bug in the parser"),
            ids => Ok(Self(ids.split_whitespace().map(str::to_owned).collect())),
        }
    }

    fn has_key_id(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A scripted issuer. Clones share the script.
#[derive(Clone)]
struct Issuer(Arc<Script>);

struct Script {
    /// Whether a stalled request reads its document before it waits.
    reads_first: AtomicBool,
    documents: Mutex<HashMap<String, Option<Fetched>>>,
    asked: AtomicUsize,
    doors: Semaphore,
}

impl Issuer {
    fn with(ids: &str) -> Self {
        let issuer = Self(Arc::new(Script {
            reads_first: AtomicBool::new(false),
            documents: Mutex::default(),
            asked: AtomicUsize::new(0),
            doors: Semaphore::new(Semaphore::MAX_PERMITS),
        }));
        issuer.publish(ids);
        issuer
    }

    fn serve(&self, url: &str, document: Option<Fetched>) {
        self.0.documents.lock().unwrap().insert(url.to_owned(), document);
    }

    fn publish(&self, ids: &str) {
        self.serve(URL, Some(Fetched::new(ids.to_owned())));
    }

    fn die(&self) {
        self.serve(URL, None);
    }

    /// Answers no request until `open`.
    fn stall(&self) {
        self.0.doors.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Answers no request until `open`, and then with the documents of the time of the request.
    fn delay_answers(&self) {
        self.0.reads_first.store(true, Ordering::SeqCst);
        self.stall();
    }

    fn open(&self) {
        self.0.doors.add_permits(Semaphore::MAX_PERMITS);
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Issuer {
    fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let script = Arc::clone(&self.0);
        let url = url.to_string();
        Box::pin(async move {
            let read = || script.documents.lock().unwrap().get(&url).cloned().flatten();
            let early = script.reads_first.load(Ordering::SeqCst).then(read);
            let _permit = script.doors.acquire().await?;
            let document = early.unwrap_or_else(read);
            document.ok_or_else(|| "the issuer is down".into())
        })
    }
}

struct Setup {
    issuer: Issuer,
    clock: ManualClock,
    keys: RemoteKeys<Ids>,
}

fn setup_with(settings: impl FnOnce(JwksBuilder) -> JwksBuilder) -> Setup {
    let issuer = Issuer::with("a b");
    let clock = ManualClock::default();
    let builder = Jwks::url(URL).fetch(issuer.clone()).clock(Arc::new(clock.clone()));
    let keys = settings(builder).remote().unwrap();
    Setup { issuer, clock, keys }
}

fn setup() -> Setup {
    setup_with(|builder| builder)
}

async fn loaded() -> Setup {
    let setup = setup();
    setup.keys.load().await.unwrap();
    setup
}

impl Setup {
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Asks as a request would. True: the key is there. False: 401.
    async fn finds(&self, id: &str) -> Result<bool, ApiError> {
        match self.keys.keys_for(Some(id)) {
            Lookup::Ready(found) => Ok(found.keys().has_key_id(id)),
            Lookup::Wait(found) => Ok(found.await?.keys().has_key_id(id)),
            Lookup::Unknown => Ok(false),
            Lookup::Unavailable(error) => Err(error),
        }
    }

    fn is_ready(&self, id: &str) -> bool {
        matches!(self.keys.keys_for(Some(id)), Lookup::Ready(_))
    }

    fn has_keys(&self) -> bool {
        matches!(self.keys.keys_for(None), Lookup::Ready(_))
    }
}

/// Runs all tasks that are not blocked.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn assert_503(error: &ApiError) {
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.headers().contains_key(header::RETRY_AFTER));
    assert!(!error.headers().contains_key(header::WWW_AUTHENTICATE));
}

#[test]
fn rejects_settings_out_of_range() {
    type Change = fn(JwksBuilder) -> JwksBuilder;
    let cases: [(&str, Change); 5] = [
        ("cache_for", |builder| builder.cache_for(Duration::ZERO)),
        ("cool_down", |builder| builder.cool_down(Duration::ZERO)),
        ("max_stale", |builder| builder.max_stale(Duration::MAX)),
        ("timeout", |builder| builder.timeout(Duration::ZERO)),
        ("timeout", |builder| builder.timeout(Duration::MAX)),
    ];
    for (setting, change) in cases {
        let builder = Jwks::url(URL).fetch(Issuer::with(""));
        assert_eq!(change(builder).build().unwrap_err().setting(), setting);
    }
    let error = Jwks::url("http://issuer.example/").fetch(Issuer::with("")).build().unwrap_err();
    assert!(error.to_string().contains("use https"), "{error}");
}
