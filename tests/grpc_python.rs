//! What Python's grpcio sees of each code. `scripts/test` installs it.

mod refusing_greeter;

use std::{env, path::PathBuf, process::Command};

/// The interpreter of the environment that `scripts/test` makes.
fn python() -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    let target = test.ancestors().nth(3)?; // target/debug/deps/test
    let python = target.join("python-grpc/bin/python");
    python.exists().then_some(python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_client_sees_code_message_and_details_of_errors() {
    let Some(python) = python() else {
        let missing =
            "grpcio is not installed: run scripts/test, which does it. NOTHING WAS TESTED";
        assert!(env::var("CI").map_or(true, |ci| ci != "true"), "{missing}");
        eprintln!("\n!!! {missing}\n");
        return;
    };
    let address = refusing_greeter::start().await;
    let mut client = Command::new(python);
    client
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/grpc_client.py"))
        .arg(address.to_string())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.json"));
    let output = tokio::task::spawn_blocking(move || client.output()).await.unwrap();
    let output = output.expect("python runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("as they should be"), "{told}");
}
