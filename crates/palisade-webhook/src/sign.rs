use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::IntoHeaderName};

/// The headers that a signer made. What goes in is hexadecimal, base64 and what was checked, so all of it is a value.
pub(crate) struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new() -> Self {
        Self(HeaderMap::new())
    }

    pub(crate) fn with(mut self, name: impl IntoHeaderName, value: String) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            // What proves a request is worth as much as what it says.
            value.set_sensitive(true);
            self.0.insert(name, value);
        }
        self
    }

    pub(crate) fn done(self) -> HeaderMap {
        self.0
    }
}

/// A time since the Unix epoch, as headers write it.
pub(crate) fn unix_seconds(time: Duration) -> String {
    time.as_secs().to_string()
}
