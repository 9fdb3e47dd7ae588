//! Authentication cryptograms (AmdD §6.2.2.2, §6.2.2.3).

use super::cipher::Cipher;
use super::kdf;

/// Challenges, cryptograms and MACs of S8 have 8 bytes.
pub(crate) const S8: usize = 8;
const BITS: u16 = 64;

/// Which side proves itself.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Card,
    Host,
}

/// The cryptogram of one side under S-MAC, over host challenge and card challenge.
pub(crate) fn cryptogram(side: Side, s_mac: &Cipher, host: &[u8; S8], card: &[u8; S8]) -> [u8; S8] {
    let constant = match side {
        Side::Card => kdf::CARD_CRYPTOGRAM,
        Side::Host => kdf::HOST_CRYPTOGRAM,
    };
    let mut output = [0; S8];
    for block in kdf::blocks(constant, BITS, &[host, card]) {
        let derived = s_mac.cmac(&[&block]);
        output.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
    }
    output
}
