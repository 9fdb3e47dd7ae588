//! One SE's static keys from a master key: what whoever holds the master must compute.
//!
//! Diversification is a product's choice, no standard's. Each method here is a declared layout of
//! the input; a product with another one declares a [`Template`].
//!
//! No key enters. [`Plan::apply`] consumes a [`Master`] and gives a [`Diversified`], and nothing
//! turns that into a `Master`: keys cannot be diversified twice.
//!
//! ```compile_fail,E0308
//! use scp::keyset::diversify::{Diversified, Plan};
//! fn twice(plan: &Plan, keys: Diversified<u32>) {
//!     let _ = plan.apply(keys, |_, _| Ok::<u32, ()>(0));
//! }
//! ```
//! ```
//! use scp::keyset::diversify::{Master, Plan};
//! fn once(plan: &Plan, keys: Master<u32>) {
//!     let _ = plan.apply(keys, |_, _| Ok::<u32, ()>(0));
//! }
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::version::KeyLength;
use crate::hexadecimal;

/// Bytes of Key Diversification Data (AmdD §7.1.1).
pub const DIVERSIFICATION_DATA: usize = 10;

const PARTS_MOST: usize = 16;
const FIXED_MOST: usize = 64;
/// Bits that one CMAC, or two blocks of Triple DES, yield.
const OUTPUT_BITS: u16 = 128;
/// Two blocks of Triple DES in ECB mode: one key of 16 bytes.
const TRIPLE_DES_INPUT: usize = 16;

/// The key to derive, in the order of the key identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Key-ENC, identifier 1.
    Enc,
    /// Key-MAC, identifier 2.
    Mac,
    /// Key-DEK, identifier 3.
    Dek,
}

/// What is computed over each input, under the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Primitive {
    /// Triple DES with two keys, ECB, no padding: 16 bytes from 16.
    #[serde(rename = "3des-ecb")]
    TripleDesEcb,
    /// AES CMAC: 16 bytes from any number.
    #[serde(rename = "aes-cmac")]
    AesCmac,
}

/// How one product diversifies. In text a name, `"emv-cps"`, or `{ template = { … } }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// EMV Card Personalization Specification 1.1: the last 6 bytes of the diversification data.
    EmvCps,
    /// "VISA2": bytes 1, 2 and 5 to 8 of the diversification data.
    Visa2,
    /// "KDF3": CMAC in counter mode over key number and diversification data, without a length.
    Kdf3,
    /// NIST SP 800-108 in counter mode over CMAC, its fields in the standard's order: counter of
    /// 1 byte, label (that of the product, then the key number), 00, diversification data, length
    /// in bits of 2 bytes.
    #[serde(rename = "sp800-108")]
    Sp800108 {
        /// The product's label, up to 64 bytes; may be empty.
        #[serde(with = "hexadecimal::bytes")]
        label: Vec<u8>,
    },
    /// Another layout.
    Template(Template),
}

/// The input to the primitive, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// What is computed.
    pub primitive: Primitive,
    /// The parts, joined.
    pub parts: Vec<Part>,
}

/// A part of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Part {
    /// These bytes.
    Fixed(#[serde(with = "hexadecimal::bytes")] Vec<u8>),
    /// 01, 02 or 03: the identifier of the key.
    KeyNumber,
    /// 01, 02: the number of the block. Needed for keys longer than one block.
    Counter,
    /// The length of the key in bits, 2 bytes.
    LengthBits,
    /// Bytes of the Key Diversification Data.
    DiversificationData {
        /// First byte, from 0.
        from: usize,
        /// Number of bytes.
        bytes: usize,
    },
}

/// A method that does not diversify, or not into keys of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DiversifyError {
    /// More parts or fixed bytes than a template may have, or none.
    #[error("a template has 1 to {PARTS_MOST} parts of at most {FIXED_MOST} fixed bytes each")]
    Size,
    /// Bytes beyond the end of the diversification data, or none.
    #[error("Key Diversification Data have {DIVERSIFICATION_DATA} bytes")]
    Range,
    /// Without diversification data every SE would get the same keys.
    #[error("the template uses no Key Diversification Data")]
    SameForEverySe,
    /// Without the key number the three keys of a set would be one.
    #[error("the template does not use the key number")]
    SameForEveryKey,
    /// Without a counter the blocks of a long key would be the same.
    #[error("keys longer than 16 bytes need a counter")]
    SameForEveryBlock,
    /// Two blocks of Triple DES in, 16 bytes out.
    #[error("Triple DES in ECB mode makes keys of 16 bytes out of 16, without a counter")]
    TripleDes,
}

/// How to compute one key: the outputs of the primitive over the blocks, joined and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// Which key it becomes.
    pub key: Key,
    /// Length of the key in bits.
    pub bits: u16,
    /// The input of each computation, complete.
    pub blocks: Vec<Vec<u8>>,
}

/// How to compute all three keys of one SE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    primitive: Primitive,
    derivations: [Derivation; 3],
}

/// A holder's handle on a master key set: never the keys themselves.
#[derive(Debug)]
pub struct Master<H>(H);

/// A holder's handle on one SE's key set, out of a master or given as such. No way leads back:
/// see the [module](self).
#[derive(Debug)]
pub struct Diversified<H>(H);

impl Key {
    /// All three, in the order of the key identifiers.
    pub const ALL: [Key; 3] = [Key::Enc, Key::Mac, Key::Dek];

    fn number(self) -> u8 {
        match self {
            Key::Enc => 1,
            Key::Mac => 2,
            Key::Dek => 3,
        }
    }
}

impl Method {
    /// How to compute an SE's keys of that length from its Key Diversification Data.
    ///
    /// # Errors
    /// [`DiversifyError`] for a template that does not diversify, or cannot make such keys.
    ///
    /// # Security
    /// Key Diversification Data is what an SE says of itself. Keys of a wrong SE open no channel,
    /// so a lie costs an attempt and gains nothing.
    pub fn plan(
        &self,
        data: &[u8; DIVERSIFICATION_DATA],
        key_length: KeyLength,
    ) -> Result<Plan, DiversifyError> {
        let template = self.template();
        template.check(key_length)?;
        let derivations = Key::ALL.map(|key| template.derivation(key, data, key_length));
        Ok(Plan { primitive: template.primitive, derivations })
    }

    fn template(&self) -> Template {
        let data = |from, bytes| Part::DiversificationData { from, bytes };
        let fixed = |bytes: &[u8]| Part::Fixed(bytes.to_vec());
        let (primitive, parts) = match self {
            Method::Template(template) => return template.clone(),
            Method::EmvCps => (
                Primitive::TripleDesEcb,
                [0xF0, 0x0F].map(|side| [data(4, 6), fixed(&[side]), Part::KeyNumber]).concat(),
            ),
            Method::Visa2 => (
                Primitive::TripleDesEcb,
                [0xF0, 0x0F]
                    .map(|side| [data(0, 2), data(4, 4), fixed(&[side]), Part::KeyNumber])
                    .concat(),
            ),
            Method::Kdf3 => (
                Primitive::AesCmac,
                vec![Part::Counter, fixed(&[0; 3]), Part::KeyNumber, fixed(&[0]), data(0, 10)],
            ),
            Method::Sp800108 { label } => (
                Primitive::AesCmac,
                vec![
                    Part::Counter,
                    fixed(label),
                    Part::KeyNumber,
                    fixed(&[0]),
                    data(0, 10),
                    Part::LengthBits,
                ],
            ),
        };
        Template { primitive, parts }
    }
}

impl Template {
    fn check(&self, key_length: KeyLength) -> Result<(), DiversifyError> {
        if !(1..=PARTS_MOST).contains(&self.parts.len()) {
            return Err(DiversifyError::Size);
        }
        self.parts.iter().try_for_each(Part::check)?;
        let uses = |wanted: fn(&Part) -> bool| self.parts.iter().any(wanted);
        if !uses(|part| matches!(part, Part::DiversificationData { .. })) {
            return Err(DiversifyError::SameForEverySe);
        }
        if !uses(|part| matches!(part, Part::KeyNumber)) {
            return Err(DiversifyError::SameForEveryKey);
        }
        let counter = uses(|part| matches!(part, Part::Counter));
        match self.primitive {
            Primitive::AesCmac if key_length.bits() > OUTPUT_BITS && !counter => {
                Err(DiversifyError::SameForEveryBlock)
            }
            Primitive::AesCmac => Ok(()),
            Primitive::TripleDesEcb => {
                let length: usize = self.parts.iter().map(Part::length).sum();
                let fits = key_length == KeyLength::Aes128 && length == TRIPLE_DES_INPUT;
                if fits && !counter { Ok(()) } else { Err(DiversifyError::TripleDes) }
            }
        }
    }

    fn derivation(
        &self,
        key: Key,
        data: &[u8; DIVERSIFICATION_DATA],
        key_length: KeyLength,
    ) -> Derivation {
        let bits = key_length.bits();
        let blocks = (1u8..).take(usize::from(bits.div_ceil(OUTPUT_BITS)));
        let block = |counter| {
            let mut block = Vec::new();
            self.parts.iter().for_each(|part| match part {
                Part::Fixed(bytes) => block.extend_from_slice(bytes),
                Part::KeyNumber => block.push(key.number()),
                Part::Counter => block.push(counter),
                Part::LengthBits => block.extend_from_slice(&bits.to_be_bytes()),
                Part::DiversificationData { from, bytes } => {
                    block.extend(data.iter().skip(*from).take(*bytes));
                }
            });
            block
        };
        Derivation { key, bits, blocks: blocks.map(block).collect() }
    }
}

impl Part {
    fn check(&self) -> Result<(), DiversifyError> {
        match self {
            Part::Fixed(bytes) if bytes.len() > FIXED_MOST => Err(DiversifyError::Size),
            Part::DiversificationData { from, bytes } => {
                let end = from.checked_add(*bytes).filter(|end| *end <= DIVERSIFICATION_DATA);
                end.filter(|_| *bytes > 0).map(|_| ()).ok_or(DiversifyError::Range)
            }
            Part::Fixed(_) | Part::KeyNumber | Part::Counter | Part::LengthBits => Ok(()),
        }
    }

    fn length(&self) -> usize {
        match self {
            Part::Fixed(bytes) => bytes.len(),
            Part::KeyNumber | Part::Counter => 1,
            Part::LengthBits => 2,
            Part::DiversificationData { bytes, .. } => *bytes,
        }
    }
}

impl Plan {
    /// What to compute over each block.
    #[must_use]
    pub fn primitive(&self) -> Primitive {
        self.primitive
    }

    /// The keys to compute, in the order of the key identifiers.
    #[must_use]
    pub fn derivations(&self) -> &[Derivation; 3] {
        &self.derivations
    }

    /// Lets the holder of the master compute; `compute` answers with its handle on the SE's keys.
    ///
    /// # Errors
    /// Whatever `compute` fails with.
    pub fn apply<M, H, E>(
        &self,
        master: Master<M>,
        compute: impl FnOnce(M, &Plan) -> Result<H, E>,
    ) -> Result<Diversified<H>, E> {
        compute(master.0, self).map(Diversified)
    }
}

impl<H> Master<H> {
    /// The handle of a key set that is on no SE as it is.
    #[must_use]
    pub fn new(handle: H) -> Master<H> {
        Master(handle)
    }
}

impl<H> Diversified<H> {
    /// The handle of a key set that is one SE's already: nothing diversifies it.
    #[must_use]
    pub fn given(handle: H) -> Diversified<H> {
        Diversified(handle)
    }

    /// The handle.
    #[must_use]
    pub fn into_inner(self) -> H {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn blocks(method: &Method, key_length: KeyLength) -> Vec<String> {
        let plan = method.plan(&DATA, key_length).unwrap();
        let blocks = plan.derivations().iter().flat_map(|derivation| &derivation.blocks);
        blocks.map(hex::encode_upper).collect()
    }

    #[test]
    fn layouts_are_as_published() {
        let aes128 = KeyLength::Aes128;
        assert_eq!(blocks(&Method::EmvCps, aes128)[0], "040506070809F0010405060708090F01");
        assert_eq!(blocks(&Method::Visa2, aes128)[2], "000104050607F0030001040506070F03");
        let kdf3 = blocks(&Method::Kdf3, KeyLength::Aes192);
        assert_eq!(kdf3.len(), 6);
        assert_eq!(kdf3[3], "02000000020000010203040506070809");
        let nist = Method::Sp800108 { label: b"K".to_vec() };
        assert_eq!(blocks(&nist, KeyLength::Aes256)[1], "024B0100000102030405060708090100");
    }

    #[test]
    fn what_does_not_diversify_is_refused() {
        let data = |from, bytes| Part::DiversificationData { from, bytes };
        let cmac = |parts: Vec<Part>| (Primitive::AesCmac, parts);
        let (number, counter) = (Part::KeyNumber, Part::Counter);
        let cases = [
            (cmac(vec![]), DiversifyError::Size),
            (cmac(vec![counter.clone(); 17]), DiversifyError::Size),
            (cmac(vec![Part::Fixed(vec![0; 65])]), DiversifyError::Size),
            (cmac(vec![data(5, 6)]), DiversifyError::Range),
            (cmac(vec![data(usize::MAX, 1)]), DiversifyError::Range),
            (cmac(vec![data(0, 0)]), DiversifyError::Range),
            (cmac(vec![number.clone()]), DiversifyError::SameForEverySe),
            (cmac(vec![data(0, 10)]), DiversifyError::SameForEveryKey),
            (cmac(vec![data(0, 10), number.clone()]), DiversifyError::SameForEveryBlock),
            (
                (Primitive::TripleDesEcb, vec![data(0, 10), number.clone()]),
                DiversifyError::TripleDes,
            ),
        ];
        for ((primitive, parts), expected) in cases {
            let method = Method::Template(Template { primitive, parts });
            assert_eq!(method.plan(&DATA, KeyLength::Aes256), Err(expected));
        }
        for method in [Method::EmvCps, Method::Visa2] {
            let refused = method.plan(&DATA, KeyLength::Aes256);
            assert_eq!(refused, Err(DiversifyError::TripleDes));
        }
    }

    #[test]
    fn methods_are_written_as_data() {
        let read = |text: &str| serde_json::from_str::<Method>(text);
        assert_eq!(read(r#""kdf3""#).unwrap(), Method::Kdf3);
        let text = r#"{"template":{"primitive":"aes-cmac","parts":["counter",{"fixed":"000000"},
            "key-number",{"fixed":"00"},{"diversification-data":{"from":0,"bytes":10}}]}}"#;
        let declared = read(text).unwrap();
        let same = [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256]
            .map(|length| blocks(&declared, length) == blocks(&Method::Kdf3, length));
        assert_eq!(same, [true; 3]);
        let text = serde_json::to_string(&declared).unwrap();
        assert_eq!(read(&text).unwrap(), declared);
        for text in [r#""visa1""#, r#"{"template":{"primitive":"aes-cmac","parts":[],"x":1}}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
