//! A server with one thread, for one service.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::oneshot, time};
use tower_service::Service;

use crate::{BoxError, Error};

/// Serves connections on a listener until it is cancelled.
pub(super) type App =
    Box<dyn FnOnce(TcpListener) -> Pin<Box<dyn Future<Output = Infallible>>> + Send>;

/// A tower service that hyper can serve. Implemented for all that fit, such as axum's `Router`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    note = "a served service is `Clone + Send + 'static`, takes `http::Request<hyper::body::Incoming>`, and returns an `http::Response`"
)]
pub trait Servable {
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "the trait is implemented here only")]
    fn into_app(self) -> App;
}

impl<S, B> Servable for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    #[allow(private_interfaces, reason = "the trait is implemented here only")]
    fn into_app(self) -> App {
        Box::new(move |listener| {
            Box::pin(async move {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let _ = stream.set_nodelay(true);
                    let app = TowerToHyperService::new(self.clone());
                    tokio::spawn(async move {
                        // A client that goes away is no error of the server.
                        let _ = Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), app)
                            .await;
                    });
                }
            })
        })
    }
}

/// A running server. It stops when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Nanoseconds that the server's thread spent in user mode.
    user_nanos: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(app: App) -> Result<Self, Error> {
        let (started, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let user_nanos = Arc::new(AtomicU64::new(0));
        let published = Arc::clone(&user_nanos);
        let thread = std::thread::Builder::new().name("bench-server".to_owned());
        let thread = thread.spawn(move || {
            pin_to_core(0);
            let listening = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
                let address = listener.local_addr()?;
                Ok((runtime, listener, address))
            };
            match listening() {
                Err(error) => drop(started.send(Err(Error::Runtime(error)))),
                Ok((runtime, listener, address)) => {
                    let _ = started.send(Ok(address));
                    runtime.block_on(async {
                        tokio::select! {
                            _ = stopped => {}
                            _ = publish_user_time(&published) => {}
                            _ = app(listener) => {}
                        }
                    });
                }
            }
        });
        let thread = Some(thread.map_err(Error::Runtime)?);
        let address = address
            .recv()
            .unwrap_or_else(|_| Err(Error::Client("a server ended at its start".to_owned())));
        Ok(Self { address: address?, user_nanos, stop: Some(stop), thread })
    }

    /// Returns the time that the server's thread spent in user mode, as of at most 5 ms ago.
    pub(super) fn user_time(&self) -> Duration {
        std::thread::sleep(2 * PUBLISHED_EVERY);
        Duration::from_nanos(self.user_nanos.load(Ordering::Relaxed))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const PUBLISHED_EVERY: Duration = Duration::from_millis(5);

/// Publishes the thread's time in user mode every few milliseconds: only the thread itself can read it.
async fn publish_user_time(published: &AtomicU64) -> Infallible {
    loop {
        let nanos = user_time().as_nanos();
        published.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        time::sleep(PUBLISHED_EVERY).await;
    }
}

#[cfg(target_os = "linux")]
fn user_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Duration::ZERO };
    let user = usage.user_time();
    let micros = user.tv_sec() * 1_000_000 + user.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Other systems do not tell the time of one thread.
#[cfg(not(target_os = "linux"))]
fn user_time() -> Duration {
    Duration::ZERO
}

/// Keeps the current thread on one core, if the machine has several.
pub(super) fn pin_to_core(which: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() > 1
        && let Some(core) = cores.get(which)
    {
        core_affinity::set_for_current(*core);
    }
}
