//! Handing our Security Domain's first key set over to the gateway's custody.

use std::fmt;

use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePublicKey},
};
use scp::{Aid, KeyCheckValues, KeyVersionNumber};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    keys::{KeyError, StaticKeys},
    seat::Seat,
};

/// HPKE info: sealed for this purpose and no other.
pub const INFO: &[u8] = b"madoguchi key-set hand-over v1";

/// The body of `POST /v1/key-sets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandOver {
    /// Subscriber base.
    pub tenant: String,
    /// The SE.
    pub se: SeNumber,
    /// Our Security Domain.
    pub sd: Aid,
    /// Key Version Number of the set.
    pub kvn: KeyVersionNumber,
    /// Length of each key, bits.
    pub key_length: u16,
    /// Name of the SE profile.
    pub profile: String,
    /// Key Diversification Data as the SE answers it, upper-case hex.
    pub kdd: String,
    /// The keys, sealed to custody's transport key.
    pub wrapped: Wrapped,
    /// Key Check Values of K-ENC, K-MAC, K-DEK.
    pub kcv: KeyCheckValues,
}

/// An SE by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeNumber {
    /// ICCID, decimal digits.
    pub iccid: String,
}

/// HPKE in base mode (RFC 9180): K-ENC, K-MAC, K-DEK in a row.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// Encapsulated key, upper-case hex.
    pub enc: String,
    /// Ciphertext, upper-case hex.
    pub ciphertext: String,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapped(..)")
    }
}

/// Why a set could not be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The SE is not of this platform.
    #[error("SE {iccid} is not of this platform")]
    UnknownSe {
        /// What was asked for.
        iccid: String,
    },
    /// Not hexadecimal digits.
    #[error("the transport key is not hexadecimal digits")]
    NotHexadecimal,
    /// Not a public key of the suite.
    #[error("the transport key cannot be sealed to: {0}")]
    TransportKey(rustls::Error),
    /// The keys do not serve.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl HandOver {
    /// Seals a seat's first key set to custody's transport key, hexadecimal.
    pub(super) fn seal(
        seat: &Seat,
        tenant: &str,
        profile: &str,
        transport_key: &str,
    ) -> Result<HandOver, SealError> {
        let transport_key = hex::decode(transport_key).map_err(|_| SealError::NotHexadecimal)?;
        let bound_to = associated_data(tenant, &seat.iccid, &seat.security_domain, seat.first_kvn);
        let keys: &StaticKeys = &seat.first_keys;
        let (EncapsulatedSecret(enc), ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
            .seal(INFO, bound_to.as_bytes(), &keys.concatenated(), &HpkePublicKey(transport_key))
            .map_err(SealError::TransportKey)?;
        Ok(HandOver {
            tenant: tenant.to_owned(),
            se: SeNumber { iccid: seat.iccid.clone() },
            sd: seat.security_domain,
            kvn: seat.first_kvn,
            key_length: keys.length().bits(),
            profile: profile.to_owned(),
            kdd: hex::encode_upper(seat.key_diversification_data),
            wrapped: Wrapped {
                enc: hex::encode_upper(enc),
                ciphertext: hex::encode_upper(ciphertext),
            },
            kcv: keys.check_values()?,
        })
    }
}

/// What the sealed keys are bound to: tenant, SE, Security Domain and Key Version Number, one a line.
pub fn associated_data(tenant: &str, se: &str, sd: &Aid, kvn: KeyVersionNumber) -> String {
    format!("{tenant}\n{se}\n{sd}\n{kvn}")
}
