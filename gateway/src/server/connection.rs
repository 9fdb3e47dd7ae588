//! One connection, from accept to its end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body as AnswerBody,
    response::{IntoResponse, Response},
};
use http::Request;
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

use super::{Ending, Era, Limits, bounded, problem::Problem};
use crate::{code::Word, principal::Peer};

/// Read buffer of an HTTP/1 connection, which also bounds a header.
const HTTP1_BUFFER_MAX: usize = 32 * 1024;
/// Header list of an HTTP/2 request, decoded.
const HTTP2_HEADER_MAX: u32 = 16 * 1024;
/// Requests at a time on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 64;
/// An HTTP/2 peer is asked whether it is there this often, and has this long to say so.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing came within the deadline, or the peer left.
    Silent,
    /// The handshake failed: no certificate, a revoked one, another protocol.
    HandshakeFailed,
    /// The handshake was not finished within its deadline.
    HandshakeSlow,
    /// No request came within the deadline.
    Idle,
    /// It served requests and ended in order.
    Served,
    /// The peer broke the protocol or went away.
    Broken,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Outcome::Silent => "silent",
            Outcome::HandshakeFailed => "handshake_failed",
            Outcome::HandshakeSlow => "handshake_slow",
            Outcome::Idle => "idle",
            Outcome::Served => "served",
            Outcome::Broken => "broken",
        }
    }
}

/// What one connection needs.
pub(super) struct Connection {
    pub(super) address: SocketAddr,
    pub(super) tls: Arc<rustls::ServerConfig>,
    pub(super) limits: Limits,
    pub(super) router: Router,
    pub(super) era: watch::Receiver<Era>,
}

impl Connection {
    /// Serves it to its end.
    pub(super) async fn serve(self, stream: TcpStream) -> Outcome {
        let first = timeout(self.limits.first_byte, stream.peek(&mut [0])).await;
        if !matches!(first, Ok(Ok(1..))) {
            return Outcome::Silent;
        }
        // Answers are small and complete; waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        match timeout(self.limits.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.dispatch(stream).await,
            Ok(Err(cause)) => {
                tracing::info!(address = %self.address, %cause, "handshake refused");
                Outcome::HandshakeFailed
            }
            Err(_) => Outcome::HandshakeSlow,
        }
    }

    /// HTTP/2 or HTTP/1.1, as the handshake agreed.
    async fn dispatch(self, stream: TlsStream<TcpStream>) -> Outcome {
        let (_, session) = stream.get_ref();
        let Some(certificate) = session.peer_certificates().and_then(<[_]>::first) else {
            return Outcome::HandshakeFailed;
        };
        let certificate_sha256 = Sha256::digest(certificate).into();
        let requests = Requests {
            peer: Peer { certificate_sha256, address: self.address },
            ending: Ending(self.era.clone()),
            limits: self.limits,
            router: self.router.clone(),
            begun: Arc::default(),
        };
        let begun = Arc::clone(&requests.begun);
        let speaks_http2 = session.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let service = service_fn(move |request| requests.clone().answer(request));
        if speaks_http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(HTTP2_PING_INTERVAL)
                .keep_alive_timeout(HTTP2_PING_TIMEOUT)
                .max_concurrent_streams(HTTP2_STREAMS_MAX)
                .max_header_list_size(HTTP2_HEADER_MAX)
                .serve_connection(io, service);
            self.drive(connection, &begun).await
        } else {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header)
                .max_buf_size(HTTP1_BUFFER_MAX)
                .serve_connection(io, service);
            self.drive(connection, &begun).await
        }
    }

    /// Runs it until the peer leaves, its age is reached, or the era ends.
    async fn drive<C: GracefulConnection>(mut self, connection: C, begun: &AtomicBool) -> Outcome {
        let mut connection = pin!(connection);
        let mut first_request = pin!(sleep(self.limits.header));
        let mut age = pin!(sleep(self.limits.age));
        let mut waits_for_first = true;
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    let served = begun.load(Ordering::Relaxed);
                    return match ended {
                        Ok(()) if served => Outcome::Served,
                        Ok(()) => Outcome::Idle,
                        Err(_) => Outcome::Broken,
                    };
                }
                () = first_request.as_mut(), if waits_for_first => {
                    // HTTP/2 has no timer of its own before its preface and first request.
                    if !begun.load(Ordering::Relaxed) {
                        return Outcome::Idle;
                    }
                    waits_for_first = false;
                }
                () = age.as_mut(), if !ending => {
                    connection.as_mut().graceful_shutdown();
                    ending = true;
                }
                _ = self.era.changed(), if !ending => {
                    connection.as_mut().graceful_shutdown();
                    ending = true;
                }
            }
        }
    }
}

/// What every request of a connection shares.
#[derive(Clone)]
struct Requests {
    peer: Peer,
    ending: Ending,
    limits: Limits,
    router: Router,
    begun: Arc<AtomicBool>,
}

impl Requests {
    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        self.begun.store(true, Ordering::Relaxed);
        let max = self.limits.body_max;
        if request.body().size_hint().lower() > max as u64 {
            bounded::discard(request.into_body());
            let detail = format!("a request body has at most {max} bytes");
            return Ok(Problem::new(Word::TooLarge, detail).into_response());
        }
        let mut request = request.map(|body| AnswerBody::new(bounded::Bounded::new(body, max)));
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.ending);
        match timeout(self.limits.request, self.router.oneshot(request)).await {
            Ok(answered) => answered,
            Err(_) => {
                let detail = "the request was not answered within its deadline";
                Ok(Problem::new(Word::TooSlow, detail).into_response())
            }
        }
    }
}
