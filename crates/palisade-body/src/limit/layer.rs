use std::{sync::Arc, time::Duration};

use palisade_core::ConfigError;
use tower_layer::Layer;

use super::{
    BodyLimitService,
    rules::{MediaType, Mode, Rules},
};
use crate::ByteSize;

/// Limits the size of request bodies. A larger body gets 413 `PAYLOAD_TOO_LARGE`; a body of exactly the limit is accepted.
///
/// A declared length over the limit is rejected before a byte is read, without calling the inner service. Other bodies are
/// counted as they stream. A `Content-Length` beside a `Transfer-Encoding` is ignored, and several different ones get 400 (RFC
/// 9112, section 6.3).
///
/// # The rejection is final
///
/// A body of unknown length can exceed the limit while the handler reads it. The client then gets 413 in all cases:
///
/// | the handler | the client gets |
/// | --- | --- |
/// | fails, or ignores the body's error and answers 200 | 413 |
/// | answers 2xx or 3xx without reading the whole body | its response, after the rest has arrived and is within the limit; else 413 |
/// | the same, and the rest does not arrive within 10 s ([`drain_within`](Self::drain_within)) | 408 |
/// | answers 4xx or 5xx without reading the whole body | its response, at once |
/// | answers before the body exceeds the limit | an aborted response: HTTP/1.1 closes the connection, HTTP/2 resets the stream; gRPC and gRPC-web end with `RESOURCE_EXHAUSTED` and its details |
///
/// The reader gets [`http_body_util::LengthLimitError`] and then the end, and no byte beyond the limit.
/// [`buffered`](Self::buffered) reads the body before it calls the handler instead, which takes memory.
///
/// # With other limits
///
/// - An inner limit on a route may be *smaller*. It may be *larger* if the outer one is [`overridable`](Self::overridable).
/// - axum's extractors have a limit of 2 MB. For a larger one, disable it with `axum::extract::DefaultBodyLimit::disable()`, as
///   a layer on the router or the route.
/// - tonic's decoders have a limit of 4 MB for each message: `max_decoding_message_size` of the generated server.
///
/// # The inner service
///
/// It receives a request with a [`LimitedBody`](crate::LimitedBody). [`MapRequestBody`](crate::MapRequestBody) converts it to
/// another type.
///
/// The incoming body must be `Unpin`, as the bodies of servers are. For another body, put `MapRequestBody::new(Box::pin)`
/// around this layer.
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

const DRAIN_WITHIN: Duration = Duration::from_secs(10);

impl BodyLimit {
    /// Sets the maximum size of bodies.
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

    /// Sets another limit for bodies of a media type, such as `multipart/form-data` or `image/*`. Case and parameters of
    /// `Content-Type` are ignored. The first matching rule applies.
    ///
    /// The client chooses its content type, so any client can use a larger limit on all inner routes. Add it to routes whose
    /// handlers require the type, as extractors of JSON and multipart do.
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

    /// Makes this limit a default that an inner `BodyLimit` on a route can replace, also by a larger one.
    ///
    /// The layer does not know inner limits before it calls the service. So a body that *declares* more than this limit is not
    /// rejected at once: the inner service receives a body that fails before its first byte, and the client gets 413 unless an
    /// inner limit allows more. A handler that does not read its body runs.
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
    #[must_use]
    pub fn buffered(mut self) -> Self {
        self.rules().mode = Mode::Buffered;
        self
    }

    /// Sets how long the layer waits for the unread rest of a body. Default: 10 s. At most the limit is read, and nothing is
    /// stored. Needs tokio's timer if the rest is not there yet.
    #[must_use]
    pub fn drain_within(mut self, time: Duration) -> Self {
        self.rules().drain_within = Some(time);
        self
    }

    /// Sends responses at once, without counting the unread rest of the body. For services that answer before they have read
    /// the body.
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
