use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// What `cargo test --workspace` built: the examples, and the libraries that they use.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    libraries: BTreeMap<String, PathBuf>,
}

impl Workspace {
    /// Builds the examples once for each process. After `cargo test --workspace` there is nothing left to build.
    ///
    /// # Panics
    ///
    /// If an example does not compile.
    pub fn built() -> &'static Self {
        static BUILT: OnceLock<Workspace> = OnceLock::new();
        BUILT.get_or_init(|| {
            let output = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
                .args(["build", "--quiet", "--workspace", "--examples", "--message-format=json"])
                .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
                .stderr(Stdio::inherit())
                .output()
                .expect("cargo runs");
            assert!(output.status.success(), "the examples do not compile");
            let test = env::current_exe().expect("a test knows its path");
            let folder = test.parent().and_then(Path::parent).expect("target/debug/deps/test");
            let messages = String::from_utf8_lossy(&output.stdout);
            let libraries = messages
                .lines()
                .filter_map(|line| library(&serde_json::from_str(line).ok()?))
                .collect();
            Self { folder: folder.to_owned(), libraries }
        })
    }

    /// Returns the folder of the profile, `target/debug`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the compiled library of a crate.
    ///
    /// # Panics
    ///
    /// If no example uses that crate.
    pub fn library(&self, name: &str) -> &Path {
        self.libraries.get(name).unwrap_or_else(|| panic!("no example uses {name}"))
    }
}

/// Returns the name and the file of a library that cargo reports.
fn library(message: &Value) -> Option<(String, PathBuf)> {
    let files = message["filenames"].as_array()?;
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".rlib"))?;
    Some((message["target"]["name"].as_str()?.to_owned(), file.into()))
}
