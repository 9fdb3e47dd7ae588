//! TLS of one carrier's leg: version 1.3 only, one pinned root, our client certificate.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;

/// TLS material that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A PEM file that cannot be read or holds nothing usable.
    #[error("{path}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit, or a root is malformed.
    #[error("TLS configuration: {0}")]
    Rejected(#[from] rustls::Error),
}

/// The client side of a leg. Nothing but the authorities in `ca_file` is trusted: carriers are pinned private roots.
pub(super) fn client_config(
    ca_file: &Path,
    certificate_file: &Path,
    key_file: &Path,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca_file)? {
        roots.add(root)?;
    }
    let chain = certificates(certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|source| TlsError::Pem { path: key_file.to_owned(), source })?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    // Each connection is a full handshake, so that a revoked certificate never rides on an earlier one.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)?;
    match chain.is_empty() {
        true => Err(pem(rustls_pki_types::pem::Error::NoItemsFound)),
        false => Ok(chain),
    }
}
