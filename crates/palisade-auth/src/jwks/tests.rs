//! The engine with a client that does what a test says, on a clock that a test moves.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, Uri, header};
use palisade_core::{ApiError, BoxError, BoxFuture, ManualClock};
use tokio::sync::Semaphore;

use super::{
    Fetch, Fetched, Jwks, JwksBuilder,
    remote::{KeySet, Lookup, RemoteKeys},
};

const URL: &str = "https://issuer.example/keys";

/// A key set of which only the ids are left: `a b c`.
#[derive(Debug)]
struct Ids(Vec<String>);

impl KeySet for Ids {
    fn parse(document: &[u8]) -> Result<Self, BoxError> {
        match std::str::from_utf8(document)? {
            "garbage" => Err("garbage".into()),
            "panic" => panic!("a parser with a mistake in it"),
            ids => Ok(Self(ids.split(' ').map(str::to_owned).collect())),
        }
    }

    fn has_key_id(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }
}

/// What the issuer does. Clones are the same issuer.
#[derive(Clone)]
struct Issuer(Arc<Script>);

struct Script {
    documents: Mutex<HashMap<String, Option<Fetched>>>,
    asked: AtomicUsize,
    doors: Semaphore,
}

impl Issuer {
    fn with(ids: &str) -> Self {
        let issuer = Self(Arc::new(Script {
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

    /// Lets requests in and answers none of them, until `open`.
    fn stall(&self) {
        self.0.doors.forget_permits(Semaphore::MAX_PERMITS);
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
            let _in = script.doors.acquire().await?;
            let document = script.documents.lock().unwrap().get(&url).cloned().flatten();
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
            Lookup::Ready(keys) => Ok(keys.has_key_id(id)),
            Lookup::Wait(keys) => Ok(keys.await?.has_key_id(id)),
            Lookup::Unknown => Ok(false),
            Lookup::Unavailable(error) => Err(error),
        }
    }

    fn is_ready(&self, id: &str) -> bool {
        matches!(self.keys.keys_for(Some(id)), Lookup::Ready(_))
    }
}

/// Lets tasks that can go on do so.
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

// === the first keys ===

#[tokio::test]
async fn the_first_request_loads_the_keys_and_the_next_finds_them() {
    let setup = setup();
    assert!(setup.keys.current().is_none());
    assert_eq!(setup.keys.generation(), 0);
    assert!(setup.finds("a").await.unwrap());
    assert!(setup.is_ready("b"));
    assert!(matches!(setup.keys.keys_for(None), Lookup::Ready(_)));
    assert_eq!(setup.keys.generation(), 1);
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn a_thousand_first_requests_share_one_fetch() {
    let setup = setup();
    setup.issuer.stall();
    let waits: Vec<_> = (0..1000)
        .map(|_| match setup.keys.keys_for(None) {
            Lookup::Wait(keys) => keys,
            _ => panic!("there are no keys yet"),
        })
        .collect();
    settle().await;
    setup.issuer.open();
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn without_keys_the_answer_is_503_and_the_issuer_is_left_alone_for_a_while() {
    let setup = setup();
    setup.issuer.die();
    assert_503(&setup.finds("a").await.unwrap_err());
    for id in 0..1000 {
        assert_503(&setup.finds(&id.to_string()).await.unwrap_err());
    }
    assert!(matches!(setup.keys.keys_for(None), Lookup::Unavailable(_)));
    assert_eq!(setup.issuer.asked(), 1);

    setup.issuer.publish("a");
    setup.pass(2);
    assert!(setup.finds("a").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_of_an_unknown_key_that_caused_the_first_fetch_does_not_cause_a_second() {
    let setup = setup();
    assert!(!setup.finds("x").await.unwrap());
    assert!(!setup.finds("x").await.unwrap());
    assert_eq!(setup.issuer.asked(), 1);
}

#[tokio::test]
async fn garbage_is_a_failure_and_never_a_set() {
    let setup = setup();
    setup.issuer.publish("garbage");
    assert_503(&setup.finds("a").await.unwrap_err());
    let setup = loaded().await;
    setup.issuer.publish("garbage");
    assert!(setup.keys.load().await.is_err());
    assert!(setup.is_ready("a"));
    assert_eq!(setup.keys.status().failures, 1);
}

#[tokio::test]
async fn a_document_over_the_cap_is_a_failure_whoever_fetched_it() {
    let setup = setup();
    setup.issuer.publish(&"a ".repeat(200 * 1024));
    assert_503(&setup.finds("a").await.unwrap_err());
}

#[tokio::test]
async fn a_parser_that_panics_fails_the_fetch_and_blocks_nobody() {
    let setup = setup();
    setup.issuer.publish("panic");
    assert_503(&setup.finds("a").await.unwrap_err());
    setup.issuer.publish("a");
    setup.pass(2);
    assert!(setup.finds("a").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_stalls_is_given_up() {
    let setup = setup();
    setup.issuer.stall();
    let before = tokio::time::Instant::now();
    assert_503(&setup.finds("a").await.unwrap_err());
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    let setup = setup();
    match setup.keys.keys_for(None) {
        Lookup::Unavailable(error) => assert_503(&error),
        _ => panic!("nobody can fetch"),
    }
}

#[test]
fn a_runtime_that_shuts_down_in_the_middle_of_a_fetch_leaves_the_way_free_for_the_next() {
    let setup = setup();
    setup.issuer.stall();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let wait = first.block_on(async { setup.keys.keys_for(None) });
    drop(first);
    let second = runtime();
    second.block_on(async {
        let Lookup::Wait(wait) = wait else { panic!("there are no keys yet") };
        assert_503(&wait.await.unwrap_err());
        setup.issuer.open();
        setup.pass(2);
        assert!(setup.finds("a").await.unwrap());
    });
}

// === unknown keys ===

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_names_it() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    assert!(setup.finds("new").await.unwrap());
    assert!(setup.is_ready("new"));
    assert_eq!(setup.keys.generation(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_at_once_for_an_unknown_key_cause_one_fetch() {
    let setup = Arc::new(loaded().await);
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.finds("x").await })
        })
        .collect();
    for request in requests {
        assert!(!request.await.unwrap().unwrap());
    }
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn key_ids_made_up_at_random_cannot_cause_a_second_fetch_within_the_cool_down() {
    let setup = loaded().await;
    for id in 0..1000 {
        assert!(!setup.finds(&format!("random {id}")).await.unwrap());
    }
    assert_eq!(setup.issuer.asked(), 2);
    setup.pass(29);
    assert!(!setup.finds("another").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
    setup.pass(1);
    assert!(!setup.finds("another").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    assert!(setup.is_ready("a"));
}

#[tokio::test]
async fn a_key_that_is_known_to_be_absent_does_not_use_up_the_try_of_an_honest_one() {
    let setup = loaded().await;
    assert!(!setup.finds("stale").await.unwrap());
    setup.pass(30);
    assert!(!setup.finds("stale").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    setup.pass(30);
    // the cool-down is over, and this id has been absent twice: it is not asked for
    assert!(!setup.finds("stale").await.unwrap());
    assert_eq!(setup.issuer.asked(), 3);
    setup.issuer.publish("a b new");
    assert!(setup.finds("new").await.unwrap());
    assert_eq!(setup.issuer.asked(), 4);
}

#[tokio::test]
async fn a_key_id_over_the_cap_is_nobodys() {
    let setup = setup();
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(257))), Lookup::Unknown));
    assert_eq!(setup.issuer.asked(), 0);
    assert!(matches!(setup.keys.keys_for(Some(&"k".repeat(256))), Lookup::Wait(_)));
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_started_it_is_gone() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    setup.issuer.stall();
    let first = setup.keys.keys_for(Some("new"));
    let Lookup::Wait(second) = setup.keys.keys_for(Some("new")) else { panic!("it is not there") };
    drop(first);
    settle().await;
    setup.issuer.open();
    assert!(second.await.unwrap().has_key_id("new"));
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn a_fetch_that_nobody_waits_for_any_more_still_brings_the_keys() {
    let setup = loaded().await;
    setup.issuer.publish("a b new");
    drop(setup.keys.keys_for(Some("new")));
    settle().await;
    assert!(setup.is_ready("new"));
}

#[tokio::test]
async fn known_keys_do_not_wait_for_a_fetch_that_is_under_way() {
    let setup = loaded().await;
    setup.issuer.stall();
    let _waiting = setup.keys.keys_for(Some("new"));
    settle().await;
    assert!(setup.is_ready("a"));
    assert!(matches!(setup.keys.keys_for(None), Lookup::Ready(_)));
}

#[tokio::test]
async fn while_the_issuer_is_down_an_unknown_key_is_503_and_not_401() {
    let setup = loaded().await;
    setup.issuer.die();
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("new").await.unwrap_err());
    assert_503(&setup.finds("newer").await.unwrap_err());
    assert_eq!(setup.issuer.asked(), 2);
    setup.issuer.publish("a b new");
    setup.pass(30);
    assert!(setup.finds("new").await.unwrap());
    assert!(!setup.finds("newer").await.unwrap());
}

// === refresh ===

#[tokio::test]
async fn keys_are_refreshed_in_the_background_before_they_expire() {
    let setup = loaded().await;
    setup.issuer.publish("c");
    setup.pass(479);
    assert!(setup.is_ready("a"));
    settle().await;
    assert_eq!(setup.issuer.asked(), 1);
    setup.pass(1);
    for _ in 0..10 {
        assert!(setup.is_ready("a"), "whoever starts the refresh does not wait for it");
    }
    settle().await;
    assert_eq!(setup.issuer.asked(), 2);
    assert!(setup.is_ready("c"));
    assert!(!setup.is_ready("a"), "a key that was withdrawn is gone");
}

#[tokio::test]
async fn looking_at_the_generation_is_enough_to_keep_the_keys_fresh() {
    let setup = loaded().await;
    for _ in 0..20 {
        setup.pass(500);
        assert_eq!(setup.keys.generation(), 1);
        settle().await;
    }
    assert_eq!(setup.issuer.asked(), 21);
}

#[tokio::test]
async fn the_same_document_is_the_same_generation() {
    let setup = loaded().await;
    let before = setup.keys.current().unwrap();
    setup.keys.load().await.unwrap();
    assert_eq!(setup.keys.generation(), 1);
    assert!(Arc::ptr_eq(&before, &setup.keys.current().unwrap()));
    setup.issuer.publish("a");
    setup.keys.load().await.unwrap();
    assert_eq!(setup.keys.generation(), 2);
}

#[tokio::test]
async fn the_issuer_says_how_long_keys_are_kept_within_reason() {
    for (max_age, refreshed_at) in [(0, 48), (1000, 800), (u64::MAX, 2880)] {
        let setup = setup();
        let document = Fetched::new("a").with_max_age(Duration::from_secs(max_age));
        setup.issuer.serve(URL, Some(document));
        setup.keys.load().await.unwrap();
        setup.pass(refreshed_at - 1);
        assert!(setup.is_ready("a"));
        settle().await;
        assert_eq!(setup.issuer.asked(), 1, "{max_age}");
        setup.pass(1);
        assert!(setup.is_ready("a"));
        settle().await;
        assert_eq!(setup.issuer.asked(), 2, "{max_age}");
    }
}

#[tokio::test]
async fn old_keys_are_served_while_the_issuer_is_down_and_not_for_ever() {
    let setup = loaded().await;
    setup.issuer.die();
    let mut elapsed = 0;
    while elapsed < 600 + 3600 - 10 {
        setup.pass(10);
        elapsed += 10;
        assert!(setup.is_ready("a"), "after {elapsed} s");
        settle().await;
    }
    // one try every 30 to 60 s since the refresh was due, and not one per request
    let tries = setup.issuer.asked();
    assert!((50..140).contains(&tries), "{tries}");
    assert_eq!(setup.keys.generation(), 1);
    assert_eq!(setup.keys.status().failures as usize, tries - 1);

    setup.pass(10);
    assert_eq!(setup.keys.generation(), 0);
    assert!(setup.keys.current().is_none());
    assert_503(&setup.finds("a").await.unwrap_err());

    setup.issuer.publish("a b");
    setup.pass(60);
    assert!(setup.finds("a").await.unwrap());
}

#[tokio::test]
async fn keys_that_nobody_used_for_hours_are_loaded_anew_before_they_are_believed() {
    let setup = loaded().await;
    setup.issuer.publish("c");
    setup.pass(10 * 3600);
    assert!(!setup.finds("a").await.unwrap());
    assert!(setup.is_ready("c"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_there_is_never_more_than_one_fetch_in_flight() {
    struct Careful(Issuer, Arc<AtomicUsize>, Arc<AtomicUsize>);
    impl Fetch for Careful {
        fn fetch(&self, url: &Uri) -> BoxFuture<Result<Fetched, BoxError>> {
            let (inside, most) = (Arc::clone(&self.1), Arc::clone(&self.2));
            let answer = self.0.fetch(url);
            Box::pin(async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let answer = answer.await;
                inside.fetch_sub(1, Ordering::SeqCst);
                answer
            })
        }
    }
    let most = Arc::new(AtomicUsize::new(0));
    let issuer = Issuer::with("a b");
    let clock = ManualClock::default();
    let keys: RemoteKeys<Ids> = Jwks::url(URL)
        .fetch(Careful(issuer.clone(), Arc::default(), Arc::clone(&most)))
        .clock(Arc::new(clock.clone()))
        .remote()
        .unwrap();
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (keys, clock) = (keys.clone(), clock.clone());
            tokio::spawn(async move {
                for round in 0..2000 {
                    clock.advance(Duration::from_millis(500));
                    let id = if round % 3 == 0 { format!("{worker}-{round}") } else { "a".into() };
                    match keys.keys_for(Some(&id)) {
                        Lookup::Wait(keys) => drop(keys.await.unwrap()),
                        Lookup::Unavailable(error) => panic!("{error:?}"),
                        Lookup::Ready(_) | Lookup::Unknown => {}
                    }
                    if round % 50 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert!(issuer.asked() > 10);
}

// === discovery ===

const METADATA: &str = "https://issuer.example/.well-known/openid-configuration";

fn discovering(metadata: &str) -> Setup {
    let setup = setup();
    setup.issuer.serve(METADATA, Some(Fetched::new(metadata.to_owned())));
    let keys = Jwks::issuer("https://issuer.example")
        .fetch(setup.issuer.clone())
        .clock(Arc::new(setup.clock.clone()))
        .remote()
        .unwrap();
    Setup { keys, ..setup }
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let setup = discovering(
        r#"{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"}"#,
    );
    assert!(setup.finds("a").await.unwrap());
    assert_eq!(setup.issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_that_says_it_is_another_is_not_asked_for_keys() {
    let setup = discovering(
        r#"{"issuer":"https://issuer.example/","jwks_uri":"https://issuer.example/keys"}"#,
    );
    assert_503(&setup.finds("a").await.unwrap_err());
    assert_eq!(setup.issuer.asked(), 1);
}

// === settings ===

#[test]
fn settings_that_cannot_be_right_are_named() {
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

#[tokio::test]
async fn keys_that_may_not_be_stale_are_waited_for_when_they_expire() {
    let setup = setup_with(|builder| builder.max_stale(Duration::ZERO));
    setup.keys.load().await.unwrap();
    setup.pass(599);
    setup.issuer.die();
    assert!(setup.is_ready("a"));
    settle().await;
    setup.pass(1);
    assert_503(&setup.finds("a").await.unwrap_err());
}
