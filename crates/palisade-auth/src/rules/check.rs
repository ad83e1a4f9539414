use std::{fmt, marker::PhantomData, sync::Arc};

use http::request;
use palisade_core::{BoxError, Principal};

use super::{Denial, Predicate, Rule, Verdict};

/// Creates a rule from a closure on the caller and the head of the request.
///
/// The closure returns a `bool`, a `Result<bool, E>` whose error becomes [`CouldNotTell`](Verdict::CouldNotTell), or a
/// [`Verdict`]. The first two are [predicates](Predicate), which can be negated and [denied](super::deny). The name is used in
/// the log.
pub fn check<F, A>(name: impl Into<Arc<str>>, check: F) -> Check<request::Parts, F, A>
where
    F: Fn(&Principal, &request::Parts) -> A,
    A: CheckResult,
{
    check_resource(name, check)
}

/// A rule in your own words, about the caller and a resource: like [`check`], for
/// [`Identity::require`](crate::Identity::require).
///
/// ```
/// use palisade_auth::rules::check_resource;
///
/// struct Order { buyer: (String, String) }
///
/// let own = check_resource("buyer", |caller, order: &Order| {
///     (order.buyer.0.as_str(), order.buyer.1.as_str()) == (caller.issuer(), caller.subject())
/// });
/// ```
pub fn check_resource<T, F, A>(name: impl Into<Arc<str>>, check: F) -> Check<T, F, A>
where
    T: ?Sized,
    F: Fn(&Principal, &T) -> A,
    A: CheckResult,
{
    let name = name.into();
    Check { fails: format!("not {name}").into(), name, check, types: PhantomData }
}

/// See [`check`] and [`check_resource`].
pub struct Check<T: ?Sized, F, A> {
    name: Arc<str>,
    fails: Arc<str>,
    check: F,
    types: PhantomData<fn(&T) -> A>,
}

impl<T, F, A> Rule for Check<T, F, A>
where
    T: ?Sized + 'static,
    F: Fn(&Principal, &T) -> A + Send + Sync + 'static,
    A: CheckResult,
{
    type About = T;

    fn decide(&self, caller: &Principal, about: &T) -> Verdict {
        (self.check)(caller, about).verdict(&self.fails)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<T, F> Predicate for Check<T, F, bool>
where
    T: ?Sized + 'static,
    F: Fn(&Principal, &T) -> bool + Send + Sync + 'static,
{
}

impl<T, F, E> Predicate for Check<T, F, Result<bool, E>>
where
    T: ?Sized + 'static,
    F: Fn(&Principal, &T) -> Result<bool, E> + Send + Sync + 'static,
    E: Into<BoxError> + 'static,
{
}

impl<T: ?Sized, F: Clone, A> Clone for Check<T, F, A> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            fails: Arc::clone(&self.fails),
            check: self.check.clone(),
            types: PhantomData,
        }
    }
}

impl<T: ?Sized, F, A> fmt::Debug for Check<T, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The return types of a [`check`]: `bool`, `Result<bool, E>` or [`Verdict`].
pub trait CheckResult: sealed::Sealed + 'static {
    #[doc(hidden)]
    fn verdict(self, fails: &Arc<str>) -> Verdict;
}

impl CheckResult for bool {
    fn verdict(self, fails: &Arc<str>) -> Verdict {
        Verdict::holds_if(self, || Denial::new(Arc::clone(fails)))
    }
}

impl<E: Into<BoxError> + 'static> CheckResult for Result<bool, E> {
    fn verdict(self, fails: &Arc<str>) -> Verdict {
        match self {
            Ok(holds) => holds.verdict(fails),
            Err(error) => Verdict::could_not_tell(error),
        }
    }
}

impl CheckResult for Verdict {
    fn verdict(self, _: &Arc<str>) -> Verdict {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bool {}
    impl<E> Sealed for Result<bool, E> {}
    impl Sealed for super::Verdict {}
}
