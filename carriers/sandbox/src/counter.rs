//! A municipal counter: a terminal with its client certificate, a clerk, a reader; three calls for one visit.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    api::{Authorized, Opened, Status},
    client::{CallError, Client},
    jws::{JwsError, Signer},
    token::{Defect, Municipality, TokenDesk, TokenRequest},
};

/// A terminal at work.
pub struct Counter {
    client: Client,
    desk: TokenDesk,
    seq: AtomicU64,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("terminal", &self.desk.terminal).finish_non_exhaustive()
    }
}

impl Counter {
    /// A terminal that speaks to the gateway over `client`.
    #[must_use]
    pub fn new(client: Client, desk: TokenDesk) -> Counter {
        Counter { client, desk, seq: AtomicU64::new(now_ms()) }
    }

    /// Opens the visit: says which SE lies on the reader, learns what exactly is to be signed.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the code to show.
    pub async fn open(&self, order: &str, observed_iccid: &str) -> Result<Opened, CallError> {
        let body = json!({
            "order": order,
            "se": { "iccid": observed_iccid },
            "terminal": self.desk.terminal,
            "reader": self.desk.reader,
        });
        self.client.post("/v1/counter/open", &body).await
    }

    /// Signs what `open` answered under the terminal's next sequence number.
    ///
    /// # Errors
    /// [`JwsError`] if the signer fails, or `open` answered nothing to sign.
    pub fn sign(
        &self,
        opened: &Opened,
        access_code: &str,
        defect: Option<Defect>,
    ) -> Result<String, JwsError> {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
        self.sign_with_seq(opened, access_code, defect, seq)
    }

    /// Signs under a sequence number of the caller's choice.
    ///
    /// # Errors
    /// As [`Counter::sign`].
    pub fn sign_with_seq(
        &self,
        opened: &Opened,
        access_code: &str,
        defect: Option<Defect>,
        seq: u64,
    ) -> Result<String, JwsError> {
        let details = opened.authorization_details.first().ok_or(JwsError::Shape)?;
        self.desk.sign(&TokenRequest {
            details,
            audience: &opened.audience,
            access_code: (opened.access_code == "required").then_some(access_code),
            seq,
            now_s: jiff::Timestamp::now().as_second(),
            defect,
        })
    }

    /// The sequence number of the last token signed.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq.load(Ordering::Relaxed)
    }

    /// Presents a token, or none.
    ///
    /// # Errors
    /// [`CallError::Refused`] with one of the codes T00 to T13.
    pub async fn authorize(
        &self,
        order: &str,
        token: Option<&str>,
        access_code: Option<&str>,
    ) -> Result<Authorized, CallError> {
        let mut body = json!({ "order": order });
        if let Some(token) = token {
            body["token"] = json!(token);
        }
        if let Some(code) = access_code {
            body["access_code"] = json!(code);
        }
        self.client.post("/v1/counter/authorize", &body).await
    }

    /// Where the order stands, for the clerk.
    ///
    /// # Errors
    /// [`CallError`] by blame.
    pub async fn status(&self, order: &str) -> Result<Status, CallError> {
        self.client.get(&format!("/v1/counter/status/{order}")).await
    }
}

/// A terminal on file, for signing by hand (`sandbox counter token`): paths of the keys, never the keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalFile {
    /// The municipality's URI.
    pub issuer: String,
    /// The office.
    pub office: String,
    /// The clerk's pseudonym.
    pub clerk: String,
    /// The terminal's id.
    pub terminal: String,
    /// Model of its reader.
    pub reader: String,
    /// Name of the signing key.
    pub kid: String,
    /// The signing key, PKCS #8 PEM.
    pub key_file: PathBuf,
    /// The access-code key, hexadecimal.
    pub access_code_key_file: PathBuf,
    /// The terminal's client certificate, PEM.
    pub certificate_file: PathBuf,
}

/// Why no token was signed by hand.
#[derive(Debug, Error)]
pub enum CounterTokenError {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        why: String,
    },
    /// The signer failed.
    #[error(transparent)]
    Jws(#[from] JwsError),
}

/// A token signed by hand.
#[derive(Debug, Clone)]
pub struct HandSigned {
    /// The [`TerminalFile`].
    pub terminal_file: PathBuf,
    /// What `open` answered: its whole body, or the one object of `authorization_details`.
    pub details: Value,
    /// The gateway, where `details` is the object alone.
    pub audience: Option<String>,
    /// File with the access code, if one is required.
    pub access_code_file: Option<PathBuf>,
}

/// Signs a token for a visit opened by hand; the sequence number is the time in milliseconds.
///
/// # Errors
/// [`CounterTokenError`] naming the file.
pub fn hand_signed(request: &HandSigned) -> Result<String, CounterTokenError> {
    let desk = desk_from(&request.terminal_file)?;
    let whole = &request.details["authorization_details"];
    let details = if whole.is_array() { &whole[0] } else { &request.details };
    let audience = match (&request.audience, request.details["audience"].as_str()) {
        (Some(named), _) => named.as_str(),
        (None, Some(answered)) => answered,
        (None, None) => crate::config::AUDIENCE,
    };
    let access_code = request.access_code_file.as_deref().map(text).transpose()?;
    Ok(desk.sign(&TokenRequest {
        details,
        audience,
        access_code: access_code.as_deref().map(String::as_str),
        seq: now_ms(),
        now_s: jiff::Timestamp::now().as_second(),
        defect: None,
    })?)
}

fn desk_from(path: &Path) -> Result<TokenDesk, CounterTokenError> {
    let content = |path: &Path, why: String| CounterTokenError::Content { path: path.into(), why };
    let file: TerminalFile =
        serde_json::from_str(&text(path)?).map_err(|e| content(path, e.to_string()))?;
    let certificate = CertificateDer::from_pem_file(&file.certificate_file)
        .map_err(|e| content(&file.certificate_file, e.to_string()))?;
    let signer = Signer::from_pem_file(&file.kid, &file.key_file)
        .map_err(|e| content(&file.key_file, e.to_string()))?;
    let key = hex::decode(text(&file.access_code_key_file)?.as_bytes())
        .map_err(|_| content(&file.access_code_key_file, "it is no hexadecimal".to_owned()))?;
    let mut certificate_sha256 = [0; 32];
    let digest = digest::digest(&digest::SHA256, &certificate);
    certificate_sha256.copy_from_slice(digest.as_ref());
    Ok(TokenDesk {
        municipality: Arc::new(Municipality {
            id: file.issuer,
            office: file.office,
            clerk: file.clerk,
            signer,
            access_code_key: Zeroizing::new(key),
        }),
        terminal: file.terminal,
        reader: file.reader,
        certificate_sha256,
    })
}

fn text(path: &Path) -> Result<Zeroizing<String>, CounterTokenError> {
    let text = fs::read_to_string(path)
        .map_err(|source| CounterTokenError::File { path: path.into(), source })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// A sequence number that grows from one process to the next: the time in milliseconds.
fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::pki::{Pki, Usage};

    fn terminal(directory: &Path) -> (PathBuf, [u8; 32]) {
        let pki = Pki::create(directory).unwrap();
        let identity = pki.identity("terminal-1", Usage::Client).unwrap();
        let key_file = directory.join("counter.key");
        fs::write(&key_file, Signer::generate("c-1").unwrap().to_pem().unwrap()).unwrap();
        let access_code_key_file = directory.join("access-code.key");
        fs::write(&access_code_key_file, "00112233445566778899AABBCCDDEEFF\n").unwrap();
        let file = TerminalFile {
            issuer: "urn:jp:lgcode:102016".into(),
            office: "main".into(),
            clerk: "clerk-1".into(),
            terminal: "terminal-1".into(),
            reader: "reader-1".into(),
            kid: "c-1".into(),
            key_file,
            access_code_key_file,
            certificate_file: identity.certificate_file.clone(),
        };
        let path = directory.join("terminal-1.json");
        fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
        (path, identity.sha256())
    }

    fn claims(token: &str) -> Value {
        let payload = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    #[test]
    fn a_hand_signed_token_is_the_terminals_own() {
        let directory = tempfile::tempdir().unwrap();
        let (terminal_file, certificate_sha256) = terminal(directory.path());
        let details = json!({"sd": "A000000151535001"});
        let request = HandSigned {
            terminal_file,
            details: json!({"authorization_details": [details], "audience": "gw-1"}),
            audience: None,
            access_code_file: None,
        };
        let claims = claims(&hand_signed(&request).unwrap());
        assert_eq!(claims["aud"], "gw-1");
        assert_eq!(claims["authorization_details"], json!([details]));
        assert_eq!(claims["cnf"]["x5t#S256"], URL_SAFE_NO_PAD.encode(certificate_sha256));
        assert!(claims.get("ach").is_none());
    }

    #[test]
    fn the_object_alone_will_do_and_a_code_is_hashed() {
        let directory = tempfile::tempdir().unwrap();
        let (terminal_file, _) = terminal(directory.path());
        let code = directory.path().join("code");
        fs::write(&code, "4711\n").unwrap();
        let details = json!({"sd": "A000000151535001"});
        let request = HandSigned {
            terminal_file: terminal_file.clone(),
            details: details.clone(),
            audience: Some("gw-2".into()),
            access_code_file: Some(code),
        };
        let claims = claims(&hand_signed(&request).unwrap());
        assert_eq!(
            (&claims["aud"], &claims["authorization_details"][0]),
            (&json!("gw-2"), &details)
        );
        assert_eq!(claims["ach"].as_str().unwrap().len(), 22);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let request = HandSigned {
            terminal_file: directory.path().join("absent.json"),
            details: json!({}),
            audience: None,
            access_code_file: None,
        };
        let error = hand_signed(&request).unwrap_err().to_string();
        assert!(error.contains("absent.json"), "{error}");
    }
}
