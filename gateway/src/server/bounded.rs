//! Request bodies that end at a limit, before anything is parsed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// How long, and how many bytes of it, an oversized body is read and thrown away, so that its sender sees the answer instead of a reset.
const DISCARD_TIME: Duration = Duration::from_secs(10);
const DISCARD_BYTES: usize = 256 * 1024 * 1024;

/// The body is larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is larger than the limit")]
pub struct BodyTooLarge;

/// A request body of at most so many bytes.
pub(super) struct Bounded {
    inner: Option<Incoming>,
    left: usize,
}

impl Bounded {
    pub(super) fn new(inner: Incoming, max: usize) -> Bounded {
        Bounded { inner: Some(inner), left: max }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(context));
        let length = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => 0,
        };
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            None => {
                if let Some(inner) = self.inner.take() {
                    discard(inner);
                }
                Poll::Ready(Some(Err(Box::new(BodyTooLarge))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Reads a body to its end, or to the limits above, and throws it away.
pub(super) fn discard(mut body: Incoming) {
    tokio::spawn(tokio::time::timeout(DISCARD_TIME, async move {
        let mut read = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if read > DISCARD_BYTES {
                return;
            }
        }
    }));
}
