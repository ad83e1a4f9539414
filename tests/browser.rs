use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Names that Chromium goes by.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// A Chromium without a window, that shows one page until this is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    profile: PathBuf,
    console: Arc<Mutex<Vec<String>>>,
}

impl Browser {
    /// The program, if it is installed. `CHROMIUM` may name it.
    pub fn installed() -> Option<PathBuf> {
        if let Some(named) = env::var_os("CHROMIUM").filter(|name| !name.is_empty()) {
            return Some(named.into());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = env::split_paths(&path).collect();
        let programs = NAMES.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
        programs.into_iter().find(|program| program.is_file())
    }

    /// Opens a page, with its own profile.
    ///
    /// # Panics
    ///
    /// If the program does not start.
    pub fn open(program: &PathBuf, url: &str) -> Self {
        Self::start(program, &["--disable-extensions".into(), url.into()])
    }

    /// Starts with an unpacked extension, whose service worker runs at once.
    ///
    /// # Panics
    ///
    /// If the program does not start.
    pub fn with_extension(program: &PathBuf, extension: &std::path::Path) -> Self {
        let extension = extension.display();
        // Branded builds ignore the second switch unless the first is there.
        let arguments = [
            "--disable-features=DisableLoadExtensionCommandLineSwitch".to_owned(),
            format!("--load-extension={extension}"),
            format!("--disable-extensions-except={extension}"),
            "about:blank".to_owned(),
        ];
        Self::start(program, &arguments)
    }

    fn start(program: &PathBuf, arguments: &[String]) -> Self {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            *count
        };
        let name = format!("palisade-browser-{}-{number}", std::process::id());
        let profile = env::temp_dir().join(name);
        let mut process = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--enable-logging=stderr", "--v=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let console = Arc::<Mutex<Vec<_>>>::default();
        let lines = BufReader::new(process.stderr.take().expect("its errors are piped")).lines();
        let said = Arc::clone(&console);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| line.contains("CONSOLE")) {
                said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { process, profile, console }
    }

    /// What its console has said by now.
    pub fn console(&self) -> Vec<String> {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True once its console has said this, in a line of its own; false if it does not within a few seconds.
    pub fn has_said(&self, text: &str) -> bool {
        (0..100).any(|_| {
            let console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
            let said = console.iter().any(|line| line.contains(text));
            drop(console);
            if !said {
                thread::sleep(Duration::from_millis(50));
            }
            said
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own child, by its own handle; the browser's children end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // They may write for a moment after it.
        for _ in 0..40 {
            if std::fs::remove_dir_all(&self.profile).is_ok() || !self.profile.exists() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Passes bytes on to a server, and keeps the heads of the requests on the way: what a browser does not tell a page.
#[derive(Clone, Debug)]
pub struct Wiretap {
    /// Where it listens.
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Wiretap {
    /// Listens in front of `server`.
    ///
    /// # Panics
    ///
    /// If there is no port left.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tap = Self { address, heads: Arc::default() };
        let heads = Arc::clone(&tap.heads);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let heads = Arc::clone(&heads);
                // A connection that breaks off is the business of its two ends.
                tokio::spawn(async move { pass_on(client, server, &heads).await.ok() });
            }
        });
        tap
    }

    /// The heads of all requests so far whose first line begins with this.
    pub fn heads(&self, start: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().filter(|head| head.starts_with(start)).cloned().collect()
    }
}

async fn pass_on(
    client: TcpStream,
    server: SocketAddr,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let answers = tokio::spawn(async move {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    loop {
        let read = from_client.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        // A browser begins a request after the answer to the one before, so a head stands at the beginning of what it
        // writes; all else is body.
        head.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&head);
        match text.split_once("\r\n\r\n") {
            Some((head, _)) if begins_a_request(head) => {
                heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.to_owned());
            }
            None if begins_a_request(&text) => {
                to_server.write_all(&buffer[..read]).await?;
                continue;
            }
            _ => {}
        }
        head.clear();
        to_server.write_all(&buffer[..read]).await?;
    }
    to_server.shutdown().await?;
    answers.await?
}

fn begins_a_request(text: &str) -> bool {
    ["GET /", "HEAD /", "POST /", "PUT /", "DELETE /", "OPTIONS /"]
        .iter()
        .any(|start| text.starts_with(start))
}
