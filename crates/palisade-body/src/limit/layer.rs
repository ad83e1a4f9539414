use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header};
use palisade_core::ConfigError;
use tower_layer::Layer;

use super::BodyLimitService;
use crate::ByteSize;

/// Refuses request bodies over a number of bytes with 413 `PAYLOAD_TOO_LARGE`; exactly the limit passes.
///
/// A declared length over the limit is refused before a byte is read, and the inner service is not called. Everything
/// else is counted as it streams: what a `Content-Length` says is never trusted beside a `Transfer-Encoding`, and
/// several that differ are a 400 (RFC 9112, section 6.3).
///
/// # The refusal is final
///
/// A body of unknown length may turn out too long while the handler reads it. The client then gets 413, whatever the
/// handler makes of it:
///
/// | the handler | the client gets |
/// | --- | --- |
/// | fails, or swallows the body's error and answers 200 | 413 |
/// | answers 2xx or 3xx without having read the body, or all of it | its answer, once the rest has arrived and is within the limit; else 413 |
/// | the same, and the rest does not come within 10 s ([`drain_within`](Self::drain_within)) | 408 |
/// | answers 4xx or 5xx without having read it all | its answer, at once |
/// | answers while it goes on reading, and the body goes over then | a response that breaks off: HTTP/1.1 closes the connection, HTTP/2 resets the stream; gRPC and gRPC-web end with `RESOURCE_EXHAUSTED` and its details |
///
/// The reader sees [`http_body_util::LengthLimitError`] and then the end, and no byte beyond the limit.
/// [`buffered`](Self::buffered) decides before the handler is called instead, at the price of memory.
///
/// # Beside other limits
///
/// - A limit on a route, inside another, may be *smaller* without more ado. It may be *larger* if the outer one is
///   [`overridable`](Self::overridable).
/// - axum's extractors have a limit of their own, 2 MB. Where ours is larger, switch theirs off with
///   `axum::extract::DefaultBodyLimit::disable()`, as a layer on the router or the route.
/// - tonic's decoders have one too, 4 MB a message: `max_decoding_message_size` of the generated server.
///
/// # The inner service
///
/// It gets its request with a [`LimitedBody`](crate::LimitedBody). [`MapRequestBody`](crate::MapRequestBody) hands it on
/// in the type that a service asks for.
///
/// The body that comes in has to be `Unpin`, as those of servers are. For one that is not, put
/// `MapRequestBody::new(Box::pin)` around this layer.
///
/// ```
/// use palisade_body::{BodyLimit, ByteSize};
///
/// let layer = BodyLimit::new(1024 * 1024); // bytes
/// let layer = BodyLimit::new(ByteSize::parse("1mb")?)
///     .for_content_type("multipart/form-data", ByteSize::mb(50))?
///     .overridable();
/// # Ok::<_, palisade_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyLimit {
    rules: Arc<Rules>,
}

#[derive(Clone, Debug)]
pub(super) struct Rules {
    limit: u64,
    by_type: Vec<(MediaType, u64)>,
    pub(super) mode: Mode,
    pub(super) overridable: bool,
    pub(super) each_message: bool,
    pub(super) drain_within: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Streaming,
    Buffered,
}

const DRAIN_WITHIN: Duration = Duration::from_secs(10);

impl BodyLimit {
    /// At most so many bytes of body.
    ///
    /// ```
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(64 * 1024); // bytes
    /// let layer = BodyLimit::new(ByteSize::mb(1));
    /// let layer = BodyLimit::new(ByteSize::parse("500kb")?);
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    pub fn new(limit: impl Into<ByteSize>) -> Self {
        Self {
            rules: Arc::new(Rules {
                limit: limit.into().bytes(),
                by_type: Vec::new(),
                mode: Mode::Streaming,
                overridable: false,
                each_message: false,
                drain_within: Some(DRAIN_WITHIN),
            }),
        }
    }

    /// Another limit for bodies of one media type, such as `multipart/form-data`, or of all types of a kind, such as
    /// `image/*`. Parameters of a `Content-Type` do not count, and capitals do not; the first rule that fits wins.
    ///
    /// The client says of what type its body is. A larger limit is therefore everybody's who says so, on every route
    /// inside: give it to routes whose handlers insist on the type, as extractors of JSON and multipart do.
    ///
    /// ```
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(ByteSize::kb(64))
    ///     .for_content_type("application/json", ByteSize::mb(1))?
    ///     .for_content_type("multipart/form-data", ByteSize::mb(50))?;
    /// assert!(BodyLimit::new(1).for_content_type("json", 1).is_err());
    /// # Ok::<_, palisade_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If `media_type` is not a type and a subtype without parameters.
    pub fn for_content_type(
        mut self,
        media_type: &str,
        limit: impl Into<ByteSize>,
    ) -> Result<Self, ConfigError> {
        let media_type = MediaType::parse(media_type)?;
        self.rules().by_type.push((media_type, limit.into().bytes()));
        Ok(self)
    }

    /// Makes this limit a default: a `BodyLimit` further in, on a route, replaces it, also with a larger one.
    ///
    /// Who is inside cannot be known before it is called. A body that *declares* more than this limit is therefore not
    /// refused at once: the inner service is called with a body that fails before its first byte, and whatever it
    /// answers, the client gets 413, unless a limit further in allows more. A handler that does not read its body runs.
    ///
    /// ```
    /// use axum::{Router, extract::DefaultBodyLimit, routing::post};
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// # async fn handler(body: bytes::Bytes) {}
    /// let app: Router = Router::new()
    ///     .route("/", post(handler))
    ///     .route("/upload", post(handler).layer(BodyLimit::new(ByteSize::mb(50))))
    ///     .layer(BodyLimit::new(ByteSize::mb(1)).overridable())
    ///     .layer(DefaultBodyLimit::disable()); // axum's own, 2 MB
    /// ```
    #[must_use]
    pub fn overridable(mut self) -> Self {
        self.rules().overridable = true;
        self
    }

    /// Reads the whole body under the limit before the inner service is called, which then gets it in one piece. A
    /// handler never sees part of a body that is refused, and a request takes up to the limit in memory.
    ///
    /// How long a client may take is for a [`Deadline`](crate::Deadline) outside to say.
    ///
    /// ```
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(ByteSize::kb(64)).buffered();
    /// ```
    #[must_use]
    pub fn buffered(mut self) -> Self {
        self.rules().mode = Mode::Buffered;
        self
    }

    /// How long the rest of a body may take that the handler has not read, 10 s unless said otherwise. No more than the
    /// limit is read and nothing of it is kept. It takes tokio's timer, and only if the rest is not there already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(ByteSize::mb(1)).drain_within(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn drain_within(mut self, time: Duration) -> Self {
        self.rules().drain_within = Some(time);
        self
    }

    /// Does not count what the handler does not read: its answer goes out at once. For services that answer early on
    /// purpose, and read on or not.
    ///
    /// ```
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(ByteSize::mb(1)).ignore_unread();
    /// ```
    #[must_use]
    pub fn ignore_unread(mut self) -> Self {
        self.rules().drain_within = None;
        self
    }

    /// Limits each message of a gRPC or gRPC-web request, as its prefix declares it, instead of the whole stream, which may
    /// then be of any length. A message that the service does not read is not counted.
    ///
    /// The content type says that a request is gRPC, and the client chooses it. Use this only where all handlers are gRPC
    /// methods, as in a tonic server: any other handler that collects a body would collect one without end.
    ///
    /// ```
    /// use palisade_body::{BodyLimit, ByteSize};
    ///
    /// let layer = BodyLimit::new(ByteSize::mb(4)).per_grpc_message();
    /// ```
    #[must_use]
    pub fn per_grpc_message(mut self) -> Self {
        self.rules().each_message = true;
        self
    }

    fn rules(&mut self) -> &mut Rules {
        Arc::make_mut(&mut self.rules)
    }
}

impl<S> Layer<S> for BodyLimit {
    type Service = BodyLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyLimitService::new(inner, Arc::clone(&self.rules))
    }
}

impl Rules {
    pub(super) fn limit_for(&self, headers: &HeaderMap) -> u64 {
        if self.by_type.is_empty() {
            return self.limit;
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).map(str::trim);
        self.by_type
            .iter()
            .find(|(media_type, _)| essence.is_some_and(|essence| media_type.matches(essence)))
            .map_or(self.limit, |(_, limit)| *limit)
    }
}

#[derive(Clone, Debug)]
struct MediaType {
    kind: Box<str>,
    /// `None`: all of them.
    subtype: Option<Box<str>>,
}

impl MediaType {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let is_token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        match text.trim().split_once('/') {
            Some((kind, subtype)) if is_token(kind) && kind != "*" && is_token(subtype) => {
                Ok(Self { kind: kind.into(), subtype: (subtype != "*").then(|| subtype.into()) })
            }
            _ => Err(ConfigError::new(
                "content type",
                text,
                "write a type and a subtype without parameters, such as `multipart/form-data` or `image/*`",
            )),
        }
    }

    fn matches(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            kind.eq_ignore_ascii_case(&self.kind)
                && self.subtype.as_ref().is_none_or(|own| subtype.eq_ignore_ascii_case(own))
        })
    }
}
