use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;

/// The proof that the signature of a request was verified. [`Webhook`](crate::Webhook) puts it into the extensions.
///
/// A handler that takes it never runs for an unverified request. With the feature `axum` it is an extractor.
///
/// ```
/// use http::Request;
/// use palisade_webhook::Verified;
///
/// fn handle<B>(request: &Request<B>) -> Option<String> {
///     let verified = Verified::from_extensions(request.extensions())?;
///     Some(format!("{} from {}", verified.id().unwrap_or("a delivery"), verified.scheme()))
/// }
/// ```
#[derive(Clone)]
pub struct Verified(Arc<Inner>);

struct Inner {
    scheme: Box<str>,
    id: Option<Box<str>>,
    timestamp: Option<Duration>,
    key_id: Arc<str>,
}

impl Verified {
    pub(crate) fn new(
        scheme: &str,
        id: Option<&str>,
        timestamp: Option<Duration>,
        key_id: &Arc<str>,
    ) -> Self {
        Self(Arc::new(Inner {
            scheme: scheme.into(),
            id: id.map(Into::into),
            timestamp,
            key_id: Arc::clone(key_id),
        }))
    }

    /// Returns the proof, or `None` if no [`Webhook`](crate::Webhook) has verified the request.
    pub fn from_extensions(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the name of the scheme: `stripe`, `github`, `slack`, `twilio`, `shopify`, `standard`, `svix`, `http-signatures`, or the name of an
    /// [`HmacScheme`](crate::HmacScheme).
    pub fn scheme(&self) -> &str {
        &self.0.scheme
    }

    /// Returns the sender's id of the delivery or the event, which is the same for all attempts. Each scheme documents its source
    /// and whether it is signed.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// Returns the signed timestamp, since the Unix epoch, or `None` if the scheme signs none. It is within the tolerance.
    pub fn timestamp(&self) -> Option<Duration> {
        self.0.timestamp
    }

    /// Returns the configured name of the secret that matched. Remove an old secret when requests no longer use it.
    pub fn key_id(&self) -> &str {
        &self.0.key_id
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("scheme", &self.0.scheme)
            .field("id", &self.0.id)
            .field("timestamp", &self.0.timestamp)
            .field("key_id", &self.0.key_id)
            .finish()
    }
}
