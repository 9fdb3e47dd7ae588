//! Settings of one JSON leg, and their bounds.

use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Mode,
    limits::{
        ANSWER_TIMEOUT_MS, Bound, CONNECT_TIMEOUT_MS, IDLE_TIMEOUT_MS, REQUESTS_MAX,
        RESPONSE_MAX_BYTES,
    },
};

/// A carrier's TSM spoken to in JSON over mutually authenticated TLS 1.3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonCarrierSettings {
    /// Name in routes, logs and audit records: 1 to 64 of `0-9a-z-`.
    pub id: String,
    /// `https://host[:port][/path]`; functions are called below `gp/`.
    pub base_url: String,
    /// Who manages card content there.
    pub mode: Mode,
    /// The certification authority this carrier's server certificate must chain to, PEM. No other root is trusted.
    pub ca_file: PathBuf,
    /// Our client certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Our client private key, PEM.
    pub key_file: PathBuf,
    /// TCP connect and TLS handshake together, milliseconds.
    #[serde(default = "defaults::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// From a connection in hand to the last byte of the answer, milliseconds.
    #[serde(default = "defaults::answer_timeout_ms")]
    pub answer_timeout_ms: u64,
    /// Largest body of an answer, bytes.
    #[serde(default = "defaults::response_max_bytes")]
    pub response_max_bytes: u64,
    /// Requests under way at a time; more wait their turn, for as long as an answer may take.
    #[serde(default = "defaults::requests_max")]
    pub requests_max: u64,
    /// How long an idle connection is kept, milliseconds.
    #[serde(default = "defaults::idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// Made by a sandbox; refused outside it.
    #[serde(default)]
    pub sandbox: bool,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Not 1 to 64 of `0-9a-z-`.
    #[error("carrier id {0:?}: 1 to 64 characters of 0-9a-z- are needed")]
    Id(String),
    /// Not an `https` URL of host and path.
    #[error("carrier {id}: base_url must be https://host[:port][/path]")]
    BaseUrl {
        /// The carrier.
        id: String,
    },
    /// Outside its bounds.
    #[error("carrier {id}: {field} = {value} is outside {least}..={most}")]
    OutOfBounds {
        /// The carrier.
        id: String,
        /// The setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest value accepted.
        least: u64,
        /// Largest value accepted.
        most: u64,
    },
}

impl JsonCarrierSettings {
    /// Checks every bound; reads no file.
    ///
    /// # Errors
    /// The first setting that is out of bounds.
    pub fn check(&self) -> Result<(), SettingsError> {
        let plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.bytes().all(plain) {
            return Err(SettingsError::Id(self.id.clone()));
        }
        self.endpoint()?;
        self.within("connect_timeout_ms", self.connect_timeout_ms, CONNECT_TIMEOUT_MS)?;
        self.within("answer_timeout_ms", self.answer_timeout_ms, ANSWER_TIMEOUT_MS)?;
        self.within("response_max_bytes", self.response_max_bytes, RESPONSE_MAX_BYTES)?;
        self.within("requests_max", self.requests_max, REQUESTS_MAX)?;
        self.within("idle_timeout_ms", self.idle_timeout_ms, IDLE_TIMEOUT_MS)
    }

    /// `base_url` without a trailing slash, once it is one we accept.
    pub(super) fn endpoint(&self) -> Result<String, SettingsError> {
        let refused = || SettingsError::BaseUrl { id: self.id.clone() };
        let uri: Uri = self.base_url.parse().map_err(|_| refused())?;
        let host = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        if uri.scheme_str() != Some("https") || host.is_none() || uri.query().is_some() {
            return Err(refused());
        }
        Ok(self.base_url.trim_end_matches('/').to_owned())
    }

    fn within(&self, field: &'static str, value: u64, bound: Bound) -> Result<(), SettingsError> {
        let Bound { least, most, .. } = bound;
        let error =
            || SettingsError::OutOfBounds { id: self.id.clone(), field, value, least, most };
        bound.admits(value).then_some(()).ok_or_else(error)
    }
}

mod defaults {
    use super::{
        ANSWER_TIMEOUT_MS, CONNECT_TIMEOUT_MS, IDLE_TIMEOUT_MS, REQUESTS_MAX, RESPONSE_MAX_BYTES,
    };

    pub(super) fn connect_timeout_ms() -> u64 {
        CONNECT_TIMEOUT_MS.default
    }
    pub(super) fn answer_timeout_ms() -> u64 {
        ANSWER_TIMEOUT_MS.default
    }
    pub(super) fn response_max_bytes() -> u64 {
        RESPONSE_MAX_BYTES.default
    }
    pub(super) fn requests_max() -> u64 {
        REQUESTS_MAX.default
    }
    pub(super) fn idle_timeout_ms() -> u64 {
        IDLE_TIMEOUT_MS.default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> JsonCarrierSettings {
        serde_json::from_value(serde_json::json!({
            "id": "carrier-a", "base_url": "https://tsm.carrier-a.example:8443/", "mode": "authorised",
            "ca_file": "ca.pem", "certificate_file": "gateway.pem", "key_file": "gateway.key",
        }))
        .unwrap()
    }

    #[test]
    fn defaults_are_within_their_bounds() {
        assert_eq!(settings().check(), Ok(()));
        assert_eq!(settings().endpoint().unwrap(), "https://tsm.carrier-a.example:8443");
    }

    #[test]
    fn unknown_members_are_refused() {
        let mut value = serde_json::to_value(settings()).unwrap();
        value["retries"] = 3.into();
        assert!(serde_json::from_value::<JsonCarrierSettings>(value).is_err());
    }

    #[test]
    fn bad_settings_name_the_field() {
        for url in
            ["http://a.example", "https://", "https://u:p@a.example", "https://a.example/?q=1", "a"]
        {
            let bad = JsonCarrierSettings { base_url: url.into(), ..settings() };
            assert!(matches!(bad.check(), Err(SettingsError::BaseUrl { .. })), "{url}");
        }
        let slow = JsonCarrierSettings { answer_timeout_ms: 600_001, ..settings() };
        assert!(slow.check().unwrap_err().to_string().contains("answer_timeout_ms = 600001"));
        let none = JsonCarrierSettings { requests_max: 0, ..settings() };
        assert!(none.check().is_err());
        for id in ["", "Carrier", "a/b"] {
            let bad = JsonCarrierSettings { id: id.into(), ..settings() };
            assert!(matches!(bad.check(), Err(SettingsError::Id(_))));
        }
    }
}
