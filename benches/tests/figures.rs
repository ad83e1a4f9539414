//! What authentication and roles cost stays as it is: allocations exactly, instructions within 2 %.
//!
//! The figures in `figures/` are those of `cargo test --workspace`, without optimizations. A change that is meant stores new ones:
//! `PALISADE_FIGURES=write cargo test --workspace --test figures`. Instructions depend on the compiler, and are compared only with
//! those of the same one.

use std::{
    convert::Infallible,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use http::{Request, Response, header};
use palisade::{
    Principal,
    auth::{
        Attempt, Authenticate, Identity, Jwt,
        rules::{HasRoles, any_role},
        testing::sign_hs256,
    },
};
use palisade_bench::{CountingAllocator, Instructions, Ladder, Report, Tolerance};
use tower::{layer::layer_fn, service_fn, util::MapRequest};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const SECRET: &str = "a signing key of at least thirty-two bytes";

#[test]
fn cost_of_a_token_seen_before_stays() {
    check("token_seen_before", authenticates(jwt(1 << 20)));
}

#[test]
fn cost_of_a_new_token_stays() {
    check("new_token", authenticates(jwt(0)));
}

#[test]
fn cost_of_many_roles_stays() {
    let names = |start: usize| (start..start + 64).map(|number| format!("role-{number:03}"));
    let rule: HasRoles<str> = any_role(names(0));
    let caller = Identity::new((), Principal::new("ada").with_roles(names(63)));
    check("many_roles", move |_: &Request<String>| assert!(caller.may(&rule, "a resource")));
}

fn jwt(cache_bytes: usize) -> Jwt<serde_json::Value> {
    let jwt = Jwt::hs256(SECRET).issuer("https://issuer.example").audience("orders");
    jwt.cache_bytes(cache_bytes).build().unwrap()
}

fn authenticates(jwt: Jwt<serde_json::Value>) -> impl Fn(&Request<String>) + Send + Sync + 'static {
    move |request| {
        let (head, _) = request.clone().into_parts();
        assert!(matches!(jwt.authenticate(&head), Attempt::Now(Ok(_))));
    }
}

/// Compares the cost of `run` per request with the stored one, or stores it.
fn check(name: &'static str, run: impl Fn(&Request<String>) + Send + Sync + 'static) {
    let claims = serde_json::json!({
        "sub": "ada", "iss": "https://issuer.example", "aud": "orders", "exp": 4_102_444_800_u64, "iat": 1_700_000_000,
        "scope": "orders:read orders:write", "roles": ["user", "editor"],
    });
    let token = sign_hs256(SECRET, &claims);
    let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let service =
        service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let run = Arc::new(run);
    let layer = layer_fn(move |service| {
        let run = Arc::clone(&run);
        MapRequest::new(service, move |request: Request<String>| {
            run(&request);
            request
        })
    });
    let report = Ladder::new(service, [request.body(String::new()).unwrap()])
        .step(name, layer)
        .title(name)
        .instructions(how_to_count())
        .rounds(1)
        .threads(1)
        .run()
        .unwrap();
    compare(&report, name);
}

fn compare(report: &Report, name: &str) {
    let file = folder().join(format!("{name}.json"));
    let compiler = folder().join("compiler.txt");
    if env::var("PALISADE_FIGURES").is_ok_and(|value| value == "write") {
        report.write_json(&file).unwrap();
        fs::write(&compiler, rustc()).unwrap();
        return;
    }
    let is_same = fs::read_to_string(&compiler).is_ok_and(|stored| stored == rustc());
    let percent = if is_same { 2.0 } else { f64::INFINITY };
    if !is_same {
        eprintln!("!!! instructions are NOT compared: the stored ones are of another compiler");
    }
    let tolerance = Tolerance::allocations(0).instructions_percent(percent);
    report.check_against(&file, tolerance).unwrap();
}

/// By callgrind: the processor's counter sees instructions that callgrind hides from programs, and gives other figures.
fn how_to_count() -> Instructions {
    if Command::new("valgrind").arg("--version").output().is_ok() {
        return Instructions::Callgrind;
    }
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "install valgrind to count instructions");
    eprintln!("!!! instructions are NOT compared: valgrind is not installed");
    Instructions::Off
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("figures")
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
