//! What tonic's users need: messages that keep rules, checked by a call or by a layer.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use garde::Validate;
use http::{Extensions, request};
use palisade_core::{
    ApiError, BodyPolicy, BodyPolicyLayer, ConfigError, Decision, Halt, IssueSource,
};
use tonic::Status;

use crate::{
    RuleContext, Validation,
    message_coding::decompress,
    place::{Findings, Place, Step},
    rules::{self, Component},
};

/// Applies a message's rules, inside of a method. All that are broken are in the status: INVALID_ARGUMENT.
///
/// # Errors
///
/// A rule is broken.
///
/// ```
/// use garde::Validate;
/// use palisade_validate::validate_message;
///
/// // of a `.proto` file, with `type_attribute("Order", "#[derive(garde::Validate)]")` and
/// // `field_attribute("Order.amount", "#[garde(range(min = 1))]")` in `build.rs`
/// #[derive(Validate)]
/// struct Order {
///     #[garde(range(min = 1))]
///     amount: u32,
/// }
///
/// assert!(validate_message(&Order { amount: 1 }).is_ok());
/// let status = validate_message(&Order { amount: 0 }).unwrap_err();
/// assert_eq!(status.code(), tonic::Code::InvalidArgument);
/// ```
pub fn validate_message<T>(message: &T) -> Result<(), Status>
where
    T: Validate,
    T::Context: Default,
{
    validate_message_with(message, &T::Context::default())
}

/// The same, with garde's context.
///
/// # Errors
///
/// A rule is broken.
pub fn validate_message_with<T: Validate>(message: &T, context: &T::Context) -> Result<(), Status> {
    check(message, context, &Validation::new()).map_err(Status::from)
}

/// Fields of messages have the same names in Rust and in protobuf.
fn check<T: Validate>(
    message: &T,
    context: &T::Context,
    settings: &Validation,
) -> Result<(), ApiError> {
    let (broken, more) = rules::check(message, context);
    if broken.is_empty() {
        return Ok(());
    }
    let mut findings = Findings { truncated: more, ..Findings::default() };
    let found = broken.into_iter().map(|broken| {
        let steps = broken.path.iter().map(|component| match component {
            Component::Name(name) => Step::Name(name.clone()),
            Component::Item(at) => Step::Item(*at),
        });
        let place = Place(steps.collect());
        let other = broken.other_field().map(str::to_owned);
        broken.at(place, other.as_deref())
    });
    findings.add(IssueSource::Body, found);
    let error = settings.refuse(findings);
    let first = error.issues().first().map(|issue| format!("{}: {}", issue.path, issue.message));
    Err(match first {
        // Many clients show nothing but the message of a status.
        Some(first) => error.with_message(first),
        None => error,
    })
}

/// Applies the rules of unary methods' messages before the methods are called: a tower layer for tonic's server.
///
/// Requests for methods that are not listed pass unchanged. The layer reads native gRPC: place it inside tonic-web's
/// `GrpcWebLayer`.
///
/// # Compressed messages
///
/// A message that is compressed with `gzip`, `deflate` or `zstd` is decompressed for its rules if the feature of that name is
/// on, and reaches the method as it was sent. Turn on the codings that the service accepts (`accept_compressed` of the
/// generated server). Any other coding is UNIMPLEMENTED, with the supported ones in `grpc-accept-encoding`. The size limit
/// applies before and after decompression.
///
/// ```
/// use garde::Validate;
/// use palisade_validate::ValidateMessages;
///
/// #[derive(Clone, PartialEq, prost::Message, Validate)]
/// struct Order {
///     #[prost(uint32, tag = "1")]
///     #[garde(range(min = 1))]
///     amount: u32,
/// }
///
/// let layer = ValidateMessages::new().method::<Order>("/shop.Orders/Create").layer(4 * 1024 * 1024)?; // bytes
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct ValidateMessages {
    methods: HashMap<&'static str, Rules>,
    limit: usize,
}

type Rules = Arc<dyn Fn(&[u8], &Extensions) -> Result<(), ApiError> + Send + Sync>;

impl ValidateMessages {
    /// For no method yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method, by its path, and the message that it takes. Its rules get the [`RuleContext`] of the request, and
    /// issues are worded by the [`Validation`] in the request's extensions.
    #[must_use]
    pub fn method<M>(mut self, path: &'static str) -> Self
    where
        M: prost::Message + Default + Validate + 'static,
        M::Context: Send + Sync + 'static,
    {
        let rules = |message: &[u8], extensions: &Extensions| {
            let message = M::decode(message).map_err(|_| {
                ApiError::bad_request().with_message("the message is not what the method takes")
            })?;
            check(
                &message,
                &*RuleContext::<M::Context>::from_extensions(extensions)?,
                &Validation::from_extensions(extensions),
            )
        };
        self.methods.insert(path, Arc::new(rules));
        self
    }

    /// Returns the layer. It accepts messages of at most `limit` bytes, compressed and decompressed.
    ///
    /// # Errors
    ///
    /// A path is not of the form `/package.Service/Method`.
    pub fn layer(mut self, limit: usize) -> Result<BodyPolicyLayer<Self>, ConfigError> {
        for path in self.methods.keys() {
            if !path.starts_with('/') || path.matches('/').count() != 2 || path.ends_with('/') {
                return Err(ConfigError::new("method", path, "write `/package.Service/Method`"));
            }
        }
        self.limit = limit;
        Ok(BodyPolicyLayer::new(self, limit.saturating_add(PREFIX)))
    }
}

impl fmt::Debug for ValidateMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}

/// A flag and a length, before each message.
const PREFIX: usize = 5;

impl BodyPolicy for ValidateMessages {
    type Grant = ();

    fn applies(&self, request: &request::Parts) -> Result<bool, Halt> {
        Ok(self.methods.contains_key(request.uri.path()))
    }

    fn decide(&self, request: &request::Parts, body: &Bytes) -> Decision<()> {
        let Some(rules) = self.methods.get(request.uri.path()) else { return Decision::grant(()) };
        unframed(body)
            .and_then(|(is_compressed, message)| match is_compressed {
                false => Ok(Cow::Borrowed(message)),
                true => decompress(&request.headers, message, self.limit),
            })
            .and_then(|message| rules(&message, &request.extensions))
            .into()
    }
}

/// Returns the one message of a unary call, and whether it is compressed.
fn unframed(body: &[u8]) -> Result<(bool, &[u8]), ApiError> {
    let malformed =
        || ApiError::bad_request().with_message("the call does not have exactly one message");
    let (prefix, message) = body.split_first_chunk::<PREFIX>().ok_or_else(malformed)?;
    let [flag, length @ ..] = *prefix;
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(malformed());
    }
    match flag {
        0 => Ok((false, message)),
        1 => Ok((true, message)),
        _ => Err(malformed()),
    }
}
