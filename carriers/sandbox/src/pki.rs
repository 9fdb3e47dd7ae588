//! The platform's certificates, made anew at every start: one authority, a certificate for each party, a revocation list.
//!
//! Everything chains to one ECDSA P-256 root. Keys are written as PKCS #8 PEM with mode 0600; they are worth nothing outside the
//! desk they were made on, and a node refuses every principal marked `sandbox` unless it was started by the sandbox.

use std::{
    fmt, fs,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// Name of the revocation list in the directory.
const CRL_FILE: &str = "crl.pem";
/// Name of the root certificate in the directory.
const CA_FILE: &str = "ca.pem";

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// The certificate library refused.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused what was made.
    #[error("TLS refuses the certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates could not be made.
    #[error("TLS refuses the authority: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A file could not be written.
    #[error("{path} could not be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A TLS server on 127.0.0.1 and `localhost`.
    Server,
    /// A TLS client.
    Client,
}

/// A private key with its certificate, and the files both are in.
pub struct Identity {
    /// Common name.
    pub name: String,
    /// The certificate, PEM.
    pub certificate_file: PathBuf,
    /// The private key, PKCS #8 PEM.
    pub key_file: PathBuf,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    serial: SerialNumber,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Identity {
    /// SHA-256 of the certificate's DER: what principals and tokens are bound to (RFC 8705 §3.1).
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, &self.certificate);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.as_ref());
        sha256
    }
}

/// The authority of one sandbox and the directory its certificates are left in.
pub struct Pki {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes the authority, its root certificate and an empty revocation list in `directory`.
    ///
    /// # Errors
    /// [`PkiError`] if a certificate cannot be made or written.
    pub fn create(directory: &Path) -> Result<Pki, PkiError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Madoguchi sandbox authority");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        write(&directory.join(CA_FILE), certificate.pem().as_bytes(), 0o644)?;
        let pki = Pki {
            directory: directory.to_owned(),
            root: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        };
        pki.revoke(&[])?;
        Ok(pki)
    }

    /// Makes a key and a certificate, and leaves them in `<name>.pem` and `<name>.key`.
    ///
    /// # Errors
    /// [`PkiError`] if they cannot be made or written.
    pub fn identity(&self, name: &str, usage: Usage) -> Result<Identity, PkiError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = match usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        if usage == Usage::Server {
            params.subject_alt_names = vec![
                SanType::DnsName("localhost".try_into()?),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ];
        }
        let serial =
            SerialNumber::from_slice(&crate::random::bytes::<16>().map(|byte| byte & 0x7F));
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let identity = Identity {
            name: name.to_owned(),
            certificate_file: self.directory.join(format!("{name}.pem")),
            key_file: self.directory.join(format!("{name}.key")),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            serial,
        };
        write(&identity.certificate_file, certificate.pem().as_bytes(), 0o644)?;
        write(&identity.key_file, key.serialize_pem().as_bytes(), 0o600)?;
        Ok(identity)
    }

    /// Writes the revocation list anew, naming exactly these identities.
    ///
    /// # Errors
    /// [`PkiError`] if it cannot be made or written.
    pub fn revoke(&self, revoked: &[&Identity]) -> Result<(), PkiError> {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let day = |date: jiff::civil::Date| {
            rcgen::date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8)
        };
        let revoked_certs = revoked
            .iter()
            .map(|identity| RevokedCertParams {
                serial_number: identity.serial.clone(),
                revocation_time: day(today),
                reason_code: Some(RevocationReason::CessationOfOperation),
                invalidity_date: None,
            })
            .collect();
        let next_year = today.saturating_add(jiff::Span::new().years(1));
        let list = CertificateRevocationListParams {
            this_update: day(today),
            next_update: day(next_year),
            crl_number: SerialNumber::from(jiff::Timestamp::now().as_millisecond().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)?;
        write(&self.crl_file(), list.pem()?.as_bytes(), 0o644)
    }

    /// The root certificate's file, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join(CA_FILE)
    }

    /// The revocation list's file, PEM.
    #[must_use]
    pub fn crl_file(&self) -> PathBuf {
        self.directory.join(CRL_FILE)
    }

    /// TLS 1.3 for a client that presents `identity` and trusts this authority alone; nothing is resumed.
    ///
    /// # Errors
    /// [`PkiError::Tls`] if TLS refuses the key.
    pub fn client_tls(&self, identity: &Identity) -> Result<ClientConfig, PkiError> {
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![identity.certificate.clone()], private_key(identity))?;
        tls.resumption = Resumption::disabled();
        Ok(tls)
    }

    /// TLS 1.3 for a server that shows `identity` and demands a client certificate of this authority; nothing is resumed.
    ///
    /// # Errors
    /// [`PkiError`] if TLS refuses the key or the authority.
    pub fn server_tls(&self, identity: &Identity) -> Result<Arc<ServerConfig>, PkiError> {
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
                .build()?;
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![identity.certificate.clone()], private_key(identity))?;
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(Arc::new(tls))
    }

    fn roots(&self) -> Result<RootCertStore, PkiError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        Ok(roots)
    }
}

fn private_key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(identity.key.clone_key())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls_pki_types::{ServerName, pem::PemObject};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn handshake(client: ClientConfig, server: Arc<ServerConfig>) -> std::io::Result<u8> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("localhost").unwrap();
        let served = tokio::spawn(async move {
            let mut stream = tokio_rustls::TlsAcceptor::from(server).accept(far).await?;
            stream.write_u8(7).await?;
            stream.flush().await
        });
        let mut stream =
            tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, near).await?;
        let byte = stream.read_u8().await;
        served.await.unwrap()?;
        byte
    }

    #[tokio::test]
    async fn parties_of_one_sandbox_meet_and_strangers_do_not() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = Pki::create(here.path()).unwrap();
        let theirs = Pki::create(there.path()).unwrap();
        let server = ours.server_tls(&ours.identity("gateway", Usage::Server).unwrap()).unwrap();
        let client = ours.identity("issuer", Usage::Client).unwrap();
        let stranger = theirs.identity("issuer", Usage::Client).unwrap();
        assert_eq!(handshake(ours.client_tls(&client).unwrap(), server.clone()).await.unwrap(), 7);
        assert!(handshake(ours.client_tls(&stranger).unwrap(), server).await.is_err());
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_the_list_names_the_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::create(directory.path()).unwrap();
        let terminal = pki.identity("terminal", Usage::Client).unwrap();
        let mode = fs::metadata(&terminal.key_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{terminal:?}").contains("key"));
        pki.revoke(&[&terminal]).unwrap();
        let pem = fs::read(pki.crl_file()).unwrap();
        let list = rustls_pki_types::CertificateRevocationListDer::from_pem_slice(&pem).unwrap();
        let (_, list) = x509_parser::parse_x509_crl(&list).unwrap();
        let serials: Vec<_> = list.iter_revoked_certificates().map(|c| c.raw_serial()).collect();
        assert_eq!(serials, [terminal.serial.to_bytes()]);
    }
}
