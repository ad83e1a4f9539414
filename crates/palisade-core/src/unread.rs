use std::{
    any::Any,
    fmt,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Version, header, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::BytesBody;

/// Sets how much of an unread request body is discarded after the request was rejected.
///
/// If the server closes an HTTP/1.1 connection while the client is still sending the body, the client loses the response: the
/// unread bytes make the server's kernel reset the connection, and the client's kernel discards the received data (RFC 9112,
/// section 9.6). Of 25 requests of 20 MB by Node's `fetch`, only 2 receive a 413 that way. Palisade therefore continues to read
/// in a separate task while the response is sent, and discards the bytes.
///
/// Default: 32 MiB and 10 s for each rejected request. Beyond that, the server closes the connection. The request's other
/// resources are released before; only the connection stays open. Nothing is read for HTTP/2, whose streams end separately, for
/// a client that waits for `100 Continue`, or outside a tokio runtime. The time limit needs the runtime's timer.
///
/// The body must be of a server's type: hyper's `Incoming`, or with the features `axum` and `tonic` those of axum and tonic.
/// Behind a layer that changes the type, `MapRequestBody::new(axum::body::Body::new)` restores it.
///
/// The default applies without any setting. This policy changes it for the layers inside it:
///
/// ```
/// use std::time::Duration;
/// use palisade_core::{DiscardUnread, PolicyLayer};
///
/// let layer = PolicyLayer::new(DiscardUnread::up_to(1024 * 1024, Duration::from_secs(2)));
/// let off = PolicyLayer::new(DiscardUnread::none());
/// assert_eq!(DiscardUnread::default(), DiscardUnread::up_to(32 * 1024 * 1024, Duration::from_secs(10)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardUnread {
    bytes: u64,
    time: Duration,
}

impl Default for DiscardUnread {
    fn default() -> Self {
        Self::up_to(32 * 1024 * 1024, Duration::from_secs(10))
    }
}

impl DiscardUnread {
    /// Reads and discards up to `bytes` bytes, for up to `time`.
    pub const fn up_to(bytes: u64, time: Duration) -> Self {
        Self { bytes, time }
    }

    /// Discards nothing, so that the server closes the connection of a client that is still sending.
    pub const fn none() -> Self {
        Self::up_to(0, Duration::ZERO)
    }

    /// Returns the setting for a request, if its client may still be sending a body.
    fn for_request(request: &request::Parts) -> Option<Self> {
        Self::for_head(request.version, &request.headers, &request.extensions)
    }

    fn for_head(version: Version, headers: &HeaderMap, extensions: &Extensions) -> Option<Self> {
        // A client that waits for `100 Continue` sends nothing, and a read would cause the server to send it.
        let sends = version <= Version::HTTP_11 && !headers.contains_key(header::EXPECT);
        let setting: Self = extensions.get().copied().unwrap_or_default();
        (sends && setting.bytes > 0).then_some(setting)
    }
}

/// Discards the body of a request that is rejected before its body is read. See [`DiscardUnread`].
#[doc(hidden)]
pub fn discard_unread<B: 'static>(request: &request::Parts, body: B) {
    if let Some(setting) = DiscardUnread::for_request(request) {
        discard(body, setting);
    }
}

/// Reads a body that a server made. Other types may be `!Send`, or no body at all, and are dropped.
#[cold]
fn discard<B: 'static>(body: B, setting: DiscardUnread) {
    let mut body = Some(body);
    let body: &mut dyn Any = &mut body;
    if let Some(body) = taken::<hyper::body::Incoming>(body) {
        read(body, setting);
    }
    #[cfg(feature = "axum")]
    if let Some(body) = taken::<axum::body::Body>(body) {
        read(body, setting);
    }
    #[cfg(feature = "tonic")]
    if let Some(body) = taken::<tonic::body::Body>(body) {
        read(body, setting);
    }
}

/// Takes the body out of its option, if it is of this type.
fn taken<B: 'static>(body: &mut dyn Any) -> Option<B> {
    body.downcast_mut().and_then(Option::take)
}

fn read<B: Body<Data = Bytes> + Send + 'static>(body: B, setting: DiscardUnread) {
    if body.is_end_stream() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let all = async move {
            let mut body = pin!(body);
            let mut left = setting.bytes;
            while let Some(Ok(frame)) = body.frame().await {
                let read = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(read) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        };
        // The task is detached and ends by its own limits.
        let _ = tokio::time::timeout(setting.time, all).await;
    });
}

/// A request body whose unread rest is discarded when the body is dropped. See [`DiscardUnread`].
#[doc(hidden)]
pub struct DiscardOnDrop<B> {
    /// `None` once it was dropped.
    body: Option<B>,
    /// A function pointer, because `Drop` cannot have bounds of its own.
    discard: Option<(Discard<B>, DiscardUnread)>,
}

type Discard<B> = fn(B, DiscardUnread);

impl<B: BytesBody + Unpin + 'static> DiscardOnDrop<B> {
    #[inline]
    pub fn new(request: &request::Parts, body: B) -> Self {
        // Most requests have no body.
        let is_over = body.is_end_stream();
        let setting = if is_over { None } else { DiscardUnread::for_request(request) };
        Self::with_setting(body, setting)
    }

    /// Replaces the body of a request. The head is moved once.
    #[inline]
    pub fn map_request<T>(request: Request<B>, map: impl FnOnce(Self) -> T) -> Request<T> {
        let is_over = request.body().is_end_stream();
        let setting =
            || DiscardUnread::for_head(request.version(), request.headers(), request.extensions());
        let setting = if is_over { None } else { setting() };
        request.map(|body| map(Self::with_setting(body, setting)))
    }

    #[inline]
    fn with_setting(body: B, setting: Option<DiscardUnread>) -> Self {
        Self {
            body: Some(body),
            discard: setting.map(|setting| (discard::<B> as Discard<B>, setting)),
        }
    }
}

impl<B> DiscardOnDrop<B> {
    /// Returns the body, unless it was dropped.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    /// Records that the body has ended or failed, so that nothing is discarded on drop.
    #[inline]
    pub fn set_ended(&mut self) {
        self.discard = None;
    }
}

impl<B> Drop for DiscardOnDrop<B> {
    fn drop(&mut self) {
        if let (Some((discard, setting)), Some(body)) = (self.discard, self.body.take()) {
            discard(body, setting);
        }
    }
}

impl<B: BytesBody + Unpin> Body for DiscardOnDrop<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &polled {
            self.discard = None;
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for DiscardOnDrop<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiscardOnDrop")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::Policy;

    fn setting(request: request::Builder) -> Option<DiscardUnread> {
        let (head, ()) = request.body(()).unwrap().into_parts();
        DiscardUnread::for_request(&head)
    }

    #[test]
    fn default_applies_to_http_1_only() {
        let post = || Request::post("/");
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(setting(post().version(version)), Some(DiscardUnread::default()));
        }
        assert_eq!(setting(post().version(Version::HTTP_2)), None);
    }

    #[test]
    fn client_awaiting_100_continue_is_not_drained() {
        assert_eq!(setting(Request::post("/").header("expect", "100-continue")), None);
    }

    #[test]
    fn outer_policy_changes_the_setting() {
        let (mut head, ()) = Request::post("/").body(()).unwrap().into_parts();
        let one = DiscardUnread::up_to(1, Duration::from_secs(1));
        one.admit(&mut (), &mut head);
        assert_eq!(DiscardUnread::for_request(&head), Some(one));
        DiscardUnread::none().admit(&mut (), &mut head);
        assert_eq!(DiscardUnread::for_request(&head), None);
    }
}
