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

/// The reason why a request's body is rejected after its head was admitted. The body records it once, and it determines the
/// response even if the handler ignores the error of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BodyFault {
    TooLarge = 1,
    TooSlow = 2,
    DecompressedTooLarge = 3,
    RatioTooHigh = 4,
    Malformed = 5,
}

impl BodyFault {
    /// Returns the error for the client.
    pub(crate) fn error(self) -> ApiError {
        match self {
            Self::TooLarge => ApiError::payload_too_large(),
            Self::TooSlow => ApiError::request_timeout(),
            Self::DecompressedTooLarge => codes::DECOMPRESSED_TOO_LARGE.into(),
            Self::RatioTooHigh => codes::COMPRESSION_RATIO_TOO_HIGH.into(),
            Self::Malformed => codes::INVALID_CONTENT_ENCODING.into(),
        }
    }

    /// Returns the error for the reader of the body.
    pub(crate) fn body_error(self) -> BoxError {
        match self {
            Self::TooLarge | Self::DecompressedTooLarge | Self::RatioTooHigh => {
                length_limit_error()
            }
            Self::TooSlow | Self::Malformed => Box::new(self.error()),
        }
    }
}

/// A [`BodyFault`] that is recorded by the request's body, and read by the layer and by the response's body.
#[derive(Debug, Default)]
pub(crate) struct FaultRecord {
    fault: AtomicU8,
    /// The waker of the response's body, which is aborted when a fault is recorded.
    listener: Mutex<Option<Waker>>,
}

impl FaultRecord {
    /// Records a fault, unless there is one already.
    pub(crate) fn record(&self, fault: BodyFault) {
        let first =
            self.fault.compare_exchange(0, fault as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = listener {
                waker.wake();
            }
        }
    }

    pub(crate) fn fault(&self) -> Option<BodyFault> {
        match self.fault.load(Ordering::Acquire) {
            1 => Some(BodyFault::TooLarge),
            2 => Some(BodyFault::TooSlow),
            3 => Some(BodyFault::DecompressedTooLarge),
            4 => Some(BodyFault::RatioTooHigh),
            5 => Some(BodyFault::Malformed),
            _ => None,
        }
    }

    /// Completes when a fault is recorded.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<BodyFault> {
        if let Some(fault) = self.fault() {
            return Poll::Ready(fault);
        }
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *listener {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *listener = Some(cx.waker().clone()),
        }
        drop(listener);
        // A fault may have been recorded before the waker was stored.
        self.fault().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Returns the error for exceeded lengths that axum's extractors and [`ErrorLayer`](palisade_core::ErrorLayer) recognise.
pub(crate) fn length_limit_error() -> BoxError {
    // Its constructor is private.
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
