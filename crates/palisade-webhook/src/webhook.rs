use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request};
use palisade_core::{
    BodyPolicy, BodyPolicyLayer, BodyPolicyService, Clock, Decision, Halt, Secret,
};
use sha2::{Digest, Sha256};
use tower_layer::Layer;

use crate::{
    GitHub, HmacScheme, HttpSignatures, Shopify, Slack, Standard, Stripe, Twilio, Verified,
    WebhookBuilder,
    hmac_scheme::Described,
    key::Keys,
    replay::{Outcome, Pending, Ready, Reservation, Settle},
    scheme::{Fault, Scheme, SignatureHeaders},
    timestamp::{Timestamp, Tolerance},
};

/// Verifies the signatures of webhooks, as a tower layer.
///
/// The body is read up to a limit, verified byte for byte, and passed on unchanged; the handler finds
/// [`Verified`] in the request's extensions. Requests of every method are verified.
///
/// | request | response |
/// | --- | --- |
/// | no signature, a wrong one, or a timestamp outside the tolerance | 401 `UNAUTHENTICATED`; the log has the reason |
/// | a signature header that is malformed, repeated or too long | 400 `BAD_REQUEST` |
/// | a body over the limit | 413 `PAYLOAD_TOO_LARGE` |
/// | a delivery that was processed before, with [`Replays`](crate::Replays) | 200, or 409 `DUPLICATE_DELIVERY` |
/// | a delivery that is being processed | 409 `DELIVERY_IN_PROGRESS` |
/// | any, while the store of replays fails | 503 `UNAVAILABLE` |
///
/// Headers and timestamps are checked before the body is read. Clones share everything.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::{BodyExt, Full};
/// use palisade_core::{Clock, SystemClock};
/// use palisade_webhook::{Stripe, Verified, Webhook};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # fn main() -> Result<(), palisade_core::BoxError> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # type In = palisade_core::Body<Full<Bytes>>;
/// let secret = "whsec_5yJ2nGd0tGZc8fVt7bqW3mKx1oLpQr9s";
/// let service = Webhook::stripe(secret).build()?.layer(service_fn(|request: Request<In>| async move {
///     let verified = Verified::from_extensions(request.extensions()).expect("verified").clone();
///     assert_eq!(verified.id(), Some("evt_1"));
///     Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
/// }));
///
/// let body = r#"{"id":"evt_1"}"#;
/// let mut request = Request::post("/webhooks/stripe").body(Full::<Bytes>::from(body))?;
/// request.headers_mut().extend(Stripe::sign(secret, SystemClock.unix(), body.as_bytes())?);
/// let passes = service.clone().oneshot(request).await?;
/// assert_eq!(passes.into_body().collect().await?.to_bytes(), body);
///
/// let unsigned = Request::post("/webhooks/stripe").body(Full::<Bytes>::from(body))?;
/// assert_eq!(service.oneshot(unsigned).await?.status(), StatusCode::UNAUTHORIZED);
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone)]
pub struct Webhook {
    policy: Verify,
    limit: usize,
}

impl Webhook {
    /// [Stripe], with the endpoint's signing secret (`whsec_…`).
    pub fn stripe(secret: impl Into<Secret>) -> WebhookBuilder {
        Self::hmac(Stripe::scheme(), secret)
    }

    /// [GitHub], with the secret of the webhook.
    pub fn github(secret: impl Into<Secret>) -> WebhookBuilder {
        Self::hmac(GitHub::scheme(), secret)
    }

    /// [Slack], with the app's signing secret.
    pub fn slack(secret: impl Into<Secret>) -> WebhookBuilder {
        Self::hmac(Slack::scheme(), secret)
    }

    /// [Twilio], with the account's auth token, and the address that Twilio calls up to where the path begins
    /// that your service sees.
    pub fn twilio(auth_token: impl Into<Secret>, public_url: &str) -> WebhookBuilder {
        let scheme = Twilio::new(public_url);
        WebhookBuilder::new(
            scheme.map(|scheme| Box::new(scheme) as Box<dyn Scheme>),
            auth_token.into(),
        )
    }

    /// [Shopify], with the app's client secret.
    pub fn shopify(secret: impl Into<Secret>) -> WebhookBuilder {
        Self::hmac(Shopify::scheme(), secret)
    }

    /// [Standard Webhooks](Standard), with a secret (`whsec_…`) or a public key (`whpk_…`).
    pub fn standard(secret: impl Into<Secret>) -> WebhookBuilder {
        WebhookBuilder::new(Ok(Box::new(Standard::WEBHOOK)), secret.into())
    }

    /// [Svix](Standard): the same, in its own headers.
    pub fn svix(secret: impl Into<Secret>) -> WebhookBuilder {
        WebhookBuilder::new(Ok(Box::new(Standard::SVIX)), secret.into())
    }

    /// Verifies any other vendor's HMAC by its [description](HmacScheme).
    #[allow(clippy::needless_pass_by_value, reason = "a description is made for this one call")]
    pub fn hmac(scheme: HmacScheme, secret: impl Into<Secret>) -> WebhookBuilder {
        let scheme = Described::new(&scheme);
        WebhookBuilder::new(scheme.map(|scheme| Box::new(scheme) as Box<dyn Scheme>), secret.into())
    }

    /// [HTTP Message Signatures](HttpSignatures), of RFC 9421. The sender names its key, so give each secret the name
    /// that it has there: [`key_id`](WebhookBuilder::key_id) for this one.
    pub fn http_signatures(scheme: HttpSignatures, secret: impl Into<Secret>) -> WebhookBuilder {
        let scheme = scheme.check().map(|()| Box::new(scheme) as Box<dyn Scheme>);
        WebhookBuilder::new(scheme, secret.into())
    }

    pub(crate) fn from_policy(policy: Verify, limit: usize) -> Self {
        Self { policy, limit }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("policy", &self.policy).field("limit", &self.limit).finish()
    }
}

impl<S> Layer<S> for Webhook {
    type Service = BodyPolicyService<Settle<S>, Verify>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyPolicyLayer::new(self.policy.clone(), self.limit).layer(Settle(inner))
    }
}

/// The policy of [`Webhook`].
#[doc(hidden)]
#[derive(Clone)]
pub struct Verify {
    pub(crate) rules: Arc<Rules>,
}

pub(crate) struct Rules {
    pub(crate) scheme: Box<dyn Scheme>,
    pub(crate) keys: Keys,
    /// `None` for schemes without timestamps.
    pub(crate) tolerance: Option<Tolerance>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) replays: Option<Arc<Ready>>,
}

impl Rules {
    fn read<'r>(&self, head: &'r request::Parts) -> Result<SignatureHeaders<'r>, Fault> {
        let presented = self.scheme.read(head)?;
        match (self.tolerance, presented.timestamp) {
            (None, None) => {}
            (Some(tolerance), Some(timestamp)) => tolerance.check(timestamp, &*self.clock)?,
            // No built-in scheme does this. If one did, the request must not be allowed.
            _ => return Err(Fault::Stale),
        }
        if let Some(end) = presented.expires {
            Tolerance::check_end(end, &*self.clock)?;
        }
        Ok(presented)
    }

    fn verify(&self, head: &request::Parts, body: &Bytes) -> Result<VerifiedRequest, Fault> {
        // Checked again, because the body may have taken long to arrive.
        let presented = self.read(head)?;
        let messages = self.scheme.messages(&presented, head, body)?;
        let signed_by = self.keys.which_signed(&messages, &presented);
        let key_id = signed_by.ok_or(Fault::Mismatch)?;
        let id_in_body = self.scheme.id_in_body(body);
        let id = presented.id.or(id_in_body.as_deref());
        let timestamp = presented.timestamp.map(Timestamp::unix);
        let delivery = self.replays.as_ref().map(|replays| {
            replays.key(id, || {
                let pieces = messages.iter().take(1).flatten();
                pieces.fold(Sha256::new(), Digest::chain_update).finalize().into()
            })
        });
        Ok(VerifiedRequest {
            verified: Verified::new(self.scheme.name(), id, timestamp, key_id),
            delivery,
        })
    }
}

/// A request whose signature is valid.
struct VerifiedRequest {
    verified: Verified,
    /// The key in the store of replays.
    delivery: Option<String>,
}

/// The grant of a verified request.
#[doc(hidden)]
pub struct Admitted {
    verified: Verified,
    reservation: Option<Box<dyn Reservation>>,
}

impl BodyPolicy for Verify {
    type Grant = Admitted;

    fn applies(&self, head: &request::Parts) -> Result<bool, Halt> {
        let rules = &*self.rules;
        rules.read(head).map_err(|fault| fault.into_error(rules.scheme.name()))?;
        Ok(true)
    }

    fn decide(&self, head: &request::Parts, body: &Bytes) -> Decision<Admitted> {
        let rules = &*self.rules;
        let VerifiedRequest { verified, delivery } = match rules.verify(head, body) {
            Ok(passed) => passed,
            Err(fault) => return Decision::refuse(fault.into_error(rules.scheme.name())),
        };
        if let Some(response) = rules.scheme.reply(body) {
            return Decision::reply(response);
        }
        let (Some(replays), Some(delivery)) = (rules.replays.clone(), delivery) else {
            return Decision::grant(Admitted { verified, reservation: None });
        };
        Decision::later(async move {
            match replays.claim(delivery).await {
                Outcome::Process(reservation) => Ok(Admitted { verified, reservation }),
                Outcome::Acknowledge => Err(Halt::Reply(Box::new(Response::new(Bytes::new())))),
                Outcome::Refuse(error) => Err(error.into()),
            }
        })
    }

    fn admit(&self, admitted: &mut Admitted, request: &mut request::Parts) {
        request.extensions.insert(admitted.verified.clone());
        if let Some(reservation) = admitted.reservation.take() {
            request.extensions.insert(Pending::new(reservation));
        }
    }
}

impl fmt::Debug for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify")
            .field("scheme", &self.rules.scheme.name())
            .field("keys", &self.rules.keys)
            .field("tolerance", &self.rules.tolerance)
            .field("replays", &self.rules.replays)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("verified", &self.verified).finish_non_exhaustive()
    }
}
