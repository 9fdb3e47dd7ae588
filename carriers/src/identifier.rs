//! Names that travel with every function: the secure element and the function call.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::CALL_ID_MAX;

/// A name that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentifierError {
    /// Not 18 to 20 digits.
    #[error("an ICCID has 18 to 20 decimal digits")]
    Iccid,
    /// Not 32 digits.
    #[error("an EID has 32 decimal digits")]
    Eid,
    /// Empty, too long or with characters other than `0-9A-Za-z._:-`.
    #[error("a FunctionCallIdentifier has 1 to {CALL_ID_MAX} characters of 0-9A-Za-z._:-")]
    Call,
}

/// A secure element by the number it is routed by; serialized as the standard's SEIdentifier alternative.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Alternative", into = "Alternative")]
pub enum SeId {
    /// Integrated circuit card identifier (ITU-T E.118): 18 to 20 digits.
    Iccid(String),
    /// eUICC identifier (GSMA SGP.29): 32 digits.
    Eid(String),
}

impl SeId {
    /// An SE named by its ICCID.
    ///
    /// # Errors
    /// [`IdentifierError::Iccid`] unless it has 18 to 20 decimal digits.
    pub fn iccid(digits: &str) -> Result<SeId, IdentifierError> {
        let fits = (18..=20).contains(&digits.len()) && all_digits(digits);
        fits.then(|| SeId::Iccid(digits.to_owned())).ok_or(IdentifierError::Iccid)
    }

    /// An SE named by its EID.
    ///
    /// # Errors
    /// [`IdentifierError::Eid`] unless it has 32 decimal digits.
    pub fn eid(digits: &str) -> Result<SeId, IdentifierError> {
        let fits = digits.len() == 32 && all_digits(digits);
        fits.then(|| SeId::Eid(digits.to_owned())).ok_or(IdentifierError::Eid)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        match self {
            SeId::Iccid(digits) | SeId::Eid(digits) => digits,
        }
    }
}

impl fmt::Display for SeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The wire form; the checks of [`SeId`] stand between the two.
#[derive(Serialize, Deserialize)]
enum Alternative {
    #[serde(rename = "SEId_ICCID")]
    Iccid(String),
    // The specification knows ICCID and Card Unique Data; an EID travels in its extendable alternative, which we name so.
    #[serde(rename = "SEId_EID")]
    Eid(String),
}

impl TryFrom<Alternative> for SeId {
    type Error = IdentifierError;

    fn try_from(wire: Alternative) -> Result<SeId, IdentifierError> {
        match wire {
            Alternative::Iccid(digits) => SeId::iccid(&digits),
            Alternative::Eid(digits) => SeId::eid(&digits),
        }
    }
}

impl From<SeId> for Alternative {
    fn from(id: SeId) -> Alternative {
        match id {
            SeId::Iccid(digits) => Alternative::Iccid(digits),
            SeId::Eid(digits) => Alternative::Eid(digits),
        }
    }
}

/// FunctionCallIdentifier: names one call, and makes a repeated notification recognizable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);

impl CallId {
    /// A call identifier from text.
    ///
    /// # Errors
    /// [`IdentifierError::Call`] when empty, too long or outside `0-9A-Za-z._:-`.
    pub fn new(text: &str) -> Result<CallId, IdentifierError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let fits = !text.is_empty() && text.len() <= CALL_ID_MAX && text.bytes().all(plain);
        fits.then(|| CallId(text.to_owned())).ok_or(IdentifierError::Call)
    }

    /// A fresh identifier, in the order of time (uuid v7). Not a secret.
    pub fn fresh() -> CallId {
        CallId(uuid::Uuid::now_v7().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CallId {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<CallId, IdentifierError> {
        CallId::new(&text)
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> String {
        id.0
    }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secure_elements_travel_as_the_standard_s_alternatives() {
        let id = SeId::iccid("8981100000000000018").unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#"{"SEId_ICCID":"8981100000000000018"}"#);
        assert_eq!(serde_json::from_str::<SeId>(&json).unwrap(), id);
        let eid = SeId::eid("89049032000000000000000000000012").unwrap();
        assert_eq!(
            serde_json::from_value::<SeId>(serde_json::to_value(&eid).unwrap()).unwrap(),
            eid
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "898110000000000001", "89811000000000000187 ", "８981100000000000018"] {
            let accepted = SeId::iccid(text).is_ok();
            assert_eq!(accepted, text == "898110000000000001", "{text:?}");
        }
        assert!(serde_json::from_str::<SeId>(r#"{"SEId_ICCID":"../../etc"}"#).is_err());
        assert!(serde_json::from_str::<SeId>(r#"{"SEId_CardUniqueData":"00"}"#).is_err());
        assert_eq!(SeId::eid("1234"), Err(IdentifierError::Eid));
    }

    #[test]
    fn call_identifiers_are_bounded() {
        assert!(CallId::new(CallId::fresh().as_str()).is_ok());
        for bad in ["", "a b", "a\n", &"x".repeat(CALL_ID_MAX + 1)] {
            assert_eq!(CallId::new(bad), Err(IdentifierError::Call));
        }
        assert!(serde_json::from_str::<CallId>("\"\"").is_err());
    }
}
