//! Authentication cryptograms (AmdD §6.2.2.2, §6.2.2.3).

use super::challenge::Challenge;
use super::cipher::{BLOCK, Cipher};
use super::kdf;

/// Which side proves itself.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Card,
    Host,
}

/// The cryptogram of one side under S-MAC, over host challenge and card challenge. It is one CMAC,
/// cut by the mode.
pub(crate) fn cryptogram(
    side: Side,
    s_mac: &Cipher,
    host: &Challenge,
    card: &Challenge,
) -> [u8; BLOCK] {
    let constant = match side {
        Side::Card => kdf::CARD_CRYPTOGRAM,
        Side::Host => kdf::HOST_CRYPTOGRAM,
    };
    let mut output = [0; BLOCK];
    for block in kdf::blocks(constant, host.mode().bits(), &[host.as_bytes(), card.as_bytes()]) {
        output = s_mac.cmac(&[&block]);
    }
    output
}
