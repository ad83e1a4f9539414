use std::{any::type_name, borrow::Cow};

/// What the engine, combinators and observers need to know of a policy. Returned by
/// [`Policy::describe`](crate::Policy::describe).
///
/// A policy that wraps another one returns the description of that policy, perhaps with another name.
///
/// ```
/// use palisade_core::Description;
///
/// let described = Description::new("tenant_header").header_fields(1);
/// assert_eq!(described.name(), "tenant_header");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    name: Cow<'static, str>,
    header_fields: usize,
    adds_trail: bool,
}

impl Description {
    /// Creates the description of a policy with this name in logs, metrics and a [`Trail`](crate::Trail). The name must be the
    /// same for all requests, because it is a label of metrics.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), header_fields: 0, adds_trail: false }
    }

    /// Creates the description of a policy whose name is that of its type, without path and parameters: `Jwt` for
    /// `palisade_auth::Jwt<app::Claims>`.
    ///
    /// ```
    /// use palisade_core::Description;
    ///
    /// struct OpeningHours;
    /// assert_eq!(Description::of_type::<OpeningHours>().name(), "OpeningHours");
    /// ```
    pub fn of_type<P: ?Sized>() -> Self {
        Self::new(short_name(type_name::<P>()))
    }

    /// Sets how many header fields [`finish`](crate::Policy::finish) writes at most. Default: 0.
    ///
    /// The engine reserves space once for all policies of a chain, because a map that grows in steps is copied at each step. The
    /// number is a hint: a policy may write more.
    #[must_use]
    pub fn header_fields(mut self, most: usize) -> Self {
        self.header_fields = most;
        self
    }

    /// States that the policy inserts a [`Trail`](crate::Trail) into requests, for the inner policies of the same chain.
    #[must_use]
    pub fn adds_trail(mut self) -> Self {
        self.adds_trail = true;
        self
    }

    /// Returns the same description with another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name as a value that can be stored.
    pub fn into_name(self) -> Cow<'static, str> {
        self.name
    }

    /// Returns the description of two policies in a row.
    pub(crate) fn then(self, inner: &Self) -> Self {
        Self {
            name: format!("{}.then({})", self.name, inner.name).into(),
            header_fields: self.header_fields + inner.header_fields,
            adds_trail: self.adds_trail || inner.adds_trail,
        }
    }

    /// Returns the description of one of two policies.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            name: format!("any_of({}, {})", self.name, other.name).into(),
            header_fields: self.header_fields.max(other.header_fields),
            adds_trail: self.adds_trail || other.adds_trail,
        }
    }

    pub(crate) fn most_header_fields(&self) -> usize {
        self.header_fields
    }

    pub(crate) fn has_trail(&self) -> bool {
        self.adds_trail
    }
}

fn short_name(full: &'static str) -> &'static str {
    let generic = full.find('<').unwrap_or(full.len());
    let path = &full[..generic];
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_name_has_no_path_and_parameters() {
        assert_eq!(short_name("a::b::Jwt<c::Claims, d::E>"), "Jwt");
        assert_eq!(short_name("()"), "()");
    }

    #[test]
    fn combinations_add_up_and_show_their_parts() {
        let outer = Description::new("a").header_fields(2);
        let inner = Description::new("b").header_fields(3).adds_trail();
        let (row, either) = (outer.clone().then(&inner), outer.or(&inner));
        assert_eq!((row.name(), row.most_header_fields(), row.has_trail()), ("a.then(b)", 5, true));
        assert_eq!((either.name(), either.most_header_fields()), ("any_of(a, b)", 3));
        assert!(either.has_trail());
    }
}
