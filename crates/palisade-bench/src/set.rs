//! The subjects of a ladder or a comparison, and what all measurements of them have in common.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::{Error, Subject, subject::Run};

/// The most requests that are made before they are sent and timed together: few enough to stay in the processor's cache.
pub(crate) const BATCH: usize = 32;
/// The time after which a slow service gets fewer rounds, and its instructions are not counted unless asked for.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Subjects that take turns.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    /// True for the steps of a ladder, each of which is compared with the one before. Otherwise the first subject is the base.
    pub(crate) is_ladder: bool,
    /// The stacks of no layer, one layer, up to all layers; or the subjects of a comparison.
    pub(crate) subjects: Vec<Subject>,
    /// In a ladder: the whole stack without its first layer, without its second one, and so on.
    without: Vec<Subject>,
}

impl Set {
    pub(crate) fn of_subjects(name: String, subjects: impl IntoIterator<Item = Subject>) -> Self {
        let subjects = subjects.into_iter().collect();
        Self { name, is_ladder: false, subjects, without: Vec::new() }
    }

    pub(crate) fn of_steps(
        request: &str,
        names: &[String],
        growing: Vec<Box<dyn Run>>,
        without: Vec<Box<dyn Run>>,
    ) -> Self {
        let name = request.to_owned();
        let subjects = names.iter().zip(growing).map(|(name, run)| Subject::new(name, run));
        let without = names[1..].iter().zip(without);
        let without = without.map(|(name, run)| Subject::new(&format!("without {name}"), run));
        let (subjects, without) = (subjects.collect(), without.collect());
        Self { name, is_ladder: true, subjects, without }
    }

    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Subject> {
        self.subjects.iter_mut().chain(&mut self.without)
    }

    pub(crate) fn len(&self) -> usize {
        self.subjects.len() + self.without.len()
    }
}

/// A service may use the network, so the driver is enabled as well as the clock.
pub(crate) fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}
