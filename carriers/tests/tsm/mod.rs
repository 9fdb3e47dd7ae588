//! A TSM that does to each request what it is told, byte by byte, over mutual TLS 1.3.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use carriers::{
    Mode,
    json::{JsonCarrier, JsonCarrierSettings},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier, version::TLS13,
};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What becomes of one request.
pub(crate) enum Act {
    /// Answered with these bytes; the connection stays.
    Answer(Vec<u8>),
    /// Answered with these bytes, then closed.
    AnswerAndClose(Vec<u8>),
    /// Never answered.
    Silence,
}

/// Bytes of an HTTP answer around a body.
pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// A 200 answer around a body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "", body)
}

/// One authority, a server and a client certificate below it.
pub(crate) struct Pki {
    directory: TempDir,
    server: ServerConfig,
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = |usage| {
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &authority).unwrap(), key)
        };
        let (client, client_key) = leaf(ExtendedKeyUsagePurpose::ClientAuth);
        let file = |name: &str, text: String| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        file("ca.pem", authority.pem());
        file("client.pem", client.pem());
        file("client.key", client_key.serialize_pem());
        let (server, server_key) = leaf(ExtendedKeyUsagePurpose::ServerAuth);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![server.der().clone()],
                PrivateKeyDer::try_from(server_key.serialize_der()).unwrap(),
            )
            .unwrap();
        Pki { directory, server }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn settings(&self, address: SocketAddr) -> JsonCarrierSettings {
        JsonCarrierSettings {
            id: "carrier-a".into(),
            base_url: format!("https://{address}/tsm/"),
            mode: Mode::Authorised,
            ca_file: self.path().join("ca.pem"),
            certificate_file: self.path().join("client.pem"),
            key_file: self.path().join("client.key"),
            connect_timeout_ms: 2_000,
            answer_timeout_ms: 2_000,
            response_max_bytes: 65_536,
            requests_max: 8,
            idle_timeout_ms: 30_000,
            sandbox: false,
        }
    }
}

/// The TSM; it ends with its value.
pub(crate) struct FakeTsm {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<String>,
    accepting: tokio::task::JoinHandle<()>,
}

impl FakeTsm {
    /// Gives each request, over all connections, the next act.
    pub(crate) async fn start(pki: &Pki, acts: Vec<Act>) -> FakeTsm {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(pki.server.clone()));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let (seen, requests) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            let mut acts = acts.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                counted.fetch_add(1, Ordering::SeqCst);
                while let Some(request) = read_request(&mut stream).await {
                    seen.send(request).unwrap();
                    if !perform(&mut stream, acts.next()).await {
                        break;
                    }
                }
            }
        });
        FakeTsm { address, connections, requests, accepting }
    }

    /// Requests received until now, whole: line, headers and body.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeTsm {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A carrier's leg to a TSM.
pub(crate) fn leg(pki: &Pki, tsm: &FakeTsm) -> JsonCarrier {
    JsonCarrier::new(pki.settings(tsm.address)).unwrap()
}

/// Whether the connection stays.
async fn perform(stream: &mut TlsStream<TcpStream>, act: Option<Act>) -> bool {
    match act {
        Some(Act::Answer(bytes)) => stream.write_all(&bytes).await.is_ok(),
        Some(Act::AnswerAndClose(bytes)) => {
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            false
        }
        Some(Act::Silence) => {
            // Until the other side gives up.
            let mut rest = [0; 64];
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
            false
        }
        None => false,
    }
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut text = String::new();
    loop {
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            body.len() >= length.unwrap_or(0)
        });
        if whole {
            return Some(text);
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(read @ 1..) => text.push_str(std::str::from_utf8(&bytes[..read]).unwrap()),
            _ => return None,
        }
    }
}
