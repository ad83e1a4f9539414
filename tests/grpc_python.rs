//! What Python's grpcio sees of each code. `scripts/test` installs it.

use std::{env, path::PathBuf, process::Command};

use crate::{chat_service, refusing_greeter};

/// The interpreter of the environment that `scripts/test` makes.
fn python() -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    let target = test.ancestors().nth(3)?; // target/debug/deps/test
    let python = target.join("python-grpc/bin/python");
    python.exists().then_some(python)
}

/// Runs a script against a server, and returns what it prints. Returns `None` if grpcio is not installed.
async fn run(script: &str, arguments: &[&str]) -> Option<String> {
    let Some(python) = python() else {
        let missing =
            "grpcio is not installed: run scripts/test, which does it. NOTHING WAS TESTED";
        assert!(env::var("CI").map_or(true, |ci| ci != "true"), "{missing}");
        eprintln!("\n!!! {missing}\n");
        return None;
    };
    let mut client = Command::new(python);
    client.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(script)).args(arguments);
    let output = tokio::task::spawn_blocking(move || client.output()).await.unwrap();
    let output = output.expect("python runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    Some(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_client_sees_code_message_and_details_of_errors() {
    let address = refusing_greeter::start().await.to_string();
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.json");
    let Some(told) = run("grpc_client.py", &[&address, catalogue]).await else { return };
    assert!(told.contains("as they should be"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_client_sees_the_status_of_a_message_that_is_too_long() {
    let address = chat_service::start().await.to_string();
    let limit = chat_service::LIMIT.to_string();
    let arguments = [&*address, chat_service::TALK, &limit];
    let Some(told) = run("grpc_bodies.py", &arguments).await else { return };
    assert!(told.contains("as it should be"), "{told}");
}
