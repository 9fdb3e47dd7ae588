//! DELETE of content and of keys (CS 2.3.1 §11.2).

use super::{ALL, aid_object, ins};
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;
use crate::keyset::version::KeyVersionNumber;
use crate::permit::{KeyScript, KeyWrite};

/// Tag of the Key Version Number in DELETE \[key\] (CS 2.3.1 Table 11-24).
const KEY_VERSION_NUMBER: u8 = 0xD2;
const ONLY_COMMAND: u8 = 0x00;
const OBJECT_ALONE: u8 = 0x00;
const OBJECT_AND_RELATED: u8 = 0x80;

/// DELETE of an application, or of a load file, alone or with its applications.
///
/// A channel takes this without a permit only where the SE has shown that nothing of a subject goes
/// with it.
#[must_use]
pub fn object(aid: Aid, related: bool) -> CommandApdu {
    let p2 = if related { OBJECT_AND_RELATED } else { OBJECT_ALONE };
    CommandApdu::proprietary([ins::DELETE, ONLY_COMMAND, p2], aid_object(aid), ALL)
}

/// DELETE \[key\] of every key with this Key Version Number in the Security Domain.
///
/// # Errors
/// None in practice: the script has one command.
pub fn key_set(
    security_domain: Aid,
    key_version_number: KeyVersionNumber,
) -> Result<KeyScript, ApiMisuse> {
    let data = vec![KEY_VERSION_NUMBER, 1, key_version_number.get()];
    let delete = CommandApdu::proprietary([ins::DELETE, ONLY_COMMAND, OBJECT_ALONE], data, ALL);
    let write = KeyWrite::SdKeysetDelete { kvn: key_version_number };
    KeyScript::new(vec![delete], write, security_domain)
}

/// DELETE of a personalized instance, which takes its keys with it.
///
/// # Errors
/// None in practice: the script has one command.
pub fn personalized(security_domain: Aid, instance: Aid) -> Result<KeyScript, ApiMisuse> {
    let write = KeyWrite::Destroy { target: instance };
    KeyScript::new(vec![object(instance, false)], write, security_domain)
}
