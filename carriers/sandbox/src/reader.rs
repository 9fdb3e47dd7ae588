//! A card reader: the counter's, which observes the SE, and the phone's, which proves that the delivered key signs.

use scp::Aid;
use se::SecureElement;

use crate::{
    document::Proof,
    error::SandboxError,
    identity_key::{self, IdentityKey},
    pem, random,
};

/// GET RESPONSE rounds after which an SE that always has more is given up.
const ROUNDS_MAX: usize = 16;
/// Digits of an ICCID that stand in the Issuer Identification Number, tag 42 (CS 2.3.1 §11.3.3.1); the rest is tag 45.
const IIN_DIGITS: usize = 6;
/// Status word of a Key Version Number that is not there (AmdD §7.1.1.6).
const REFERENCED_DATA_NOT_FOUND: u16 = 0x6A88;

/// A reader with an SE in it; inserting it is a card reset.
pub struct Reader<'a> {
    se: &'a mut SecureElement,
    iccid: &'a str,
}

impl<'a> Reader<'a> {
    /// Inserts the SE whose label says `iccid`.
    pub fn insert(se: &'a mut SecureElement, iccid: &'a str) -> Reader<'a> {
        se.reset();
        Reader { se, iccid }
    }

    /// The ICCID the SE itself tells, by GET DATA of tags 42 and 45.
    ///
    /// # Errors
    /// [`SandboxError::Proof`] if it tells none.
    pub fn observed_iccid(&mut self) -> Result<String, SandboxError> {
        let mut digits = String::new();
        for tag in [0x42, 0x45] {
            let answer = self.expect(&[0x80, 0xCA, 0x00, tag, 0x00], "GET DATA")?;
            let [_, _, value @ ..] = answer.as_slice() else {
                return Err(SandboxError::proof(self.iccid, "GET DATA answers no TLV"));
            };
            digits.push_str(hex::encode(value).trim_end_matches('f'));
        }
        Ok(digits)
    }

    /// Has the applet sign a fresh challenge with the delivered key, and verifies what it says.
    ///
    /// # Errors
    /// [`SandboxError::Proof`] if the SE refuses, shows another certificate or does not sign with its key.
    pub fn prove(&mut self, applet: &Aid, identity: &IdentityKey) -> Result<Proof, SandboxError> {
        self.select(applet)?;
        let pin = identity.pin();
        self.expect(&case_3([0x00, 0x20, 0x00, 0x80], pin.as_bytes()), "VERIFY")?;
        let challenge: [u8; 32] = random::bytes();
        let mut authenticate = case_3([0x00, 0x88, 0x00, 0x00], &challenge);
        authenticate.push(0x00);
        let signature = self.expect(&authenticate, "INTERNAL AUTHENTICATE")?;
        let answer = self.expect(&[0x00, 0xCA, 0xDF, 0x21, 0x00], "GET DATA DF21")?;
        // Some applets answer the value, some the data object; either way it ends with the certificate.
        if !answer.ends_with(&identity.certificate) {
            return Err(SandboxError::proof(self.iccid, "the SE shows another certificate"));
        }
        if !identity_key::signature_is_valid(&identity.certificate, &challenge, &signature) {
            return Err(SandboxError::proof(self.iccid, "the signature does not verify"));
        }
        Ok(Proof {
            se: self.iccid.to_owned(),
            applet_aid: applet.to_string(),
            pin: pin.to_owned(),
            challenge: hex::encode_upper(challenge),
            signature: hex::encode_upper(signature),
            certificate: pem::encode("CERTIFICATE", &identity.certificate),
        })
    }

    /// Whether INITIALIZE UPDATE finds a key set with this Key Version Number in the Security Domain.
    ///
    /// # Errors
    /// [`SandboxError::Proof`] if the Security Domain cannot be selected or answers something else than yes or no.
    pub fn opens(&mut self, security_domain: &Aid, kvn: u8) -> Result<bool, SandboxError> {
        self.select(security_domain)?;
        let mut initialize = case_3([0x80, 0x50, kvn, 0x00], &random::bytes::<8>());
        initialize.push(0x00);
        match self.exchange(&initialize)? {
            (_, 0x9000) => Ok(true),
            (_, REFERENCED_DATA_NOT_FOUND) => Ok(false),
            (_, sw) => Err(self.refused("INITIALIZE UPDATE", sw)),
        }
    }

    fn select(&mut self, aid: &Aid) -> Result<(), SandboxError> {
        let mut select = case_3([0x00, 0xA4, 0x04, 0x00], aid.as_bytes());
        select.push(0x00);
        self.expect(&select, "SELECT").map(drop)
    }

    fn expect(&mut self, apdu: &[u8], name: &str) -> Result<Vec<u8>, SandboxError> {
        match self.exchange(apdu)? {
            (data, 0x9000) => Ok(data),
            (_, sw) => Err(self.refused(name, sw)),
        }
    }

    /// One command with all of its answer, fetched by GET RESPONSE where it is long (ISO/IEC 7816-4 §11.7.1).
    fn exchange(&mut self, apdu: &[u8]) -> Result<(Vec<u8>, u16), SandboxError> {
        let mut answer = Vec::new();
        let mut response = self.se.transmit(apdu);
        for _ in 0..ROUNDS_MAX {
            let Some((data, &[sw1, sw2])) = response.split_last_chunk() else {
                return Err(SandboxError::proof(self.iccid, "the SE does not answer"));
            };
            answer.extend_from_slice(data);
            if sw1 != 0x61 {
                return Ok((answer, u16::from_be_bytes([sw1, sw2])));
            }
            response = self.se.transmit(&[0x00, 0xC0, 0x00, 0x00, sw2]);
        }
        Err(SandboxError::proof(self.iccid, "the SE always has more to say"))
    }

    fn refused(&self, name: &str, sw: u16) -> SandboxError {
        SandboxError::proof(self.iccid, format!("{name} answers {sw:04X}"))
    }
}

/// Tags 42 and 45 of an SE with this ICCID: its digits, two a byte, the last half byte F.
#[must_use]
pub fn identification(iccid: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (iin, cin) = iccid.split_at_checked(IIN_DIGITS)?;
    let packed = |digits: &str| {
        let filler = if digits.len().is_multiple_of(2) { "" } else { "F" };
        hex::decode(format!("{digits}{filler}")).ok()
    };
    Some((packed(iin)?, packed(cin)?))
}

fn case_3(header: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut apdu = header.to_vec();
    apdu.push(data.len() as u8);
    apdu.extend_from_slice(data);
    apdu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iccid_is_packed_two_digits_a_byte() {
        let (iin, cin) = identification("8981100000000000018").unwrap();
        assert_eq!(hex::encode_upper(iin), "898110");
        assert_eq!(hex::encode_upper(cin), "0000000000018F");
        assert!(identification("89").is_none());
    }

    #[test]
    fn a_new_se_tells_its_iccid() {
        let (iin, cin) = identification("8981100000000000018").unwrap();
        let factory = se::Factory { iin, cin, ..se::Factory::default() };
        let mut se = SecureElement::new(factory).unwrap();
        let mut reader = Reader::insert(&mut se, "8981100000000000018");
        assert_eq!(reader.observed_iccid().unwrap(), "8981100000000000018");
    }
}
