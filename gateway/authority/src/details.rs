//! What one token authorizes: the `authorization_details` (RFC 9396) that `open` answers, the
//! terminal shows, the counter signs, and the token is compared with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most routing targets one authorization may name.
const LOCATIONS_MOST: usize = 8;

/// One authorized key write. Field for field what the token carries; hex is upper case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationDetails {
    /// What kind of authorization it is.
    #[serde(rename = "type")]
    pub details_type: DetailsType,
    /// The operation; exactly one.
    pub actions: Vec<Action>,
    /// Routing targets allowed, for example `tsm:carrier-a`; at least one.
    pub locations: Vec<String>,
    /// The SE, as observed at the counter.
    pub se: SecureElementId,
    /// AID of the Security Domain, hex, 5 to 16 bytes.
    pub sd: String,
    /// AID of the applet instance, hex, 5 to 16 bytes.
    pub applet: String,
    /// The Security Domain's key set to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyset: Option<KeysetDetails>,
    /// The application key to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appkey: Option<AppKeyDetails>,
    /// SHA-256 of template and data reference the scripts come from, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Always 1.
    pub max_uses: u32,
}

/// The only type of authorization there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DetailsType {
    /// `urn:sptsm:key-write:v1`.
    #[default]
    #[serde(rename = "urn:sptsm:key-write:v1")]
    KeyWriteV1,
}

/// An operation a counter can authorize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// First issue to an SE: takeover of its key set, then the application key.
    Issue,
    /// Issue to a further SE of the same applicant.
    Reissue,
    /// Handing an SE over to another applicant.
    Transfer,
    /// Setting the PIN anew.
    PinInit,
    /// Unblocking the PIN.
    PinUnblock,
}

/// The SE, by exactly one of its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecureElementId {
    /// ICCID, decimal digits.
    Iccid(String),
    /// EID, 32 decimal digits.
    Eid(String),
    /// Any other id of an SE: digits, letters, hyphens.
    Seid(String),
}

impl SecureElementId {
    /// The id's value, without its kind.
    pub fn value(&self) -> &str {
        match self {
            Self::Iccid(value) | Self::Eid(value) | Self::Seid(value) => value,
        }
    }
}

/// The key set a Security Domain is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysetDetails {
    /// Key Version Number to be written, two hex digits.
    pub kvn: String,
    /// Key Version Number that goes, two hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Key identifiers, two hex digits each.
    pub kids: Vec<String>,
    /// For example `AES-128`.
    pub alg: String,
}

/// The application key an applet is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppKeyDetails {
    /// Which of the applet's keys, for example `auth`.
    pub slot: String,
    /// For example `RSA-2048`.
    pub alg: String,
}

impl AuthorizationDetails {
    /// Whether the object may be signed at all.
    ///
    /// # Errors
    /// The name of the first field out of form.
    pub fn check(&self) -> Result<(), &'static str> {
        let [action] = self.actions.as_slice() else { return Err("actions") };
        if self.locations.is_empty()
            || self.locations.len() > LOCATIONS_MOST
            || self.locations.iter().any(String::is_empty)
        {
            return Err("locations");
        }
        if !is_se_id(&self.se) {
            return Err("se");
        }
        if !is_hex(&self.sd, 5..=16) {
            return Err("sd");
        }
        if !is_hex(&self.applet, 5..=16) {
            return Err("applet");
        }
        if !self.keyset.as_ref().is_none_or(KeysetDetails::is_formed)
            || (*action == Action::Issue && self.keyset.is_none())
        {
            return Err("keyset");
        }
        if !self.appkey.as_ref().is_none_or(|key| !key.slot.is_empty() && !key.alg.is_empty())
            || (*action == Action::Issue && self.appkey.is_none())
        {
            return Err("appkey");
        }
        if !self.script.as_deref().is_none_or(|digest| is_hex(digest, 32..=32)) {
            return Err("script");
        }
        if self.max_uses != 1 {
            return Err("max_uses");
        }
        Ok(())
    }

    /// The first field in which a signed object differs from this one.
    ///
    /// Compared as JSON: what is left out, added or of another type differs too.
    pub(crate) fn difference(&self, signed: &Value) -> Option<&'static str> {
        // In the order a clerk reads them; the struct's own fields, so the list is complete when the
        // whole is compared last.
        const FIELDS: [&str; 10] = [
            "type",
            "actions",
            "locations",
            "se",
            "sd",
            "applet",
            "keyset",
            "appkey",
            "script",
            "max_uses",
        ];
        let Ok(opened) = serde_json::to_value(self) else { return Some("authorization_details") };
        if opened == *signed {
            return None;
        }
        let differing = FIELDS.into_iter().find(|field| opened.get(*field) != signed.get(*field));
        Some(differing.unwrap_or("authorization_details"))
    }
}

impl KeysetDetails {
    fn is_formed(&self) -> bool {
        is_kvn(&self.kvn)
            && self.replaces.as_deref().is_none_or(is_kvn)
            && !self.kids.is_empty()
            && self.kids.iter().all(|kid| is_hex(kid, 1..=1))
            && !self.alg.is_empty()
    }
}

fn is_se_id(id: &SecureElementId) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    match id {
        // ITU-T E.118: at most 19 digits with the check digit; some issuers print 20.
        SecureElementId::Iccid(id) => (18..=20).contains(&id.len()) && digits(id),
        SecureElementId::Eid(id) => id.len() == 32 && digits(id),
        SecureElementId::Seid(id) => {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }
    }
}

/// Key Version Numbers of key sets run from 01 to 7F (Card Specification, section 11.8.2.1).
fn is_kvn(text: &str) -> bool {
    is_hex(text, 1..=1) && text != "00" && text < "80"
}

fn is_hex(text: &str, bytes: std::ops::RangeInclusive<usize>) -> bool {
    text.len().is_multiple_of(2)
        && bytes.contains(&(text.len() / 2))
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
}
