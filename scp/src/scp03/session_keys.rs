//! Session keys: who made them, and how they are kept.

use std::fmt;
use std::marker::PhantomData;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::cipher::{BLOCK, Cipher};
use super::derivations::{Origin, Typed};
use crate::keyset::version::KeyLength;

/// One session key. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) enum SessionKey {
    Aes128([u8; 16]),
    Aes192([u8; 24]),
    Aes256([u8; 32]),
}

impl SessionKey {
    fn zero(length: KeyLength) -> SessionKey {
        match length {
            KeyLength::Aes128 => SessionKey::Aes128([0; 16]),
            KeyLength::Aes192 => SessionKey::Aes192([0; 24]),
            KeyLength::Aes256 => SessionKey::Aes256([0; 32]),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            SessionKey::Aes128(key) => key,
            SessionKey::Aes192(key) => key,
            SessionKey::Aes256(key) => key,
        }
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        match self {
            SessionKey::Aes128(key) => key,
            SessionKey::Aes192(key) => key,
            SessionKey::Aes256(key) => key,
        }
    }
}

/// S-ENC, S-MAC and S-RMAC of one session (AmdD §6.2.1), marked with where their static keys are.
///
/// They are boxed before they are filled, since every move would leave a copy behind. They are
/// never cloned, printed or stored:
///
/// ```compile_fail,E0277
/// fn store<T: serde::Serialize>(_: &T) {}
/// fn keep(keys: &scp::scp03::session_keys::SessionKeys<scp::Custody>) {
///     store(keys);
/// }
/// ```
/// ```
/// fn show<T: std::fmt::Debug>(_: &T) {}
/// fn keep(keys: &scp::scp03::session_keys::SessionKeys<scp::Custody>) {
///     show(keys);
/// }
/// ```
pub struct SessionKeys<O: Origin> {
    pub(crate) enc: SessionKey,
    pub(crate) mac: SessionKey,
    pub(crate) rmac: SessionKey,
    pub(crate) origin: PhantomData<O>,
}

impl<O: Origin> SessionKeys<O> {
    pub(crate) fn zero(length: KeyLength) -> Box<SessionKeys<O>> {
        let zero = || SessionKey::zero(length);
        Box::new(SessionKeys { enc: zero(), mac: zero(), rmac: zero(), origin: PhantomData })
    }

    pub(crate) fn length(&self) -> KeyLength {
        match self.mac {
            SessionKey::Aes128(_) => KeyLength::Aes128,
            SessionKey::Aes192(_) => KeyLength::Aes192,
            SessionKey::Aes256(_) => KeyLength::Aes256,
        }
    }

    pub(crate) fn schedules(&self) -> Box<Schedules> {
        let mac = Cipher::new(&self.mac);
        Box::new(Schedules {
            enc: Cipher::new(&self.enc),
            mac_subkey: Zeroizing::new(mac.cmac_subkey()),
            mac,
            rmac: Cipher::new(&self.rmac),
        })
    }
}

impl SessionKeys<Typed> {
    /// S-ENC, for the person who typed the static keys.
    #[must_use]
    pub fn s_enc(&self) -> &[u8] {
        self.enc.as_bytes()
    }

    /// S-MAC, for the person who typed the static keys.
    #[must_use]
    pub fn s_mac(&self) -> &[u8] {
        self.mac.as_bytes()
    }

    /// S-RMAC, for the person who typed the static keys.
    #[must_use]
    pub fn s_rmac(&self) -> &[u8] {
        self.rmac.as_bytes()
    }
}

impl<O: Origin> fmt::Debug for SessionKeys<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys")
    }
}

/// The expanded session keys, made once a session. The keys themselves are erased by then.
pub(crate) struct Schedules {
    pub(crate) enc: Cipher,
    pub(crate) mac: Cipher,
    pub(crate) mac_subkey: Zeroizing<[u8; BLOCK]>,
    pub(crate) rmac: Cipher,
}
