//! A key server for tests, on a real socket, with bad manners on demand.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use palisade_auth::{Jwks, JwksBuilder};
use tokio::{net::TcpListener, task::JoinSet};

/// What the server does with a request for keys.
#[derive(Clone)]
pub(crate) enum Manner {
    Publish(Vec<&'static str>),
    Say(StatusCode, &'static str),
    /// Answers after this, with key `late`.
    Stall(Duration),
    /// A body of so many bytes, said beforehand or not.
    Flood {
        bytes: u64,
        declared: bool,
    },
    /// The head of an answer, and a byte of its body now and then.
    Trickle,
    Redirect(String),
}

/// An issuer on a free port of this machine, which stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    manner: Mutex<Manner>,
    metadata: Mutex<String>,
    asked: AtomicUsize,
    /// How much of a flood has left.
    sent: Arc<AtomicU64>,
}

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            manner: Mutex::new(manner),
            metadata: Mutex::default(),
            asked: AtomicUsize::new(0),
            sent: Arc::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            // Connections go with the server: it dies all at once.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, state, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    pub(crate) async fn die(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// What `/.well-known/openid-configuration` says, below any path.
    pub(crate) fn describe(&self, metadata: String) {
        *self.state.metadata.lock().unwrap() = metadata;
    }

    pub(crate) fn keys(&self) -> JwksBuilder {
        Jwks::url(self.url("/keys")).insecure_allow_loopback_http()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A public key that is one (RFC 8037, appendix A.2).
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key_set(ids: &[&str]) -> String {
    let keys: Vec<_> = ids
        .iter()
        .map(|id| serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": X }))
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Flood>>, Infallible> {
    let path = request.uri().path().to_owned();
    let text = |status, text: String| {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(text))));
        *response.status_mut() = status;
        response
    };
    if path.ends_with("/.well-known/openid-configuration") {
        return Ok(text(StatusCode::OK, state.metadata.lock().unwrap().clone()));
    }
    if path == "/elsewhere" {
        return Ok(text(StatusCode::OK, key_set(&["elsewhere"])));
    }
    state.asked.fetch_add(1, Ordering::SeqCst);
    let manner = state.manner.lock().unwrap().clone();
    let flood = |left, pause, declared| {
        let sent = Arc::clone(&state.sent);
        Response::new(Either::Right(Flood { left, declared, sent, pause, sleep: None }))
    };
    Ok(match manner {
        Manner::Publish(ids) => text(StatusCode::OK, key_set(&ids)),
        Manner::Say(status, body) => text(status, body.to_owned()),
        Manner::Stall(pause) => {
            tokio::time::sleep(pause).await;
            text(StatusCode::OK, key_set(&["late"]))
        }
        Manner::Flood { bytes, declared } => flood(bytes, None, declared),
        Manner::Trickle => flood(u64::MAX, Some(Duration::from_millis(20)), false),
        Manner::Redirect(to) => {
            let mut response = text(StatusCode::FOUND, key_set(&["redirected"]));
            response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            response
        }
    })
}

/// A body that goes on and on.
struct Flood {
    left: u64,
    declared: bool,
    sent: Arc<AtomicU64>,
    pause: Option<Duration>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static CHUNK: [u8; 64 * 1024] = [b' '; 64 * 1024];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut chunk: &'static [u8] = &CHUNK;
        if let Some(pause) = self.pause {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            std::task::ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            chunk = &CHUNK[..1];
        }
        let bytes = self.left.min(chunk.len() as u64);
        self.left -= bytes;
        self.sent.fetch_add(bytes, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&chunk[..bytes as usize])))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.declared { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}
