//! A request body that remembers whether it was let go.
//!
//! The script is in the body. As long as the transport has not taken the body, no byte of the script can have left this process; from
//! then on nothing is certain. That one bit decides between "never reached" and "unknown".

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use crate::reach::Reach;

/// The bit, kept by the caller.
#[derive(Debug, Clone, Default)]
pub(super) struct Latch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fallen: AtomicBool,
    falling: Notify,
}

impl Latch {
    /// Ends when the body is let go: from then on an answer is owed. For one waiter.
    pub(super) async fn fallen(&self) {
        self.0.falling.notified().await;
    }

    fn fall(&self) {
        self.0.fallen.store(true, Ordering::SeqCst);
        self.0.falling.notify_one();
    }

    /// How far a request that failed may have come.
    pub(super) fn reach(&self) -> Reach {
        match self.0.fallen.load(Ordering::SeqCst) {
            true => Reach::Unknown,
            false => Reach::Never,
        }
    }
}

/// A whole body, given once.
#[derive(Debug)]
pub(super) struct LatchedBody {
    bytes: Option<Bytes>,
    latch: Latch,
}

impl LatchedBody {
    pub(super) fn new(bytes: Bytes, latch: Latch) -> LatchedBody {
        LatchedBody { bytes: Some(bytes), latch }
    }
}

impl Body for LatchedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take();
        if bytes.is_some() {
            self.latch.fall();
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latch_falls_when_the_body_is_taken() {
        let latch = Latch::default();
        let mut body = LatchedBody::new(Bytes::from_static(b"script"), latch.clone());
        assert_eq!(body.size_hint().exact(), Some(6));
        assert_eq!(latch.reach(), Reach::Never);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(Some(Ok(_)))));
        assert_eq!(latch.reach(), Reach::Unknown);
        assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(None)));
        assert!(body.is_end_stream());
    }
}
