//! The gateway's configuration for a rehearsal, as the TOML file an operator would write.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scp::{aid::Aid, profile::ServiceProfile};
use serde_json::{Value, json};

use crate::{
    error::SandboxError,
    fleet::{BASES, CARRIER_A, CARRIER_B, MVNO},
    jws::Signer,
    pki::{Identity, Pki},
    token::{Municipality, TokenDesk},
};

/// The gateway's name in tokens.
pub const AUDIENCE: &str = "madoguchi-sandbox";
/// SE profile of every SE of the rehearsal, one of those that ship.
pub const SE_PROFILE: &str = "uicc-scp03-i70";
/// How long the gateway waits for a TSM: short, so that a lost answer is soon a doubt.
const ANSWER_TIMEOUT_MS: u64 = 3_000;

/// Who may know the key set an application key is written under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KnownTo {
    /// Custody and, by name, the carrier that made the first key set.
    #[default]
    Carrier,
    /// Custody alone: every personalization is refused (T13).
    CustodyOnly,
}

/// A party's client certificate and what the gateway takes it for.
#[derive(Debug)]
pub struct Principal<'a> {
    /// Its certificate.
    pub identity: &'a Identity,
    /// What it is.
    pub role: Role<'a>,
    /// The subscriber bases it speaks for.
    pub tenants: Vec<&'a str>,
}

/// The roles of the gateway's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// The service provider.
    Sp,
    /// A counter terminal, by its id.
    Counter(&'a str),
    /// A carrier's TSM, by the carrier's id.
    Carrier(&'a str),
    /// A security officer.
    Officer,
    /// An auditor.
    Auditor,
    /// An enquiry desk.
    Enquiry,
}

/// A carrier's TSM as the gateway reaches it.
#[derive(Debug)]
pub struct Leg {
    /// The carrier.
    pub id: String,
    /// Who manages content there.
    pub mode: carriers::Mode,
    /// Where its TSM listens.
    pub base_url: String,
}

/// Everything the configuration names.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The rehearsal's directory.
    pub directory: &'a Path,
    /// The certificates.
    pub pki: &'a Pki,
    /// The gateway's server certificate.
    pub server: &'a Identity,
    /// The gateway's certificate towards TSMs.
    pub towards_tsms: &'a Identity,
    /// Every client certificate.
    pub principals: Vec<Principal<'a>>,
    /// The TSMs.
    pub legs: &'a [Leg],
    /// The municipality whose counters are trusted.
    pub municipality: &'a Municipality,
    /// Its terminals.
    pub terminals: Vec<&'a TokenDesk>,
    /// Terminals that were withdrawn.
    pub revoked_terminals: Vec<&'a str>,
    /// Key of the service provider's signatures.
    pub service_provider: &'a Signer,
    /// The service.
    pub service: &'a ServiceProfile,
    /// The CAP file it is loaded from.
    pub cap_file: PathBuf,
    /// AID of our Security Domain on every SE.
    pub security_domain: Aid,
    /// Who may know the key set an application key is written under.
    pub known_to: KnownTo,
    /// File of the key-encryption key.
    pub kek_file: PathBuf,
    /// File of the municipality's access-code key.
    pub access_code_key_file: PathBuf,
}

impl Plan<'_> {
    /// The configuration file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join("gateway.toml")
    }

    /// The address file.
    #[must_use]
    pub fn address_file(&self) -> PathBuf {
        self.directory.join("gateway.address")
    }

    /// Writes the configuration; the node will listen on `listen`.
    ///
    /// # Errors
    /// [`SandboxError::File`] if a file cannot be written.
    pub fn write(&self, listen: SocketAddr) -> Result<(), SandboxError> {
        let path = self.file();
        let invalid = |cause: toml::ser::Error| {
            SandboxError::file(&path)(std::io::Error::new(std::io::ErrorKind::InvalidData, cause))
        };
        let text = toml::to_string(&self.settings(listen)).map_err(invalid)?;
        fs::write(&path, text).map_err(SandboxError::file(&path))
    }

    fn settings(&self, listen: SocketAddr) -> Value {
        json!({
            "sandbox": true,
            "node": { "id": "sandbox-1", "data_dir": self.directory.join("store") },
            "server": {
                "listen": listen,
                "address_file": self.address_file(),
                "certificate_file": self.server.certificate_file,
                "key_file": self.server.key_file,
                "client_ca_file": self.pki.ca_file(),
                "client_crl_file": self.pki.crl_file(),
            },
            "custody": { "kek_file": self.kek_file },
            "engine": {
                "attempts_max": 2,
                "backoff_first_ms": 100,
                "backoff_max_ms": 1_000,
                "probes_max": 20,
            },
            "authority": self.authority(),
            "principals": self.principals.iter().map(principal).collect::<Vec<_>>(),
            "tenants": self.tenants(),
            "carriers": self.legs.iter().map(|leg| self.carrier(leg)).collect::<Vec<_>>(),
            "routes": self.routes(),
            "services": [{ "profile": self.service, "cap_file": self.cap_file }],
            "service_providers": [{
                "kid": self.service_provider.kid(),
                "public_key": URL_SAFE_NO_PAD.encode(self.service_provider.public_key()),
                "tenants": [CARRIER_A, CARRIER_B, MVNO],
                "sandbox": true,
            }],
        })
    }

    fn authority(&self) -> Value {
        let terminals: Vec<Value> = self.terminals.iter().map(|desk| self.terminal(desk)).collect();
        let issuer = json!({
            "id": self.municipality.id,
            "class": "municipal_counter",
            "status": "active",
            "algorithms": ["ES256"],
            "keys": { "pinned": [{
                "kid": self.municipality.signer.kid(),
                "alg": "ES256",
                "public_key": URL_SAFE_NO_PAD.encode(self.municipality.signer.public_key()),
                "sandbox": true,
            }] },
            "access_code_key": { "secret_file": self.access_code_key_file },
            "terminals": terminals,
            "clerks": [{ "id": self.municipality.clerk }],
            "sandbox": true,
        });
        json!({
            "audience": AUDIENCE,
            "skew_s": 30,
            "lifetime_max_s": 900,
            "policy": {
                "version": "sandbox-1",
                "methods": ["face_to_face"],
                "level_min": 2,
                "calendars": ["day"],
                "access_code_mode": "required",
                "actions": { "issue": ["municipal_counter"] },
            },
            "issuers": [issuer],
        })
    }

    fn terminal(&self, desk: &TokenDesk) -> Value {
        json!({
            "id": desk.terminal,
            "certificate_sha256": hex::encode_upper(desk.certificate_sha256),
            "readers": [desk.reader],
            "revoked": self.revoked_terminals.contains(&desk.terminal.as_str()),
            "sandbox": true,
        })
    }

    fn tenants(&self) -> Vec<Value> {
        BASES
            .iter()
            .map(|base| {
                let mut known_to = vec!["custody".to_owned()];
                if self.known_to == KnownTo::Carrier {
                    known_to.push(format!("carrier:{}", base.carrier));
                }
                json!({ "id": base.tenant, "app_key_max_known_to": known_to, "sandbox": true })
            })
            .collect()
    }

    fn carrier(&self, leg: &Leg) -> Value {
        json!({
            "id": leg.id,
            "base_url": leg.base_url,
            "mode": leg.mode,
            "ca_file": self.pki.ca_file(),
            "certificate_file": self.towards_tsms.certificate_file,
            "key_file": self.towards_tsms.key_file,
            "answer_timeout_ms": ANSWER_TIMEOUT_MS,
            "sandbox": true,
        })
    }

    fn routes(&self) -> Vec<Value> {
        BASES
            .iter()
            .map(|base| {
                json!({
                    "name": format!("{}-sims", base.tenant),
                    "tenant": base.tenant,
                    "carrier": base.carrier,
                    "iccid_prefix": base.iccid_prefix,
                    "profile": SE_PROFILE,
                    "security_domain": self.security_domain,
                })
            })
            .collect()
    }
}

fn principal(principal: &Principal<'_>) -> Value {
    let mut rule = json!({
        "name": principal.identity.name,
        "certificate_sha256": hex::encode_upper(principal.identity.sha256()),
        "tenants": principal.tenants,
        "sandbox": true,
    });
    rule["role"] = match principal.role {
        Role::Sp => json!("sp"),
        Role::Officer => json!("officer"),
        Role::Auditor => json!("auditor"),
        Role::Enquiry => json!("enquiry"),
        Role::Counter(terminal) => {
            rule["terminal"] = json!(terminal);
            json!("counter")
        }
        Role::Carrier(carrier) => {
            rule["carrier"] = json!(carrier);
            json!("carrier")
        }
    };
    rule
}
