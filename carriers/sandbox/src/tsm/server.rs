//! The platform's HTTPS side: TLS 1.3 with a client certificate, one function a path.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::platform::{Outcome, Platform};

/// From accept to a finished handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From one request's end to the next one's header.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest request: a load file of a megabyte as hexadecimal digits, and room.
const BODY_MAX_BYTES: usize = 4 << 20;

/// Marks a response whose connection is to be closed instead.
#[derive(Clone, Copy)]
struct Cut;

/// Accepts until dropped; every connection ends with it.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    platform: Arc<Platform>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let router = Router::new()
        .route("/gp/{function}", post(function))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(platform);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, acceptor.clone(), router.clone()));
                }
                // No descriptor to spare, or a peer that is gone already.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    // A peer that cannot prove who it is gets no answer.
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            match response.extensions().get::<Cut>() {
                Some(Cut) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok(response),
            }
        }
    });
    // An error here is the peer's going away, or a cut.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn function(
    State(platform): State<Arc<Platform>>,
    Path(function): Path<String>,
    body: Bytes,
) -> Response {
    match platform.perform(&function, &body) {
        Outcome::Answer(body) => {
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Outcome::Malformed => StatusCode::BAD_REQUEST.into_response(),
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Outcome::Cut => {
            let mut response = StatusCode::OK.into_response();
            response.extensions_mut().insert(Cut);
            response
        }
        Outcome::Hold(reached) => {
            reached.notify_one();
            // Until the caller gives up and the connection takes this future with it.
            std::future::pending().await
        }
    }
}
