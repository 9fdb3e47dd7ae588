//! INSTALL in its forms (CS 2.3.1 §11.5).

use super::{ALL, command, ins};
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;
use crate::tlv;

/// P1 of INSTALL: what it is for (CS 2.3.1 Table 11-41).
pub(crate) mod purpose {
    pub(crate) const LOAD: u8 = 0x02;
    pub(crate) const INSTALL: u8 = 0x04;
    pub(crate) const MAKE_SELECTABLE: u8 = 0x08;
    pub(crate) const INSTALL_AND_MAKE_SELECTABLE: u8 = INSTALL | MAKE_SELECTABLE;
    pub(crate) const EXTRADITION: u8 = 0x10;
    pub(crate) const PERSONALIZATION: u8 = 0x20;
    pub(crate) const REGISTRY_UPDATE: u8 = 0x40;
}

/// Application-specific parameters (CS 2.3.1 Table 11-49).
const APPLICATION_PARAMETERS: u32 = 0xC9;
/// Most bytes of a Load File Data Block Hash (CS 2.3.1 Table 11-42).
const HASH_MOST: usize = 0x7F;

/// INSTALL \[for load\]: announces a Load File, to be associated with `security_domain` or, without
/// one, with the Security Domain that receives the command. `parameters` are complete data objects.
///
/// # Errors
/// [`ApiMisuse::TooMuch`] for a hash above 127 bytes, or data that does not fit one command.
pub fn for_load(
    load_file: Aid,
    security_domain: Option<Aid>,
    hash: Option<&[u8]>,
    parameters: &[u8],
) -> Result<CommandApdu, ApiMisuse> {
    let hash = hash.unwrap_or_default();
    if hash.len() > HASH_MOST {
        let what = "Load File Data Block Hash";
        return Err(ApiMisuse::TooMuch { what, got: hash.len(), most: HASH_MOST });
    }
    let security_domain = security_domain.as_ref().map(Aid::as_bytes).unwrap_or_default();
    install(purpose::LOAD, &[load_file.as_bytes(), security_domain, hash, parameters, &[]])
}

/// INSTALL \[for install\]: makes an instance of a module that is on the SE, not yet selectable.
/// `privileges` are one or three bytes, `parameters_c9` is the content of tag C9.
///
/// # Errors
/// [`ApiMisuse`] for another number of privilege bytes, or data that does not fit one command.
pub fn for_install(
    load_file: Aid,
    module: Aid,
    instance: Aid,
    privileges: &[u8],
    parameters_c9: &[u8],
) -> Result<CommandApdu, ApiMisuse> {
    install_as(purpose::INSTALL, [load_file, module, instance], privileges, parameters_c9)
}

/// INSTALL \[for install and make selectable\], otherwise as [`for_install`].
///
/// # Errors
/// As [`for_install`].
pub fn for_install_and_make_selectable(
    load_file: Aid,
    module: Aid,
    instance: Aid,
    privileges: &[u8],
    parameters_c9: &[u8],
) -> Result<CommandApdu, ApiMisuse> {
    let purpose = purpose::INSTALL_AND_MAKE_SELECTABLE;
    install_as(purpose, [load_file, module, instance], privileges, parameters_c9)
}

fn install_as(
    purpose: u8,
    [load_file, module, instance]: [Aid; 3],
    privileges: &[u8],
    parameters_c9: &[u8],
) -> Result<CommandApdu, ApiMisuse> {
    let parameters = tlv::encode(APPLICATION_PARAMETERS, parameters_c9)?;
    let fields = [
        load_file.as_bytes(),
        module.as_bytes(),
        instance.as_bytes(),
        checked_privileges(privileges)?,
        &parameters,
        &[],
    ];
    install(purpose, &fields)
}

/// INSTALL \[for make selectable\] of an installed instance.
///
/// # Errors
/// [`ApiMisuse`] if the privileges are not one or three bytes.
pub fn for_make_selectable(instance: Aid, privileges: &[u8]) -> Result<CommandApdu, ApiMisuse> {
    let privileges = checked_privileges(privileges)?;
    install(purpose::MAKE_SELECTABLE, &[&[], &[], instance.as_bytes(), privileges, &[], &[]])
}

/// INSTALL \[for personalization\]: the Security Domain forwards the STORE DATA that follow.
///
/// # Errors
/// None in practice: every AID fits.
pub fn for_personalization(instance: Aid) -> Result<CommandApdu, ApiMisuse> {
    install(purpose::PERSONALIZATION, &[&[], &[], instance.as_bytes(), &[], &[], &[]])
}

/// INSTALL \[for extradition\]: associates an instance or load file with `security_domain`.
///
/// # Errors
/// None in practice: every pair of AIDs fits.
pub fn for_extradition(security_domain: Aid, applet: Aid) -> Result<CommandApdu, ApiMisuse> {
    let fields = [security_domain.as_bytes(), &[], applet.as_bytes(), &[], &[], &[]];
    install(purpose::EXTRADITION, &fields)
}

fn checked_privileges(privileges: &[u8]) -> Result<&[u8], ApiMisuse> {
    match privileges.len() {
        1 | 3 => Ok(privileges),
        _ => Err(ApiMisuse::Invalid { what: "privileges", why: "neither one byte nor three" }),
    }
}

/// The fields, each with its length before it.
fn install(purpose: u8, fields: &[&[u8]]) -> Result<CommandApdu, ApiMisuse> {
    let mut data = Vec::new();
    for field in fields {
        tlv::push_length(&mut data, field.len())?;
        data.extend_from_slice(field);
    }
    command("INSTALL data", [ins::INSTALL, purpose, 0x00], data, ALL)
}

/// The fields of INSTALL data, lengths taken off; none if the data is not exactly such fields.
///
/// The length 128 in the one byte 80, which CS 2.3.1 §11.5.2.3 tolerates, is not read, nor is
/// any length in more bytes than it needs.
pub(crate) fn fields(data: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    let mut long = None;
    let mut rest = data;
    while !rest.is_empty() {
        let (length, after) = field_length(rest)?;
        let (field, after) = after.split_at_checked(length)?;
        if length > 0x7F {
            long = long.or(Some(fields.len()));
        }
        fields.push(field);
        rest = after;
    }
    // Only parameters and token have lengths of more than one byte, and they come last.
    let short_only = fields.len().checked_sub(2)?;
    long.is_none_or(|first_long| first_long >= short_only).then_some(fields)
}

fn field_length(data: &[u8]) -> Option<(usize, &[u8])> {
    match data {
        [length @ 0x00..=0x7F, after @ ..] => Some((usize::from(*length), after)),
        [0x81, length @ 0x80..=0xFF, after @ ..] => Some((usize::from(*length), after)),
        [0x82, high @ 0x01..=0xFF, low, after @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), after))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_fields_stand_only_at_the_end() {
        let long = [&[0x81, 0x80][..], &[0xAA; 0x80]].concat();
        let with = |before: &[u8], after: &[u8]| [before, &long, after].concat();
        assert_eq!(fields(&with(&[0, 0], &[0])).unwrap().len(), 4);
        assert_eq!(fields(&with(&[0, 0], &[0, 0])), None);
        assert_eq!(fields(&with(&[0, 0, 0], &[])).unwrap().len(), 4);
        assert_eq!(fields(&[0, 0, 0x81, 0x01, 0xAA, 0]), None);
        assert_eq!(fields(&[0, 0, 0x80, 0]), None);
        assert_eq!(fields(&[0, 2, 1]), None);
        assert_eq!(fields(&[0]), None);
    }

    proptest! {
        #[test]
        fn fields_undo_install(
            instance in proptest::collection::vec(any::<u8>(), 5..=16),
            parameters in proptest::collection::vec(any::<u8>(), 0..150),
        ) {
            let aid = Aid::new(&instance).unwrap();
            let built = for_install(aid, aid, aid, &[0x00], &parameters).unwrap();
            let object = tlv::encode(0xC9, &parameters).unwrap();
            let expected: Vec<&[u8]> =
                vec![&instance, &instance, &instance, &[0x00], &object, &[]];
            prop_assert_eq!(fields(built.data()).unwrap(), expected);
        }

        #[test]
        fn no_data_panics(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = fields(&data);
        }
    }
}
