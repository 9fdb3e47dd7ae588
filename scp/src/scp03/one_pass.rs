//! C-ENC and C-MAC of one command in one pass.
//!
//! Either is a chain in which each AES block waits for the one before. Taken together, a processor
//! encrypts the next block while it MACs the last, and the two cost hardly more than the longer.

use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser};

use super::cipher::BLOCK;
use super::wrapping::Chain;

type Block = Array<u8, U16>;

/// One command, made ready.
pub(crate) struct OnePass<'d> {
    /// Encrypted under S-ENC it is the initial chaining vector (AmdD §6.2.6).
    pub(crate) counter: [u8; BLOCK],
    pub(crate) chain: Chain,
    /// Class byte as MACed up to Lc, 5 or 7 bytes, then zeros.
    pub(crate) header: [u8; BLOCK],
    pub(crate) header_length: usize,
    /// Padded data, encrypted in place.
    pub(crate) data: &'d mut [[u8; BLOCK]],
    /// The subkey of CMAC for a last block that is not whole, which the header makes of it.
    pub(crate) subkey: [u8; BLOCK],
}

impl OnePass<'_> {
    /// Encrypts the data, and gives the full CMAC over chain, header and encrypted data.
    pub(crate) fn run<A: BlockCipherEncrypt<BlockSize = U16>>(self, enc: &A, mac: &A) -> Chain {
        let mut result = Chain::default();
        enc.encrypt_with_backend(WithEnc { mac, pass: self, result: &mut result });
        result
    }

    #[inline(always)]
    fn run_on(self, enc: impl Fn(&mut Block), mac: impl Fn(&mut Block)) -> Chain {
        let mut ciphertext = Block::from(self.counter);
        enc(&mut ciphertext);
        let mut state = Block::from(self.chain);
        mac(&mut state);
        // The header shifts the blocks of the MAC against those of the data.
        let shift = u32::try_from(self.header_length.saturating_mul(8)).unwrap_or_default();
        let rest = 128u32.saturating_sub(shift);
        let mut carried = u128::from_be_bytes(self.header);
        for block in self.data {
            xor(&mut ciphertext, block);
            enc(&mut ciphertext);
            *block = ciphertext.into();
            let encrypted = u128::from_be_bytes(*block);
            xor(&mut state, &(carried | encrypted.wrapping_shr(shift)).to_be_bytes());
            mac(&mut state);
            carried = encrypted.wrapping_shl(rest);
        }
        let padding = 0x80u128.wrapping_shl(rest.saturating_sub(8));
        xor(&mut state, &(carried | padding).to_be_bytes());
        xor(&mut state, &self.subkey);
        mac(&mut state);
        state.into()
    }
}

#[inline(always)]
fn xor(to: &mut Block, from: &[u8; BLOCK]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

/// Inside the code for S-ENC.
struct WithEnc<'a, 'd, A> {
    mac: &'a A,
    pass: OnePass<'d>,
    result: &'a mut Chain,
}

impl<A> BlockSizeUser for WithEnc<'_, '_, A> {
    type BlockSize = U16;
}

impl<A: BlockCipherEncrypt<BlockSize = U16>> BlockCipherEncClosure for WithEnc<'_, '_, A> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, enc: &B) {
        let WithEnc { mac, pass, result } = self;
        mac.encrypt_with_backend(WithBoth { enc, pass, result });
    }
}

/// Inside the code for S-ENC and S-MAC.
struct WithBoth<'a, 'd, E> {
    enc: &'a E,
    pass: OnePass<'d>,
    result: &'a mut Chain,
}

impl<E> BlockSizeUser for WithBoth<'_, '_, E> {
    type BlockSize = U16;
}

impl<E: BlockCipherEncBackend<BlockSize = U16>> BlockCipherEncClosure for WithBoth<'_, '_, E> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, mac: &B) {
        let WithBoth { enc, pass, result } = self;
        *result = pass.run_on(
            |block| enc.encrypt_block_inplace(block),
            |block| mac.encrypt_block_inplace(block),
        );
    }
}
