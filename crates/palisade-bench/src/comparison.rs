use crate::{
    Error, Instructions, Report, Subject,
    measurement::Measurement,
    set::Set,
    settings::{Settings, setters},
};

/// Measures services or closures side by side, such as a layer of your own beside that of another crate.
///
/// A comparison consists of sets. The first subject of each set is the base that the others are compared with: the service without
/// a layer, or the crate that is in use today. Subjects of one set take turns, as the steps of a [`Ladder`](crate::Ladder) do.
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{HeaderName, HeaderValue, Request, Response};
/// use palisade_bench::{Comparison, Instructions, Subject};
/// use tower::{Layer, service_fn};
/// use tower_http::set_header::SetResponseHeaderLayer;
///
/// let bare = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new("hello".to_owned())));
/// let header = SetResponseHeaderLayer::overriding(HeaderName::from_static("x-one"), HeaderValue::from_static("1"));
/// let get = || Request::new(String::new());
///
/// let report = Comparison::new("Headers")
///     .set("one header", [
///         Subject::service("bare service", bare, get),
///         Subject::service("tower-http", header.layer(bare), get),
///     ])
///     .instructions(Instructions::Off) // counts take a few seconds
///     .rounds(11)
///     .run()?;
/// report.print();
/// assert_eq!(report.requests[0].steps[1].name, "tower-http");
/// # Ok::<_, palisade_bench::Error>(())
/// ```
#[derive(Debug)]
pub struct Comparison {
    sets: Vec<Set>,
    settings: Settings,
}

impl Comparison {
    /// Starts a comparison without sets. Comparisons and ladders of one program that count instructions by callgrind need
    /// different titles.
    pub fn new(title: impl AsRef<str>) -> Self {
        Self { sets: Vec::new(), settings: Settings::new(title.as_ref()) }
    }

    /// Adds subjects that are compared with the first of them.
    #[must_use]
    pub fn set(
        mut self,
        name: impl Into<String>,
        subjects: impl IntoIterator<Item = Subject>,
    ) -> Self {
        self.sets.push(Set::of_subjects(name.into(), subjects));
        self
    }

    /// Keeps the subjects for which `is_kept` returns true, given the name of the set; and the sets that still have a subject.
    #[must_use]
    pub fn retain(mut self, mut is_kept: impl FnMut(&str, &Subject) -> bool) -> Self {
        for set in &mut self.sets {
            set.subjects.retain(|subject| is_kept(&set.name, subject));
        }
        self.sets.retain(|set| !set.subjects.is_empty());
        self
    }

    setters!();

    /// Measures all sets. Shows its progress if standard error is a terminal.
    ///
    /// # Errors
    ///
    /// Fails like [`Ladder::run`](crate::Ladder::run), and if there is nothing to measure.
    pub fn run(self) -> Result<Report, Error> {
        Measurement::new(self.settings, || self.sets)?.run()
    }
}
