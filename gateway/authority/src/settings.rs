//! Who may authorize what, as the configuration says it.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{Action, Algorithm, CertificateDigest, SecretBytes, Trust};

/// Most clock skew allowed, seconds.
const SKEW_S_MOST: u32 = 60;
/// Longest lifetime of a token that can be configured, seconds: a night or holiday window.
const LIFETIME_S_MOST: u32 = 24 * 60 * 60;

/// Everything tokens are verified against.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// This gateway's id; a token's `aud`, exactly.
    pub audience: String,
    /// Clock skew allowed either way, 0 to 60 seconds.
    #[serde(default = "skew_s_default")]
    pub skew_s: u32,
    /// Longest `exp` − `nbf`, 1 to 86,400 seconds.
    #[serde(default = "lifetime_max_s_default")]
    pub lifetime_max_s: u32,
    /// The rules of check 13.
    pub policy: Policy,
    /// The issuers.
    pub issuers: Vec<Issuer>,
}

fn skew_s_default() -> u32 {
    60
}

fn lifetime_max_s_default() -> u32 {
    900
}

/// Which tokens are accepted, beyond being genuine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Recorded with every decision made under it.
    pub version: String,
    /// Proofing methods accepted, for example `face_to_face`.
    pub methods: Vec<String>,
    /// Least assurance level accepted.
    pub level_min: u8,
    /// Calendars accepted.
    pub calendars: Vec<Calendar>,
    /// Whether the applicant's access code is needed.
    pub access_code_mode: AccessCodeMode,
    /// Issuer classes accepted, for each action; an action not named is not allowed.
    pub actions: BTreeMap<Action, Vec<IssuerClass>>,
}

/// When the counter was open to the applicant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calendar {
    /// Ordinary hours.
    Day,
    /// Evening hours.
    Night,
    /// Holidays.
    Holiday,
}

impl Calendar {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "day" => Some(Self::Day),
            "night" => Some(Self::Night),
            "holiday" => Some(Self::Holiday),
            _ => None,
        }
    }
}

/// Whether the applicant's access code is needed, and if not, what stands in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessCodeMode {
    /// Every token carries its hash and every presentation the code.
    Required,
    /// May be left out: the SE was met at the terminal the token is bound to.
    OmittedTerminalBound,
    /// May be left out: the applet authenticates the issuer itself.
    OmittedEmbeddedAuth,
}

/// What kind of place issues tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerClass {
    /// A municipality's own counter.
    MunicipalCounter,
    /// A branch office or a place that acts for the municipality.
    Satellite,
    /// A booth that travels.
    MobileBooth,
}

/// One issuer of tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// A token's `iss`, exactly; with `x5c` also the leaf certificate's URI name.
    pub id: String,
    /// What kind of place it is.
    pub class: IssuerClass,
    /// Whether its tokens are taken.
    pub status: IssuerStatus,
    /// Algorithms it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Its keys.
    pub keys: Trust,
    /// The key of its access-code hashes, 16 or 32 bytes.
    #[serde(default)]
    pub access_code_key: Option<SecretBytes>,
    /// Its terminals; others are refused.
    pub terminals: Vec<Terminal>,
    /// Its clerks; others are refused.
    pub clerks: Vec<Clerk>,
    /// Whether it is for rehearsal only.
    #[serde(default)]
    pub sandbox: bool,
}

/// Whether an issuer's tokens are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerStatus {
    /// They are.
    Active,
    /// They are not, until it is set active again.
    Suspended,
}

/// One counter terminal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// A token's `ctr.term`.
    pub id: String,
    /// SHA-256 of the terminal's client certificate.
    pub certificate_sha256: CertificateDigest,
    /// Reader models that may be attached to it.
    pub readers: Vec<String>,
    /// Whether it was withdrawn.
    #[serde(default)]
    pub revoked: bool,
    /// Whether it is for rehearsal only.
    #[serde(default)]
    pub sandbox: bool,
}

/// One clerk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clerk {
    /// A token's `ctr.clerk`: a pairwise id, no name.
    pub id: String,
    /// Whether the clerk may no longer authorize.
    #[serde(default)]
    pub revoked: bool,
}

/// A setting that cannot stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SettingsError {
    /// Path below the authority's settings, for example `issuers[0].terminals[1].id`.
    pub path: String,
    /// What is wrong and what is allowed.
    pub problem: &'static str,
}

impl Authority {
    /// Checks bounds and uniqueness, which the types alone cannot.
    ///
    /// # Errors
    /// The first setting out of bounds.
    pub fn check(&self) -> Result<(), SettingsError> {
        require(!self.audience.is_empty(), "audience", "is empty")?;
        require(self.skew_s <= SKEW_S_MOST, "skew_s", "must be 0 to 60")?;
        let lifetime = (1..=LIFETIME_S_MOST).contains(&self.lifetime_max_s);
        require(lifetime, "lifetime_max_s", "must be 1 to 86400")?;
        require(!self.policy.version.is_empty(), "policy.version", "is empty")?;
        unique(self.issuers.iter().map(|issuer| issuer.id.as_str()), "issuers")?;
        for (index, issuer) in self.issuers.iter().enumerate() {
            issuer.check(&format!("issuers[{index}]"), self.policy.access_code_mode)?;
        }
        Ok(())
    }

    /// Names everything marked as for rehearsal only, so that a server that is no sandbox can refuse
    /// to start with it.
    pub fn marked_sandbox(&self) -> Vec<String> {
        let mut marked = Vec::new();
        for issuer in &self.issuers {
            let id = &issuer.id;
            if issuer.sandbox {
                marked.push(format!("issuer {id}"));
            }
            match &issuer.keys {
                Trust::Pinned(keys) => marked.extend(
                    keys.iter()
                        .filter(|key| key.sandbox)
                        .map(|key| format!("key {} of issuer {id}", key.kid)),
                ),
                Trust::X5c { sandbox: true, .. } => marked.push(format!("roots of issuer {id}")),
                Trust::X5c { sandbox: false, .. } => {}
            }
            marked.extend(
                issuer
                    .terminals
                    .iter()
                    .filter(|terminal| terminal.sandbox)
                    .map(|terminal| format!("terminal {} of issuer {id}", terminal.id)),
            );
        }
        marked
    }
}

impl Issuer {
    fn check(&self, path: &str, mode: AccessCodeMode) -> Result<(), SettingsError> {
        let at = |field: &str| format!("{path}.{field}");
        require(!self.algorithms.is_empty(), &at("algorithms"), "is empty")?;
        unique(self.terminals.iter().map(|terminal| terminal.id.as_str()), &at("terminals"))?;
        unique(self.clerks.iter().map(|clerk| clerk.id.as_str()), &at("clerks"))?;
        if let Trust::Pinned(keys) = &self.keys {
            require(!keys.is_empty(), &at("keys.pinned"), "is empty")?;
            unique(keys.iter().map(|key| key.kid.as_str()), &at("keys.pinned"))?;
        }
        match &self.access_code_key {
            Some(key) => {
                let fits = [16, 32].contains(&key.expose().len());
                require(fits, &at("access_code_key"), "must be 16 or 32 bytes")
            }
            None => {
                let needed = mode == AccessCodeMode::Required;
                require(
                    !needed,
                    &at("access_code_key"),
                    "is needed where access codes are required",
                )
            }
        }
    }

    /// The terminal of this id.
    pub(crate) fn terminal(&self, id: &str) -> Option<&Terminal> {
        self.terminals.iter().find(|terminal| terminal.id == id)
    }

    /// The clerk of this id.
    pub(crate) fn clerk(&self, id: &str) -> Option<&Clerk> {
        self.clerks.iter().find(|clerk| clerk.id == id)
    }
}

fn require(holds: bool, path: &str, problem: &'static str) -> Result<(), SettingsError> {
    if holds { Ok(()) } else { Err(SettingsError { path: path.to_owned(), problem }) }
}

fn unique<'a>(ids: impl Iterator<Item = &'a str>, path: &str) -> Result<(), SettingsError> {
    let mut seen = HashSet::new();
    for (index, id) in ids.enumerate() {
        let path = format!("{path}[{index}]");
        require(!id.is_empty(), &path, "has an empty id")?;
        require(seen.insert(id), &path, "has an id used before")?;
    }
    Ok(())
}
