//! Static keys in the test's own hands, over `aes` and `cmac` directly.

use aes::{Aes128, Aes192, Aes256};
use cmac::{Cmac, KeyInit, Mac};
use scp::scp03::derivations::Origin;
use scp::{Answer, Derivations, StaticKey};

/// CMAC under a key of any AES length.
pub(crate) fn cmac(key: &[u8], input: &[u8]) -> [u8; 16] {
    fn run<M: KeyInit + Mac>(key: &[u8], input: &[u8]) -> [u8; 16] {
        let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
        mac.update(input);
        mac.finalize().into_bytes()[..].try_into().unwrap()
    }
    match key.len() {
        16 => run::<Cmac<Aes128>>(key, input),
        24 => run::<Cmac<Aes192>>(key, input),
        _ => run::<Cmac<Aes256>>(key, input),
    }
}

/// SP 800-108 in counter mode with the layout of AmdD §4.1.5, written independently of the crate.
pub(crate) fn derive(key: &[u8], constant: u8, bits: usize, context: &[u8]) -> Vec<u8> {
    let mut derived = Vec::new();
    for counter in 1..=bits.div_ceil(128) {
        let fixed = [constant, 0, (bits >> 8) as u8, bits as u8, counter as u8];
        derived.extend(cmac(key, &[&[0; 11], &fixed[..], context].concat()));
    }
    derived.truncate(bits / 8);
    derived
}

/// Key-ENC and Key-MAC.
#[derive(Clone)]
pub(crate) struct StaticKeys {
    pub(crate) enc: Vec<u8>,
    pub(crate) mac: Vec<u8>,
}

impl StaticKeys {
    pub(crate) fn new(enc: &[u8], mac: &[u8]) -> StaticKeys {
        StaticKeys { enc: enc.to_vec(), mac: mac.to_vec() }
    }

    pub(crate) fn answer<O: Origin>(&self, derivations: &Derivations) -> Answer<O> {
        let prf = |key, input: &[u8]| match key {
            StaticKey::Enc => Ok(cmac(&self.enc, input)),
            StaticKey::Mac => Ok(cmac(&self.mac, input)),
        };
        derivations.answer::<O, std::convert::Infallible>(prf).unwrap()
    }

    pub(crate) fn card_cryptogram(&self, host: &[u8], card: &[u8]) -> Vec<u8> {
        let context = [host, card].concat();
        let s_mac = derive(&self.mac, 0x06, self.mac.len() * 8, &context);
        derive(&s_mac, 0x00, host.len() * 8, &context)
    }
}
