use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;

/// The proof that a request was sent by whom it should be. [`Webhook`](crate::Webhook) leaves it in the extensions.
///
/// A handler that asks for it cannot run for a request that nobody verified. With the feature `axum` it is an
/// extractor.
///
/// ```
/// use http::Request;
/// use palisade_webhook::Verified;
///
/// fn handle<B>(request: &Request<B>) -> Option<String> {
///     let verified = Verified::of(request.extensions())?;
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

    /// Finds the proof. `None`: no [`Webhook`](crate::Webhook) let this request pass.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// How it was signed: `stripe`, `github`, `slack`, `twilio`, `shopify`, `standard`, `svix`, `http-signatures`, or the name of an
    /// [`HmacScheme`](crate::HmacScheme).
    pub fn scheme(&self) -> &str {
        &self.0.scheme
    }

    /// The sender's own name for the delivery or the event: the same when it is sent again. What it is, and whether it
    /// is signed, each scheme says.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// When the sender says it was signed, since the Unix epoch. It is within the tolerance of now. `None`: the scheme
    /// signs no time.
    pub fn timestamp(&self) -> Option<Duration> {
        self.0.timestamp
    }

    /// Which secret it was, by the name that you gave it: when no request has the old one any more, it can go.
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
