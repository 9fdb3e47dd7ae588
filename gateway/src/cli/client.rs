//! A small client of a node's interface: mutual TLS 1.3, JSON, one request at a time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, version::TLS13};
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

use super::outcome::Failure;
use crate::{
    code::{Code, Word},
    server::tls,
};

/// From a request to its whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer read.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Which node, and who asks.
#[derive(Debug, Clone, Args)]
pub(super) struct Node {
    /// The node, https://host:port
    #[arg(long, value_name = "URL")]
    server: String,
    /// Our client certificate, PEM
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The authority the node's certificate chains to, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
}

/// A client with its own runtime.
pub(super) struct Client {
    base: String,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
}

impl Client {
    pub(super) fn new(node: &Node) -> Result<Client, Failure> {
        let base = node.server.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| usage("--server is no URL"))?;
        if uri.scheme_str() != Some("https") || uri.path() != "/" || uri.query().is_some() {
            return Err(usage("--server must be https://host:port"));
        }
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(node)?)
            .https_only()
            .enable_all_versions()
            .build();
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Client { base, http, runtime: runtime.map_err(Failure::internal)? })
    }

    /// A value that may stand as one segment of a path.
    pub(super) fn segment<'a>(&self, text: &'a str) -> Result<&'a str, Failure> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !text.is_empty() && text.len() <= 128 && text.bytes().all(plain);
        fits.then_some(text).ok_or_else(|| usage("an id has 1 to 128 characters of 0-9A-Za-z-_."))
    }

    pub(super) fn get_blocking(&self, path: &str) -> Result<Value, Failure> {
        self.runtime.block_on(self.call(Method::GET, path, Bytes::new()))
    }

    pub(super) fn post_blocking(&self, path: &str, body: Bytes) -> Result<Value, Failure> {
        self.runtime.block_on(self.call(Method::POST, path, body))
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let whole = async {
            let response = self.send(method, path, body).await?;
            read(response).await
        };
        timeout(ANSWER_TIMEOUT, whole).await.map_err(|_| {
            unreachable_node(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))
        })?
    }

    /// A successful response whose body is still to be read; a problem answer is a failure.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|cause| usage(&cause.to_string()))?;
        let response =
            self.http.request(request).await.map_err(|cause| unreachable_node(chain(&cause)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        Err(problem(status, &read(response).await?))
    }
}

fn tls_config(node: &Node) -> Result<ClientConfig, Failure> {
    let unfit = |cause: tls::TlsError| Failure::new(Word::Configuration, cause.to_string());
    let refused = |cause: rustls::Error| Failure::new(Word::Configuration, cause.to_string());
    let roots = Arc::new(tls::roots(&node.ca).map_err(unfit)?);
    ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            tls::certificates(&node.cert).map_err(unfit)?,
            tls::private_key(&node.key).map_err(unfit)?,
        )
        .map_err(refused)
}

async fn read(response: Response<Incoming>) -> Result<Value, Failure> {
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|cause| unreachable_node(cause.to_string()))?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|_| Failure::new(Word::NotAnAnswer, "the answer is not JSON"))
}

fn problem(status: StatusCode, answer: &Value) -> Failure {
    let code = answer["code"].as_str().and_then(Code::find);
    let detail = answer["detail"].as_str();
    let (Some(code), Some(detail)) = (code, detail) else {
        return Failure::new(Word::NotAnAnswer, format!("HTTP {status} without a known code"));
    };
    let differs: Vec<&str> =
        answer["differs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let message = if differs.is_empty() {
        detail.to_owned()
    } else {
        format!("{detail}: {}", differs.join(", "))
    };
    Failure::new(code, message)
}

fn usage(message: &str) -> Failure {
    Failure::new(Word::Usage, message)
}

pub(super) fn unreachable_node(cause: String) -> Failure {
    Failure::new(Word::NodeUnreachable, cause)
}

/// An error with everything under it: the lowest says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
