use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, header};

/// The cookies of a client, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cookies(Arc<Mutex<BTreeMap<String, String>>>);

impl Cookies {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores what a response sets.
    pub(crate) fn update(&self, response: &HeaderMap) {
        for cookie in response.get_all(header::SET_COOKIE) {
            let Ok(cookie) = cookie.to_str() else { continue };
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let is_removed = value.is_empty()
                || parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0"));
            if is_removed {
                self.lock().remove(name);
            } else {
                self.lock().insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Returns the pairs for the `Cookie` header.
    pub(crate) fn pairs(&self) -> Vec<String> {
        self.lock().iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}
