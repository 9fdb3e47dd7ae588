//! A small JSON client over mutually authenticated TLS 1.3, one for each party; connections are kept alive.

use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::timeout;

use crate::api::Problem;

/// Longest wait for a whole answer, streams apart.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer, and largest event of a stream.
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// Why a call came to nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// The gateway said no, and why.
    #[error("{path} was refused with {status}: {} {} {}", .problem.code, .problem.title, .problem.detail)]
    Refused {
        /// Path of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// The error body; empty where there was none.
        problem: Problem,
    },
    /// No answer.
    #[error("{path} got no answer: {reason}")]
    Unreachable {
        /// Path of the request.
        path: String,
        /// What failed.
        reason: String,
    },
    /// An answer that is not what the API says.
    #[error("{path} was answered with something else than the API says: {reason}")]
    Malformed {
        /// Path of the request.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl CallError {
    /// The code the gateway refused with, if it did.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            CallError::Refused { problem, .. } => Some(&problem.code),
            CallError::Unreachable { .. } | CallError::Malformed { .. } => None,
        }
    }
}

/// One party's connections to the gateway.
#[derive(Clone)]
pub struct Client {
    base_url: String,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the gateway at `base_url` (`https://host:port`).
    #[must_use]
    pub fn new(base_url: &str, tls: ClientConfig) -> Client {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(4))
            .build(connector);
        Client { base_url: base_url.trim_end_matches('/').to_owned(), http }
    }

    /// Where the gateway is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// GET.
    ///
    /// # Errors
    /// [`CallError`] by blame.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// GET of whatever text there is, a refusal's included.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn text(&self, path: &str) -> Result<String, CallError> {
        let body = self.send(Method::GET, path, Bytes::new()).await?.into_body();
        Ok(String::from_utf8_lossy(&collect(path, body).await?).into_owned())
    }

    /// POST of a JSON object.
    ///
    /// # Errors
    /// [`CallError`] by blame.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|e| malformed(path, &e))?;
        self.call(Method::POST, path, body.into()).await
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Errors
    /// [`CallError`] by blame.
    pub async fn events(&self, path: &str) -> Result<Events, CallError> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(refusal(path, parts.status, &collect(path, body).await?));
        }
        Ok(Events { path: path.to_owned(), body, buffer: BytesMut::new() })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, CallError> {
        let whole = async {
            let (parts, body) = self.send(method, path, body).await?.into_parts();
            Ok((parts.status, collect(path, body).await?))
        };
        let (status, body) =
            timeout(ANSWER_TIMEOUT, whole).await.map_err(|e| unreachable(path, &e))??;
        if !status.is_success() {
            return Err(refusal(path, status, &body));
        }
        serde_json::from_slice(&body).map_err(|e| malformed(path, &e))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Full::new(body))
            .map_err(|e| malformed(path, &e))?;
        self.http.request(request).await.map_err(|e| unreachable(path, &sources(&e)))
    }
}

/// A stream of server-sent events (HTML standard §9.2).
pub struct Events {
    path: String,
    body: Incoming,
    buffer: BytesMut,
}

impl Events {
    /// The data of the next event as JSON; `None` once the gateway has ended the stream.
    ///
    /// # Errors
    /// [`CallError`] if the stream breaks or carries something else.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        loop {
            while let Some(event) = self.take_event() {
                let data = data_of(&event);
                if !data.is_empty() {
                    return serde_json::from_str(&data)
                        .map(Some)
                        .map_err(|e| malformed(&self.path, &e));
                }
            }
            if self.buffer.len() > ANSWER_MAX_BYTES {
                return Err(malformed(&self.path, &"an event larger than any order"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(unreachable(&self.path, &e)),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.buffer.extend_from_slice(bytes);
                    }
                }
            }
        }
    }

    fn take_event(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let event = self.buffer.split_to(end + 2);
        Some(String::from_utf8_lossy(&event).into_owned())
    }
}

fn data_of(event: &str) -> String {
    let lines: Vec<&str> = event
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| data.strip_prefix(' ').unwrap_or(data))
        .collect();
    lines.join("\n")
}

async fn collect(path: &str, body: Incoming) -> Result<Bytes, CallError> {
    let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|e| unreachable(path, &e))
}

fn refusal(path: &str, status: StatusCode, body: &[u8]) -> CallError {
    let problem = serde_json::from_slice(body).unwrap_or_default();
    CallError::Refused { path: path.to_owned(), status: status.as_u16(), problem }
}

fn unreachable(path: &str, reason: &impl fmt::Display) -> CallError {
    CallError::Unreachable { path: path.to_owned(), reason: reason.to_string() }
}

fn malformed(path: &str, reason: &impl fmt::Display) -> CallError {
    CallError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

/// An error with what caused it: the outermost text of a TLS failure alone says nothing.
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lines_are_joined_and_comments_are_not_data() {
        assert_eq!(data_of("event: order\ndata: {\"a\":\ndata: 1}\n\n"), "{\"a\":\n1}");
        assert_eq!(data_of(": keep-alive\n\n"), "");
    }

    #[test]
    fn a_refusal_keeps_the_code_even_of_an_empty_body() {
        let body = br#"{"type":"/problems/T06","code":"T06","title":"expired","retry":false}"#;
        assert_eq!(refusal("/x", StatusCode::FORBIDDEN, body).code(), Some("T06"));
        assert_eq!(refusal("/x", StatusCode::BAD_GATEWAY, b"").code(), Some(""));
    }
}
