//! The example of an MCP server, discovered and called by the SDK that MCP clients are made of.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use palisade_tests::{Example, did_not_run, installed};
use serde_json::{Value, json};

const LIBRARY: &str = "@modelcontextprotocol/sdk@1.32.2";

#[test]
fn client_discovers_the_authorization_server() {
    let Some(folder) = library() else { return };
    let mut example = Example::start("auth_mcp");
    let (token, other) = (example.token("user"), example.token("other"));
    let server = format!("http://{}/mcp", example.address);
    let seen = run(&folder, &json!({"server": server, "token": token, "other": other}));

    let metadata = format!("http://{}/.well-known/oauth-protected-resource/mcp", example.address);
    assert_eq!(
        seen["missing"],
        json!({"status": 401, "metadata": metadata, "scope": "tools:call"})
    );
    assert_eq!(
        seen["lacking"],
        json!({
            "status": 403,
            "metadata": metadata,
            "scope": "tools:call",
            "error": "insufficient_scope",
        })
    );
    assert_eq!(seen["told"]["authorization_servers"], json!(["https://login.example.com"]));
    assert_eq!(seen["guessed"], seen["told"]);
    assert_eq!(seen["resource"], server);
    assert_eq!((&seen["tools"], &seen["said"]), (&json!(["whoami"]), &json!("ada")));
}

/// Returns the folder with the SDK; `None`, and loudly, where it cannot be had.
fn library() -> Option<PathBuf> {
    if !installed(&["node", "npm"]) {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-sdk");
    let list = folder.join("installed");
    // Only the first run downloads it.
    if fs::read_to_string(&list).ok().as_deref() != Some(LIBRARY) {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), r#"{"private":true}"#).unwrap();
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .arg(LIBRARY)
            .current_dir(&folder)
            .output()
            .expect("npm runs");
        if !npm.status.success() {
            return did_not_run(&format!("npm does not install {LIBRARY}: {npm:?}"));
        }
        fs::write(&list, LIBRARY).unwrap();
    }
    fs::write(folder.join("client.mjs"), include_str!("mcp_client.mjs")).unwrap();
    Some(folder)
}

fn run(folder: &Path, input: &Value) -> Value {
    let mut node = Command::new("node")
        .arg("client.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs");
    node.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
