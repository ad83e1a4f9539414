use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body_util::{Full, LengthLimitError, Limited};
use palisade_core::{ApiError, BoxError};

use crate::codes;

/// What a request's body turned out to be, after the request was let in. It is passed once, by the body, and stands
/// whatever the handler makes of the error that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ruling {
    TooLarge = 1,
    TooSlow = 2,
    InflatesTooFar = 3,
    InflatesTooMuch = 4,
    Malformed = 5,
}

impl Ruling {
    /// What the client is told.
    pub(crate) fn error(self) -> ApiError {
        match self {
            Self::TooLarge => ApiError::payload_too_large(),
            Self::TooSlow => ApiError::request_timeout(),
            Self::InflatesTooFar => codes::DECOMPRESSED_TOO_LARGE.into(),
            Self::InflatesTooMuch => codes::COMPRESSION_RATIO_TOO_HIGH.into(),
            Self::Malformed => codes::INVALID_CONTENT_ENCODING.into(),
        }
    }

    /// What whoever reads the body is told.
    pub(crate) fn body_error(self) -> BoxError {
        match self {
            Self::TooLarge | Self::InflatesTooFar | Self::InflatesTooMuch => length_limit_error(),
            Self::TooSlow | Self::Malformed => Box::new(self.error()),
        }
    }
}

/// Where a [`Ruling`] is left by the request's body, and looked up by its layer and by the response's body.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    ruling: AtomicU8,
    /// The response's body, which has to end when the request's turns out bad.
    listener: Mutex<Option<Waker>>,
}

impl Verdict {
    /// The first ruling stands.
    pub(crate) fn pass(&self, ruling: Ruling) {
        let first =
            self.ruling.compare_exchange(0, ruling as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = listener {
                waker.wake();
            }
        }
    }

    pub(crate) fn ruling(&self) -> Option<Ruling> {
        match self.ruling.load(Ordering::Acquire) {
            1 => Some(Ruling::TooLarge),
            2 => Some(Ruling::TooSlow),
            3 => Some(Ruling::InflatesTooFar),
            4 => Some(Ruling::InflatesTooMuch),
            5 => Some(Ruling::Malformed),
            _ => None,
        }
    }

    /// Ready with a ruling; wakes whoever asks when there is one.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Ruling> {
        if let Some(ruling) = self.ruling() {
            return Poll::Ready(ruling);
        }
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *listener {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *listener = Some(cx.waker().clone()),
        }
        drop(listener);
        // It may have been passed before the waker was there to be woken.
        self.ruling().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The error that axum's extractors and [`ErrorLayer`](palisade_core::ErrorLayer) know.
pub(crate) fn length_limit_error() -> BoxError {
    // http-body-util keeps its constructor to itself.
    let mut over = Limited::new(Full::new(Bytes::from_static(b"1")), 0);
    let polled = http_body::Body::poll_frame(
        std::pin::Pin::new(&mut over),
        &mut Context::from_waker(Waker::noop()),
    );
    match polled {
        Poll::Ready(Some(Err(error))) => {
            debug_assert!(error.is::<LengthLimitError>());
            error
        }
        _ => Box::new(ApiError::payload_too_large()),
    }
}
