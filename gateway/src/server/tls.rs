//! TLS 1.3 with client certificates, built anew as a whole on every reload.
//!
//! # Security
//! A resumed session skips the client certificate and its revocation check, so there is none: no tickets, no session store. A
//! revocation list inside a live configuration would be remembered by nobody, so a reload makes a new configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::settings::Server;

/// ALPN names (RFC 7301), the preferred first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Certificates, keys or revocation lists that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of what it should.
    #[error("{} cannot be used: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The files do not make a configuration.
    #[error("TLS cannot be set up: {0}")]
    Config(String),
}

/// The one provider, given to rustls explicitly: hybrid post-quantum key agreement first.
pub fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
    ];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// Reads every file and makes the configuration of the listening side.
///
/// # Errors
/// [`TlsError`] with the file to mend.
pub fn server_config(settings: &Server) -> Result<Arc<ServerConfig>, TlsError> {
    let refused = |cause: rustls::Error| TlsError::Config(cause.to_string());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(client_verifier(settings)?)
        .with_single_cert(
            certificates(&settings.certificate_file)?,
            private_key(&settings.key_file)?,
        )
        .map_err(refused)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn client_verifier(settings: &Server) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(&settings.client_ca_file)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if let Some(path) = &settings.client_crl_file {
        // An expired list is no list: certificates are then of unknown status, which is refused.
        builder = builder.with_crls(revocation_lists(path)?).enforce_revocation_expiration();
    }
    builder.build().map_err(|cause| TlsError::Config(cause.to_string()))
}

/// The trust anchors of a PEM file.
///
/// # Errors
/// [`TlsError::File`] when there is none.
pub fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|cause| file(path, cause))?;
    }
    Ok(roots)
}

/// The certificates of a PEM file, in order.
///
/// # Errors
/// [`TlsError::File`] when there is none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause: pem::Error| file(path, cause))?;
    if certificates.is_empty() {
        return Err(file(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
///
/// # Errors
/// [`TlsError::File`] when there is none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| file(path, cause))
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    CertificateRevocationListDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause: pem::Error| file(path, cause))
}

fn file(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}
