//! HTTP Basic: what is read, who passes, and how many at once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, StatusCode, header, request};
use palisade_auth::{Attempt, Authenticate, Basic, Identity, Password};
use palisade_core::{
    ApiError, BoxError, Decision, Halt, Policy, Principal, Secret,
    testing::{Contract, Delay, Script},
};
use proptest::prelude::*;

const CHALLENGE: &str = "Basic realm=\"api\", charset=\"UTF-8\"";

type Grant = Option<Identity<u32>>;

fn auth() -> impl Authenticate<Claims = u32> + Policy<Grant = Grant> + Clone + std::fmt::Debug {
    let secret = Secret::from("correct: h\u{f6}rse");
    Basic::builder(move |user: String, password: Password| {
        let secret = secret.clone();
        async move {
            Delay::new(1).await;
            match &*user {
                "broken" => Err(BoxError::from("the table `users` is locked")),
                "ada" | "" if password.matches(&secret) => {
                    Ok(Some(Identity::new(7, Principal::new(user).with_roles(["admin"]))))
                }
                _ => Ok(None),
            }
        }
    })
    .build()
    .unwrap()
}

fn head(values: &[&[u8]]) -> request::Parts {
    let request = values.iter().fold(Request::get("/"), |request, value| {
        request.header(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())
    });
    request.body(()).unwrap().into_parts().0
}

fn field(user_pass: impl AsRef<[u8]>) -> String {
    format!("Basic {}", STANDARD.encode(user_pass))
}

fn ask(auth: &impl Policy<Grant = Grant>, field: &str) -> Result<Identity<u32>, ApiError> {
    finish(auth.decide(&head(&[field.as_bytes()]))).map(|grant| grant.expect("an identity"))
}

fn finish<G>(decision: Decision<G>) -> Result<G, ApiError> {
    let outcome = match decision {
        Decision::Now(outcome) => outcome,
        Decision::Later(decision) => {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(decision)
        }
    };
    outcome.map_err(|halt| match halt {
        Halt::Refuse(error) => error,
        Halt::Reply(reply) => panic!("{reply:?}"),
    })
}

fn challenge(error: &ApiError) -> &str {
    error.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[test]
fn correct_password_passes() {
    let good = field("ada:correct: h\u{f6}rse");
    for field in [&*good, &good.replace("Basic", "basic"), &good.replace("Basic", "BASIC  ")] {
        let identity = ask(&auth(), field).unwrap();
        assert_eq!((*identity.claims(), identity.principal().subject()), (7, "ada"), "{field}");
        assert!(identity.principal().has_role("admin"));
    }
    assert!(ask(&auth(), &field(":correct: h\u{f6}rse")).is_ok(), "a user may be empty");
}

#[test]
fn all_invalid_credentials_get_the_same_response() {
    let long = field(format!("ada:{}", "x".repeat(1024)));
    #[rustfmt::skip]
    let table = [
        &field("ada:wrong"), &field("ada:"), &field("eve:correct: h\u{f6}rse"), &field("Ada:correct: h\u{f6}rse"),
        &field("ada"), &field(""), &field("ada\n:x"), &field("ada:x\u{0}"), &field("ada:\u{7f}"), &field("ada:\u{85}"),
        // ISO-8859-1, which the challenge does not ask for
        &field(b"ada:correct: h\xf6rse"),
        "Basic", "Basic ", "Basic !!!!", "Basic YWRh OnB3", "Basic YWRhOnB3\u{e9}", "Basic YWRhOnB3YQ", "Basic YWRhOnB3YR==",
        "Basic YWRhOnB3YQ===", "Basic ada:correct", &long,
    ];
    for field in table {
        let error = ask(&auth(), field).expect_err(field);
        assert_eq!(error.status(), StatusCode::UNAUTHORIZED, "{field}");
        assert_eq!(error.message(), "the user name or the password is not valid", "{field}");
        assert_eq!(challenge(&error), CHALLENGE);
        assert_eq!(error.headers()[header::CACHE_CONTROL], "no-store");
    }
}

#[test]
fn control_characters_are_rejected_before_verification() {
    let anybody = Basic::builder(|user: String, _: Password| async move {
        Ok::<_, BoxError>(Some(Identity::new(1, Principal::new(user))))
    });
    let anybody = anybody.build().unwrap();
    assert!(ask(&anybody, &field("ada:pass: w\u{f6}rd")).is_ok());
    for control in ['\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{80}', '\u{9f}'] {
        for user_pass in [format!("a{control}da:x"), format!("ada:{control}")] {
            assert!(ask(&anybody, &field(&user_pass)).is_err(), "{user_pass:?}");
        }
    }
}

#[test]
fn missing_credentials_are_401_and_two_are_400() {
    for values in [&[][..], &[&b"Bearer YWRhOnB3"[..]], &[b"Basicx YWRhOnB3"]] {
        let error = finish(auth().decide(&head(values))).unwrap_err();
        assert_eq!((error.status(), challenge(&error)), (StatusCode::UNAUTHORIZED, CHALLENGE));
        assert!(matches!(auth().authenticate(&head(values)), Attempt::Absent(_)));
    }
    let good = field("ada:correct: h\u{f6}rse");
    let error = finish(auth().decide(&head(&[good.as_bytes(), good.as_bytes()]))).unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn failed_verification_is_503() {
    let error = ask(&auth(), &field("broken:x")).unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!error.to_string().contains("users"), "the cause is for the log");
}

#[test]
fn concurrent_verifications_are_limited() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let auth = Basic::builder(move |user: String, _: Password| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, BoxError>(Some(Identity::new(1, Principal::new(user)))) }
    })
    .concurrency(2)
    .build()
    .unwrap();
    let decide = || auth.decide(&head(&[field("ada:x").as_bytes()]));

    let (first, second) = (decide(), decide());
    let error = finish(decide()).unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error.headers()[header::RETRY_AFTER], "1");
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the one too many costs nothing");
    // malformed credentials take no place, and no credentials neither
    assert_eq!(ask(&auth, "Basic !").unwrap_err().status(), StatusCode::UNAUTHORIZED);

    assert!(finish(first).is_ok(), "it is done and gives its place back");
    drop(second); // so does one that was given up
    let again = (decide(), decide());
    assert!(finish(decide()).is_err());
    assert!(finish(again.0).is_ok() && finish(again.1).is_ok());
}

#[test]
fn running_hash_keeps_its_slot_after_a_disconnect() {
    let hashing = Arc::new(Mutex::new(None));
    let thread = Arc::clone(&hashing);
    let auth = Basic::builder(move |_: String, password: Password| {
        *thread.lock().unwrap() = Some(password);
        async { std::future::pending::<Result<Option<Identity<u32>>, BoxError>>().await }
    })
    .concurrency(1)
    .build()
    .unwrap();
    let decide = || auth.decide(&head(&[field("ada:x").as_bytes()]));
    let Decision::Later(mut decision) = decide() else { panic!("it takes its time") };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(decision.as_mut().poll(&mut context).is_pending());
    drop(decision);
    assert!(matches!(decide(), Decision::Now(Err(_))), "a thread still hashes");
    drop(hashing.lock().unwrap().take());
    assert!(matches!(decide(), Decision::Later(_)), "now it is done");
}

#[test]
fn invalid_settings_are_config_errors() {
    let builder = || Basic::builder(|_, _| async { Ok::<Option<Identity<()>>, BoxError>(None) });
    for (builder, setting) in [
        (builder().concurrency(0), "concurrency"),
        (builder().max_credentials(0), "max_credentials"),
        (builder().realm("a\\b"), "realm"),
    ] {
        assert_eq!(builder.build().unwrap_err().setting(), setting);
    }
    let small = builder().max_credentials(8).build().unwrap();
    assert!(matches!(small.decide(&head(&[field("ada:xyz").as_bytes()])), Decision::Now(Err(_))));
    assert!(matches!(small.decide(&head(&[field("ada:x").as_bytes()])), Decision::Later(_)));
}

#[test]
fn debug_shows_no_password() {
    let seen = Arc::new(Mutex::new(String::new()));
    let write = Arc::clone(&seen);
    let auth = Basic::builder(move |_: String, password: Password| {
        *write.lock().unwrap() = format!("{password:?}");
        async { Ok::<_, BoxError>(None::<Identity<u32>>) }
    })
    .build()
    .unwrap();
    assert!(ask(&auth, &field("ada:hunter2")).is_err());
    assert_eq!(*seen.lock().unwrap(), "Password(7 bytes)");
    assert_eq!(format!("{auth:?}"), "Basic { concurrency: 16, running: 0, .. }");
}

#[test]
fn keeps_the_policy_contract() {
    let good = field("ada:correct: h\u{f6}rse");
    let request =
        || Request::get("/").header(header::AUTHORIZATION, &good).body(Script::empty()).unwrap();
    Contract::new(request).check_policy(auth);
    Contract::new(request).check_policy(|| auth().optional());
}

proptest! {
    #[test]
    fn arbitrary_header_values_never_panic(
        bytes in prop::collection::vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8, Just(b'\t')], 0..100),
        scheme in prop::sample::select(vec!["", "Basic ", "Basic"]),
    ) {
        let value = [scheme.as_bytes(), &bytes].concat();
        let _ = auth().decide(&head(&[&value]));
    }

    #[test]
    fn arbitrary_decoded_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = ask(&auth(), &field(bytes));
    }
}
