//! Rules for the values of a map: an adapter for garde, in which `inner` takes maps as well as lists.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use garde::Validate;
//! use palisade_validate::Validation;
//! use serde::Deserialize;
//!
//! #[derive(Debug, Deserialize, Validate)]
//! struct Labels {
//!     #[garde(adapt(palisade_validate::maps), length(max = 10), inner(length(chars, min = 1)))]
//!     labels: HashMap<String, String>,
//! }
//!
//! let error = Validation::new().json::<Labels>(br#"{"labels":{"de":"Lampe","fr":""}}"#).unwrap_err();
//! assert_eq!((&*error.issues()[0].path, &*error.issues()[0].code), ("labels.fr", "too_short"));
//! ```

pub use garde::rules::*;

/// The rules for the values.
pub mod inner {
    use std::collections::{BTreeMap, HashMap};

    /// Applies rules to each value.
    pub fn apply<M: Values>(map: &M, rules: impl FnMut(&M::Value, &M::Key)) {
        map.for_each(rules);
    }

    /// A map whose values can have rules.
    pub trait Values {
        /// A name in the map.
        type Key;

        /// What a name stands for.
        type Value;

        /// Visits each value.
        fn for_each(&self, visit: impl FnMut(&Self::Value, &Self::Key));
    }

    impl<K, V, S> Values for HashMap<K, V, S> {
        type Key = K;
        type Value = V;

        fn for_each(&self, mut visit: impl FnMut(&V, &K)) {
            self.iter().for_each(|(key, value)| visit(value, key));
        }
    }

    impl<K, V> Values for BTreeMap<K, V> {
        type Key = K;
        type Value = V;

        fn for_each(&self, mut visit: impl FnMut(&V, &K)) {
            self.iter().for_each(|(key, value)| visit(value, key));
        }
    }
}
