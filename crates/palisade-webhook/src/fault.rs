use std::fmt;

use http::{HeaderValue, header};
use palisade_core::{ApiError, LogSampler};

/// The reason of a rejection. It is logged, and not sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A required header is missing, or no signature has a known version.
    Missing(&'static str),
    /// A header or a signed part of the request is malformed.
    Malformed(&'static str),
    /// The timestamp is too far in the past or in the future.
    Stale,
    /// None of the configured secrets made any of the signatures.
    Mismatch,
}

/// Says what to look at, for the log.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "`{what}` is missing"),
            Self::Malformed(what) => write!(f, "`{what}` is malformed"),
            Self::Stale => f.write_str(
                "the timestamp is too far in the past or in the future: the delivery was delayed or repeated, or the clocks differ",
            ),
            Self::Mismatch => f.write_str(
                "no configured secret made the signature: the secret is another endpoint's, or the body or the address was \
                 changed on its way",
            ),
        }
    }
}

impl Fault {
    pub(crate) fn into_error(self, scheme: &str) -> ApiError {
        static SAMPLER: LogSampler = LogSampler::new();
        // Any client can cause such a line.
        match SAMPLER.sample() {
            Some(suppressed) => {
                tracing::info!(target: "palisade::webhook", suppressed, scheme, reason = %self, "a webhook was rejected");
            }
            None => {
                tracing::debug!(target: "palisade::webhook", scheme, reason = %self, "a webhook was rejected");
            }
        }
        if let Self::Malformed(_) = self {
            return ApiError::bad_request().with_message("the webhook's signature is malformed");
        }
        // One response for all reasons, so that an attacker learns nothing. RFC 9110, section 15.5.2 requires a challenge;
        // there is no registered scheme for webhooks.
        let challenge = HeaderValue::from_str(&format!("Webhook realm=\"{scheme}\""))
            .unwrap_or(HeaderValue::from_static("Webhook"));
        ApiError::unauthenticated()
            .with_message("the webhook's signature is not valid")
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }
}
