//! Scripts that write keys: before they are wrapped, and after.

use std::fmt;

use super::KeyWrite;
use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;
use crate::outbound::{Outbound, sha256_of};
use crate::scp03::channel::Script;

/// Plain commands that make one key write. Only the builders of this crate make one; plain
/// wrapping does not take it.
///
/// ```compile_fail,E0308
/// use scp::{Channel, Custody, KeyScript};
/// fn send(channel: Channel<Custody>, put_key: KeyScript) {
///     let _ = channel.wrap(put_key);
/// }
/// ```
/// ```
/// use scp::permit::{Bound, KeyWritePermit};
/// use scp::{Channel, Custody};
/// fn send(channel: Channel<Custody>, put_key: KeyWritePermit<Bound>) {
///     let _ = channel.wrap_granted(put_key);
/// }
/// ```
pub struct KeyScript {
    script: Script,
    write: KeyWrite,
    security_domain: Aid,
}

impl KeyScript {
    pub(crate) fn new(
        commands: Vec<CommandApdu>,
        write: KeyWrite,
        security_domain: Aid,
    ) -> Result<KeyScript, ApiMisuse> {
        Ok(KeyScript { script: Script::new(commands)?, write, security_domain })
    }

    /// The plain commands.
    #[must_use]
    pub fn commands(&self) -> &[CommandApdu] {
        self.script.commands()
    }

    /// What the commands write.
    #[must_use]
    pub fn write(&self) -> &KeyWrite {
        &self.write
    }

    /// The Security Domain whose channel they are for.
    #[must_use]
    pub fn security_domain(&self) -> &Aid {
        &self.security_domain
    }

    /// SHA-256 over the plain commands, each preceded by its length in 4 bytes, big-endian.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let commands: Vec<Vec<u8>> = self.commands().iter().map(CommandApdu::to_bytes).collect();
        sha256_of(&commands)
    }

    pub(crate) fn into_parts(self) -> (Script, KeyWrite) {
        (self.script, self.write)
    }
}

impl fmt::Debug for KeyScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyScript({} commands, {:?})", self.commands().len(), self.write)
    }
}

/// A key write, wrapped for one session. Its bytes come out once.
pub struct GrantedScript {
    outbound: Outbound,
}

impl GrantedScript {
    pub(crate) fn new(outbound: Outbound) -> GrantedScript {
        GrantedScript { outbound }
    }

    /// SHA-256 over the wrapped commands, each preceded by its length in 4 bytes, big-endian.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.outbound.sha256()
    }

    /// The bytes to send.
    ///
    /// # Security
    /// Reserved, by lint and by test, for the one place that has durably recorded that they are
    /// sent.
    #[must_use]
    pub fn danger_release(self) -> Outbound {
        self.outbound
    }
}

impl fmt::Debug for GrantedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantedScript({:?})", self.outbound)
    }
}
