use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use palisade_core::{Body, BoxError, EndEarly, GrpcStream, PolledFrame};

use crate::{
    broken::Broken,
    codes,
    deadline::Clocks,
    fault::FaultRecord,
    responder::{Observer, Responder},
};

/// Ends a response when a limit is exceeded after the head was sent: the request's body, which the handler is still reading,
/// is too long ([`BodyLimit`](crate::BodyLimit)), the response's body is ([`ResponseLimit`](crate::ResponseLimit)), or it
/// pauses for too long ([`Deadline`](crate::Deadline)).
#[derive(Debug)]
struct BreakOff {
    until: Until,
    observer: Observer,
    grpc: Option<Box<GrpcStream>>,
}

/// When a response breaks off.
#[derive(Debug)]
pub(crate) enum Until {
    BodyFault(Arc<FaultRecord>),
    /// After this many bytes.
    Bytes(u64),
    // Larger than the others, and rarely there.
    Time(Box<Clocks>),
}

impl Until {
    /// Returns a response that breaks off when this says so.
    pub(crate) fn applied_to<B>(
        self,
        response: Response<Body<B>>,
        responder: &Responder,
    ) -> Response<Body<B>> {
        let (grpc, observer) =
            (responder.grpc_stream(response.headers()), responder.observer.clone());
        response.map(|body| body.ending_early(BreakOff { until: self, observer, grpc }))
    }

    fn judge(&mut self, polled: &PolledFrame, cx: &mut Context<'_>) -> Option<Broken> {
        match self {
            Self::BodyFault(fault_record) => match fault_record.poll(cx) {
                Poll::Ready(fault) => {
                    Some(Broken { error: fault.error(), body_error: Some(fault.body_error()) })
                }
                Poll::Pending => None,
            },
            Self::Bytes(left) => {
                let Poll::Ready(Some(Ok(frame))) = polled else { return None };
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if length > *left {
                    let error = codes::RESPONSE_TOO_LARGE.into();
                    return Some(Broken { error, body_error: None });
                }
                *left -= length;
                None
            }
            Self::Time(clocks) => clocks.judge(polled, cx),
        }
    }
}

impl EndEarly for BreakOff {
    // Asked after the poll: the inner body may have read the request's just now, and end as if nothing had happened.
    fn last_frame(
        &mut self,
        polled: &PolledFrame,
        cx: &mut Context<'_>,
    ) -> Option<Result<Frame<Bytes>, BoxError>> {
        let Some(Broken { error, body_error }) = self.until.judge(polled, cx) else {
            if let (Some(grpc), Poll::Ready(Some(Ok(frame)))) = (&mut self.grpc, polled)
                && let Some(data) = frame.data_ref()
            {
                grpc.record_data(data);
            }
            return None;
        };
        self.observer.note(&error);
        Some(match self.grpc.as_ref().and_then(|grpc| grpc.last_frame(&error)) {
            Some(frame) => Ok(frame),
            None => Err(body_error.unwrap_or_else(|| error.into())),
        })
    }

    fn is_due(&self) -> bool {
        match &self.until {
            Until::BodyFault(fault_record) => fault_record.fault().is_some(),
            Until::Bytes(_) => false,
            Until::Time(clocks) => clocks.are_over(),
        }
    }

    fn may_add_frame(&self) -> bool {
        self.grpc.is_some()
    }
}
