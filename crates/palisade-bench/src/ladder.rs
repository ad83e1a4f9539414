use http::Request;

use crate::{
    Error, Instructions, Report,
    measurement::Measurement,
    requests::Requests,
    set::Set,
    settings::{Settings, setters},
    steps::{Growing, Step, WithoutEach},
};

/// Measures what each layer of a stack costs.
///
/// The steps are added from the outside in, as in `tower::ServiceBuilder`. Each one is measured twice: by the difference to the
/// stack that ends before it, and by the difference that leaving it out of the whole stack makes.
///
/// Requests are sent one after another, each to a clone of the service, as servers do. The clone of the request is not part of
/// the measurement; the end of the response's body is. Subjects take turns in rounds of a fraction of a millisecond, so that
/// noise of the machine hits all of them, and differences are those of the same round.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{HeaderName, HeaderValue, Request, Response};
/// use palisade_bench::{CountingAllocator, Instructions, Ladder};
/// use tower::service_fn;
/// use tower_http::set_header::SetResponseHeaderLayer;
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let hello = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new("hello".to_owned())));
/// let header = |name| SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static("1"));
///
/// let report = Ladder::new(hello, [Request::new(String::new())])
///     .step("x-one", header("x-one"))
///     .step("x-two", header("x-two"))
///     .instructions(Instructions::Off) // counts take a few seconds
///     .rounds(11)
///     .run()?;
/// report.print();
/// let [bare, one, two] = &report.requests[0].steps[..] else { panic!("three rows") };
/// assert_eq!(bare.total.allocations, Some(1), "the text of the response");
/// assert!(one.added.unwrap().allocations > Some(0), "the first header makes the map");
/// assert_eq!(two.added.unwrap().allocations, Some(0), "the second one fits into it");
/// # Ok::<_, palisade_bench::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ladder<S, B, L = ()> {
    service: S,
    requests: Vec<Requests<B>>,
    steps: L,
    names: Vec<String>,
    settings: Settings,
}

impl<S, B> Ladder<S, B> {
    /// Measures `service`, and later the layers around it, with each of `requests`.
    ///
    /// A request that the whole stack rejects is reported apart from those that it allows. The requests are sent many times, so
    /// that their body is `Clone`: `String`, `Bytes` or `Full<Bytes>`. For services and layers that take another body, such as
    /// axum's, see [`map_body`](Self::map_body).
    pub fn new(service: S, requests: impl IntoIterator<Item = Request<B>>) -> Self
    where
        B: Clone + Send + Sync + 'static,
    {
        Self {
            service,
            requests: requests.into_iter().map(Requests::new).collect(),
            steps: (),
            names: vec!["bare service".to_owned()],
            settings: Settings::new("Ladder"),
        }
    }
}

impl<S, B, L> Ladder<S, B, L> {
    /// Adds a layer inside the layers so far. Any tower layer fits, by value or by reference.
    #[must_use]
    pub fn step<N>(self, name: impl Into<String>, layer: N) -> Ladder<S, B, Step<N, L>> {
        let Self { service, requests, steps, mut names, settings } = self;
        names.push(name.into());
        Ladder { service, requests, steps: Step { layer, outside: steps }, names, settings }
    }

    /// Makes the body that the outermost layer takes from the body given to [`new`](Ladder::new). The conversion is not part of
    /// the measurement.
    ///
    /// ```
    /// use axum::{Router, body::Body, extract::Request, middleware::{Next, from_fn}, routing::post};
    /// use palisade_bench::{Instructions, Ladder};
    ///
    /// // `from_fn` takes requests with axum's body only, and that body is not `Clone`.
    /// let passes_on = from_fn(async |request: Request, next: Next| next.run(request).await);
    /// let router = Router::new().route("/echo", post(async |text: String| text));
    /// let report = Ladder::new(router, [http::Request::post("/echo").body("hello").unwrap()])
    ///     .map_body(Body::from)
    ///     .step("from_fn", passes_on)
    ///     .instructions(Instructions::Off)
    ///     .rounds(0)
    ///     .run()?;
    /// assert_eq!(report.requests[0].status, Some(200));
    /// # Ok::<_, palisade_bench::Error>(())
    /// ```
    #[must_use]
    pub fn map_body<T>(
        self,
        map: impl Fn(B) -> T + Clone + Send + Sync + 'static,
    ) -> Ladder<S, T, L>
    where
        B: 'static,
    {
        let Self { service, requests, steps, names, settings } = self;
        let requests =
            requests.into_iter().map(|requests| requests.map_body(map.clone())).collect();
        Ladder { service, requests, steps, names, settings }
    }

    /// Sets the title of the report. Default: "Ladder". Ladders of one program that count instructions by callgrind need
    /// different titles.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.settings.title = title.into();
        self
    }

    setters!();

    /// Measures all steps. Shows its progress if standard error is a terminal.
    ///
    /// # Errors
    ///
    /// Fails if there is no request, if a service or a body fails, and if the status of a response changes during the
    /// measurement, such as by a rate limit that is too low for it. Fails if instructions cannot be counted in the one way that
    /// was asked for; with [`Instructions::Automatic`] the report then gives the reason.
    pub fn run(self) -> Result<Report, Error>
    where
        L: Growing<S, B> + WithoutEach<S, B>,
    {
        let sets = |requests: &Requests<B>| {
            let mut growing = Vec::new();
            self.steps.growing(&self.service, requests, &mut growing);
            let mut without = Vec::new();
            self.steps.without_each(&self.service, requests, &mut without);
            without.reverse();
            Set::of_steps(requests.name(), &self.names, growing, without)
        };
        Measurement::new(self.settings, || self.requests.iter().map(sets).collect())?.run()
    }
}
