//! Bodies of unknown length, as chunked ones are.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::BodyExt;
use palisade_core::{
    BoxError,
    testing::{Script, Step},
};

/// A script that does not say how long it is, and counts how many frames were taken from it.
pub(crate) struct Chunked {
    script: Script,
    stalls: bool,
    taken: Arc<AtomicUsize>,
}

impl Chunked {
    /// These chunks, each of which has to be waited for.
    pub(crate) fn new(chunks: &[&'static str]) -> Self {
        let steps = chunks.iter().flat_map(|chunk| [Step::Data(chunk), Step::Wait]);
        Self { script: Script::from_steps(steps), stalls: false, taken: Arc::default() }
    }

    pub(crate) fn script(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { script: Script::from_steps(steps), stalls: false, taken: Arc::default() }
    }

    /// Then nothing more comes, and no end either.
    pub(crate) fn stalling(mut self) -> Self {
        self.stalls = true;
        self
    }

    pub(crate) fn taken(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.taken)
    }
}

impl http_body::Body for Chunked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.script).poll_frame(cx) {
            Poll::Ready(None) if self.stalls => Poll::Pending,
            Poll::Ready(Some(frame)) => {
                self.taken.fetch_add(1, Ordering::SeqCst);
                Poll::Ready(Some(frame.map_err(Into::into)))
            }
            polled => polled.map_err(Into::into),
        }
    }
}

pub(crate) fn chunked(chunks: &[&'static str]) -> Request<Chunked> {
    Request::post("/").body(Chunked::new(chunks)).unwrap()
}

/// The machine code of an error in the envelope.
pub(crate) async fn code_of<B>(body: B) -> String
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let code = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
    code.unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

pub(crate) fn trailers(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}
