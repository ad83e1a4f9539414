use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::IntoHeaderName};

/// The headers of a signer. Their values are hexadecimal, base64 and checked text, so each is a valid header value.
pub(crate) struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new() -> Self {
        Self(HeaderMap::new())
    }

    pub(crate) fn with(mut self, name: impl IntoHeaderName, value: String) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(value) {
            // A signature is as sensitive as the request.
            value.set_sensitive(true);
            self.0.insert(name, value);
        }
        self
    }

    pub(crate) fn done(self) -> HeaderMap {
        self.0
    }
}

/// Returns a time since the Unix epoch as header text.
pub(crate) fn unix_seconds(time: Duration) -> String {
    time.as_secs().to_string()
}
