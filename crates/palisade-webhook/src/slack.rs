use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use palisade_core::{ConfigError, Secret};
use serde::Deserialize;

use crate::{HmacScheme, hmac_scheme::Vendor};

/// [Slack](https://docs.slack.dev/authentication/verifying-requests-from-slack):
/// `X-Slack-Signature: v0=a2114d57…` and `X-Slack-Request-Timestamp: 1531420618`.
///
/// The HMAC-SHA-256 of `v0:`, the timestamp, a colon and the body, with the app's signing secret. Events, slash commands
/// and interactions are signed in the same way.
///
/// When the address of an app is set, Slack sends a
/// [`url_verification`](https://docs.slack.dev/reference/events/url_verification) and wants its challenge back. It is
/// answered by the layer instead of the handler, after its signature is verified. [`Verified::id`](crate::Verified::id) is the
/// `event_id` of an event, which stays the same when Slack tries again.
///
/// ```
/// use std::time::Duration;
/// use palisade_webhook::{Slack, Webhook};
///
/// let layer = Webhook::slack("8f742231b10e8888abcd99yyyzzz85a5").build()?;
///
/// // a request of Slack
/// let now = Duration::from_secs(1_531_420_618);
/// let headers = Slack::sign("8f742231b10e8888abcd99yyyzzz85a5", now, br#"{"type":"event_callback"}"#)?;
/// assert_eq!(headers["x-slack-request-timestamp"], "1531420618");
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Slack {}

/// A challenge is a short token in a short body. Larger ones are ignored.
const LONGEST_CHALLENGE: usize = 4096;

impl Slack {
    pub(crate) fn scheme() -> HmacScheme {
        HmacScheme::new("slack", "x-slack-signature")
            .prefix("v0=")
            .signs("v0:{timestamp}:{body}")
            .timestamp_header("x-slack-request-timestamp")
            .id_in_json("event_id")
            .with_vendor(Vendor { reply: answer_challenge, ..Vendor::default() })
    }

    /// Returns the headers that Slack would send with this body at this time since the Unix epoch.
    ///
    /// # Errors
    ///
    /// For a secret that [`Webhook::slack`](crate::Webhook::slack) refuses.
    pub fn sign(
        secret: impl Into<Secret>,
        timestamp: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, ConfigError> {
        Self::scheme().sign(secret, "", timestamp, body)
    }
}

fn answer_challenge(body: &[u8]) -> Option<Response<Bytes>> {
    #[derive(Deserialize)]
    struct Verification {
        r#type: String,
        challenge: String,
    }
    if body.len() > LONGEST_CHALLENGE {
        return None;
    }
    let verification: Verification = serde_json::from_slice(body).ok()?;
    if verification.r#type != "url_verification" {
        return None;
    }
    let mut response = Response::new(Bytes::from(verification.challenge));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // The text is the client's, so a browser must not render it as a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}
