//! One POST and its answer, with deadlines, limits and the reach of every failure.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::{BoxError, timeout::Timeout, util::BoxCloneSyncService};

use super::{
    latch::{Latch, LatchedBody},
    settings::JsonCarrierSettings,
};
use crate::{
    limits::RETRY_AFTER_MAX_MS,
    reach::{CarrierError, Misbehaviour, Reach},
};

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// The HTTP side of a leg.
pub(super) struct Exchange {
    client: Client<Connector, LatchedBody>,
    turns: Semaphore,
    answer_timeout_ms: u64,
    response_max_bytes: u64,
}

impl Exchange {
    pub(super) fn new(settings: &JsonCarrierSettings, tls: ClientConfig) -> Exchange {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        // Around the TLS connector, so that the deadline covers a handshake that stalls.
        let connector = Timeout::new(https, Duration::from_millis(settings.connect_timeout_ms));
        let requests_max = usize::try_from(settings.requests_max).unwrap_or(Semaphore::MAX_PERMITS);
        // hyper-util tries again on its own only when a reused connection turns out closed and hyper hands the request back
        // unstarted, its body untouched: that is still one send.
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_millis(settings.idle_timeout_ms))
            .pool_max_idle_per_host(requests_max)
            .pool_timer(TokioTimer::new())
            .build(BoxCloneSyncService::new(connector));
        Exchange {
            client,
            turns: Semaphore::new(requests_max),
            answer_timeout_ms: settings.answer_timeout_ms,
            response_max_bytes: settings.response_max_bytes,
        }
    }

    /// Sends `body` once and returns the whole body of a 200 answer.
    ///
    /// Three waits, each bounded: for a turn and, once the body is let go, for the answer by the answer timeout; for a connection by
    /// the connector's own.
    pub(super) async fn post(&self, url: &str, body: Vec<u8>) -> Result<Bytes, CarrierError> {
        let patience = Duration::from_millis(self.answer_timeout_ms);
        let late = |reach| {
            unavailable(reach, format!("nothing complete within {} ms", self.answer_timeout_ms))
        };
        let _turn = match timeout(patience, self.turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(closed)) => return Err(unavailable(Reach::Never, closed.to_string())),
            Err(_) => return Err(late(Reach::Never)),
        };
        let latch = Latch::default();
        let body = LatchedBody::new(body.into(), latch.clone());
        let owed = async {
            latch.fallen().await;
            sleep(patience).await;
        };
        tokio::select! {
            answer = self.exchange(url, body, &latch) => answer,
            () = owed => Err(late(latch.reach())),
        }
    }

    async fn exchange(
        &self,
        url: &str,
        body: LatchedBody,
        latch: &Latch,
    ) -> Result<Bytes, CarrierError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(body)
            .map_err(|error| unavailable(Reach::Never, error.to_string()))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| unavailable(latch.reach(), chain(&error)))?;
        accept_status(&response)?;
        self.whole_body(response).await
    }

    async fn whole_body(&self, response: Response<Incoming>) -> Result<Bytes, CarrierError> {
        let most = self.response_max_bytes;
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        match Limited::new(response.into_body(), limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(CarrierError::Misbehaved { fault: Misbehaviour::TooLarge { most } })
            }
            Err(error) => Err(unavailable(Reach::Unknown, chain(error.as_ref()))),
        }
    }
}

/// Functions answer 200 and say in the body how they ended; any other status is the transport's.
fn accept_status(response: &Response<Incoming>) -> Result<(), CarrierError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(CarrierError::Unavailable {
            reach: Reach::Answered,
            cause: format!("HTTP status {}", status.as_u16()),
            retry_after_ms: retry_after_ms(response),
        });
    }
    Err(CarrierError::Misbehaved { fault: Misbehaviour::HttpStatus(status.as_u16()) })
}

/// Retry-After in seconds (RFC 9110, 10.2.3); a date is not read.
fn retry_after_ms(response: &Response<Incoming>) -> Option<u64> {
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(RETRY_AFTER_MAX_MS))
}

fn unavailable(reach: Reach, cause: String) -> CarrierError {
    CarrierError::Unavailable { reach, cause, retry_after_ms: None }
}

/// An error and what caused it, on one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
