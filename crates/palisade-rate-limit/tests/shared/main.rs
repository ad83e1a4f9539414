//! Shared limits with stores of the tests: questions, cache, leases and failures. The clock is manual.

mod failures;
mod leases;
mod questions;
mod refunds;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use palisade_core::{
    Allowed, BoxError, BoxFuture, Clock, Decision, ManualClock, Measured, Outcome, PeerAddr,
    Policy,
    testing::{Contract, Script},
};
use palisade_rate_limit::{
    Ban, Block, ByAddress, Demand, Fit, Quota, RateLimit, RateLimitBuilder, Reading, Refund,
    SharedStore, Store, Verdict,
};
use tower::{Layer, ServiceExt, service_fn};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns prepared verdicts, and records the demands.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Orders>>);

#[derive(Debug, Default)]
struct Orders {
    says: Says,
    asked: Vec<Demand>,
    refunded: Vec<Refund>,
}

#[derive(Clone, Debug, Default)]
enum Says {
    #[default]
    Fits,
    Over(Fit),
    Fails,
    Hangs,
    Nonsense,
}

impl Told {
    fn to(says: Says) -> Self {
        let told = Self::default();
        told.now_says(says);
        told
    }

    fn now_says(&self, says: Says) {
        self.0.lock().unwrap().says = says;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }

    fn refunded(&self) -> Vec<(u32, u64)> {
        let orders = self.0.lock().unwrap();
        orders.refunded.iter().map(|refund| (refund.amount, refund.moment)).collect()
    }
}

impl Store for Told {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        let mut orders = self.0.lock().unwrap();
        orders.asked.push(demand.clone());
        let moment = orders.asked.len() as u64;
        let says = orders.says.clone();
        Box::pin(async move {
            let readings = |fit| {
                let reading = Reading { remaining: 7, more_in: Some(MINUTE), fit };
                vec![reading; demand.quotas.len()]
            };
            match says {
                Says::Fits => Ok(Verdict {
                    charged: Some(demand.most),
                    readings: readings(Fit::Fits),
                    moment,
                    block: None,
                }),
                Says::Over(fit) => {
                    Ok(Verdict { readings: readings(fit), moment, ..Verdict::default() })
                }
                Says::Fails => Err("connection refused".into()),
                Says::Hangs => std::future::pending().await,
                Says::Nonsense => Ok(Verdict { charged: Some(0), moment, ..Verdict::default() }),
            }
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        self.0.lock().unwrap().refunded.push(refund);
        Box::pin(async { Ok(()) })
    }
}

/// Counts by key and number of the window.
type CountsOfWindows = HashMap<([u8; 16], u64), u32>;

/// Counts in fixed windows, on a clock of its own, as a server would.
#[derive(Clone, Debug)]
struct Server {
    clock: ManualClock,
    counts: Arc<Mutex<CountsOfWindows>>,
    asked: Arc<AtomicU32>,
}

impl Server {
    fn new(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), counts: Arc::default(), asked: Arc::default() }
    }
}

impl Store for Server {
    fn charge(&self, demand: Demand) -> BoxFuture<Result<Verdict, BoxError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (quota, now) = (demand.quotas[0].clone(), self.clock.monotonic());
        let window = now.as_nanos() / quota.window().as_nanos();
        let mut counts = self.counts.lock().unwrap();
        let used = counts.entry((demand.key, window as u64)).or_default();
        let charged = demand.most.min(quota.limit() - *used);
        let charged = (charged >= demand.cost).then_some(charged);
        *used += charged.unwrap_or(0);
        let over = quota.window() * (window as u32 + 1) - now;
        let fit = if charged.is_some() { Fit::Fits } else { Fit::After(over) };
        let reading = Reading { remaining: quota.limit() - *used, more_in: Some(over), fit };
        let (readings, moment) = (vec![reading], window as u64);
        let verdict = Verdict { charged, readings, moment, block: None };
        Box::pin(async move {
            // others come meanwhile
            tokio::task::yield_now().await;
            Ok(verdict)
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<Result<(), BoxError>> {
        let mut counts = self.counts.lock().unwrap();
        let used = counts.entry((refund.key, refund.moment)).or_default();
        *used = used.saturating_sub(refund.amount);
        Box::pin(async { Ok(()) })
    }
}

struct Subject {
    limit: RateLimit,
    clock: ManualClock,
}

fn limited(by: SharedStore, limit: u32) -> Subject {
    limited_as(by, limit, |builder| builder)
}

fn limited_as(
    by: SharedStore,
    limit: u32,
    more: impl FnOnce(RateLimitBuilder<ByAddress>) -> RateLimitBuilder<ByAddress>,
) -> Subject {
    let clock = ManualClock::default();
    let builder = RateLimit::per_address(Quota::per(limit, MINUTE));
    let builder = builder.name("api").clock(Arc::new(clock.clone())).store(by);
    Subject { limit: more(builder).build().unwrap(), clock }
}

impl Subject {
    async fn send(&self, peer: &str) -> Response<()> {
        self.send_to(peer, StatusCode::OK).await
    }

    /// Sends a request that the service, if it comes so far, answers with this status.
    async fn send_to(&self, peer: &str, status: StatusCode) -> Response<()> {
        let service = self.limit.layer().layer(service_fn(move |_: Request<Script>| async move {
            let mut response = Response::new(Script::empty());
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }));
        let peer = PeerAddr(format!("{peer}:4000").parse().unwrap());
        let request = Request::get("/").extension(peer).body(Script::empty()).unwrap();
        service.oneshot(request).await.unwrap().map(drop)
    }
}

fn header<'a>(response: &'a Response<()>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

const PEER: &str = "192.0.2.1";

#[test]
fn shared_limit_keeps_the_layer_contract() {
    let peer = PeerAddr("192.0.2.1:4000".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    Contract::new(|| Request::get("/").extension(peer).body(Script::empty()).unwrap())
        .check_policy(|| limited(SharedStore::new(Told::default()), 1_000_000).limit);
}

#[test]
fn invalid_store_settings_are_config_errors() {
    let setting = |by: fn(SharedStore) -> SharedStore, quota: Quota| {
        let limit = RateLimit::per_address(quota).name("api");
        let limit = limit.store(by(SharedStore::new(Told::default())));
        limit.build().unwrap_err().setting()
    };
    let quota = || Quota::per(1, MINUTE);
    assert_eq!(setting(|by| by.timeout(Duration::ZERO), quota()), "timeout");
    assert_eq!(setting(|by| by.connect_timeout(Duration::ZERO), quota()), "connect_timeout");
    assert_eq!(setting(|by| by.fallback_local(0.0), quota()), "fallback_local");
    assert_eq!(setting(|by| by.fallback_local(1.5), quota()), "fallback_local");
    assert_eq!(setting(|by| by.fallback_local(f64::NAN), quota()), "fallback_local");
    assert_eq!(setting(|by| by.secret(""), quota()), "secret");
    let nameless = RateLimit::per_address(quota()).store(SharedStore::new(Told::default()));
    assert_eq!(nameless.build().unwrap_err().setting(), "name", "two would share their counts");
}
