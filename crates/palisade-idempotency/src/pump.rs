use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::response;
use http_body::Frame;
use http_body_util::BodyExt;
use palisade_core::{Body, BoxError};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{body::copied, claimed::Claimed};

/// How long a response is read to its end after its client has disconnected.
const AFTER_DISCONNECT: Duration = Duration::from_secs(60);

/// Frames that the client has not read yet.
const FRAMES_AHEAD: usize = 4;

/// Streams a body of unknown size to the client, and stores it when it has ended.
///
/// A task reads the body, so that a client that disconnects does not end it. The client sees the end after the response was
/// stored, so that a retry that follows gets it.
pub(crate) fn copy_to_client<B>(claimed: Claimed, head: &response::Parts, body: Body<B>) -> Body<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (client, frames) = mpsc::channel(FRAMES_AHEAD);
    let mut stored_head = http::Response::new(()).into_parts().0;
    stored_head.status = head.status;
    stored_head.headers.clone_from(&head.headers);
    tokio::spawn(copy(claimed, stored_head, body, client));
    copied(frames)
}

async fn copy<B>(
    claimed: Claimed,
    head: response::Parts,
    body: Body<B>,
    client: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
) where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut copy = Copy { bytes: Some(Vec::new()), limit: claimed.rules.max_response };
    let mut disconnected: Option<Instant> = None;
    let trailers = loop {
        let frame = match disconnected {
            None => tokio::select! {
                frame = body.frame() => frame,
                () = client.closed() => {
                    disconnected = Some(Instant::now());
                    continue;
                }
            },
            Some(since) => match timeout_at(since + AFTER_DISCONNECT, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return claimed.complete(None).await,
            },
        };
        let frame = match frame {
            None => break None,
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                // Half a response is not stored: the claim is released before the client sees the error.
                drop(claimed);
                let _ = client.send(Err(error)).await;
                return;
            }
        };
        match frame.into_trailers() {
            Ok(trailers) => break Some(trailers),
            Err(frame) => {
                copy.append(&frame);
                if disconnected.is_some() && copy.bytes.is_none() {
                    return claimed.complete(None).await;
                }
                // A client that has disconnected is noticed above.
                let _ = client.send(Ok(frame)).await;
            }
        }
    };
    match copy.bytes {
        Some(bytes) => claimed.complete_with(&head, bytes.into(), trailers.clone()).await,
        None => claimed.complete(None).await,
    }
    if let Some(trailers) = trailers {
        let _ = client.send(Ok(Frame::trailers(trailers))).await;
    }
}

/// The bytes of a body, up to a limit.
struct Copy {
    /// `None` if the body has more.
    bytes: Option<Vec<u8>>,
    limit: usize,
}

impl Copy {
    fn append(&mut self, frame: &Frame<Bytes>) {
        let (Some(bytes), Some(data)) = (&mut self.bytes, frame.data_ref()) else { return };
        if bytes.len() + data.len() > self.limit {
            self.bytes = None;
        } else {
            bytes.extend_from_slice(data);
        }
    }
}
