//! Bytes that may leave, and bytes that may not.

use sha2::{Digest, Sha256};

use crate::aid::Aid;
use crate::apdu::CommandApdu;
use crate::effect::{ContentRules, Effect, Tracker};
use crate::error::ApiMisuse;

/// Commands a carrier may take to an SE. Only this crate builds them: clear commands that read,
/// commands wrapped on a custody channel, and granted scripts.
#[derive(PartialEq, Eq)]
pub struct Outbound {
    commands: Vec<Vec<u8>>,
    effect: Effect,
}

impl Outbound {
    pub(crate) fn new(commands: Vec<Vec<u8>>, effect: Effect) -> Outbound {
        Outbound { commands, effect }
    }

    /// SELECT by name, first occurrence (CS 2.3.1 §11.9), on the basic logical channel.
    #[must_use]
    pub fn select(aid: &Aid) -> Outbound {
        let aid = aid.as_bytes();
        let mut command = vec![0x00, 0xA4, 0x04, 0x00];
        crate::apdu::push_lc(&mut command, aid.len(), false);
        command.extend_from_slice(aid);
        command.push(0x00);
        Outbound::new(vec![command], Effect::Read)
    }

    /// One command in the clear.
    ///
    /// # Errors
    /// [`ApiMisuse::NotARead`] unless the command is known to do no more than read.
    pub fn read(command: CommandApdu) -> Result<Outbound, ApiMisuse> {
        match clear_effect(&command) {
            Effect::Read => Ok(Outbound::new(vec![command.to_bytes()], Effect::Read)),
            effect => Err(ApiMisuse::NotARead { effect }),
        }
    }

    /// These commands, then those.
    #[must_use]
    pub fn then(mut self, next: Outbound) -> Outbound {
        self.commands.extend(next.commands);
        Outbound { commands: self.commands, effect: self.effect.max(next.effect) }
    }

    /// The commands in the order in which to send them.
    #[must_use]
    pub fn commands(&self) -> &[Vec<u8>] {
        &self.commands
    }

    /// SHA-256 over the commands, each preceded by its length in 4 bytes, big-endian.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha256_of(&self.commands)
    }

    /// The strongest effect any of the commands has.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbound({} commands, {:?})", self.commands.len(), self.effect)
    }
}

/// What a clear command does, seen without any session around it. Which application it reaches
/// plays no part in what counts as reading.
fn clear_effect(command: &CommandApdu) -> Effect {
    let target = Aid::ISSUER_SECURITY_DOMAIN;
    Tracker::new(target, ContentRules::nothing_public()).observe(command)
}

pub(crate) fn sha256_of<C: AsRef<[u8]>>(commands: &[C]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for command in commands.iter().map(AsRef::as_ref) {
        hash.update(u32::try_from(command.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(command);
    }
    hash.finalize().into()
}

/// Commands wrapped with keys in the caller's own hands. No carrier takes them.
///
/// ```compile_fail,E0308
/// fn send(_: scp::Outbound) {}
/// fn leak(script: scp::TypedScript) {
///     send(script);
/// }
/// ```
/// ```
/// fn send(_: scp::Outbound) {}
/// fn forward(script: scp::Outbound) {
///     send(script);
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TypedScript {
    commands: Vec<Vec<u8>>,
}

impl TypedScript {
    pub(crate) fn new(commands: Vec<Vec<u8>>) -> TypedScript {
        TypedScript { commands }
    }

    /// The wrapped commands in order.
    #[must_use]
    pub fn commands(&self) -> &[Vec<u8>] {
        &self.commands
    }
}

impl std::fmt::Debug for TypedScript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TypedScript({} commands)", self.commands.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> CommandApdu {
        CommandApdu::parse(&hex::decode(text).unwrap()).unwrap()
    }

    #[test]
    fn select_names_the_application() {
        let selection = Outbound::select(&"A000000151000000".parse().unwrap());
        assert_eq!(hex::encode_upper(&selection.commands()[0]), "00A4040008A00000015100000000");
        assert_eq!(selection.effect(), Effect::Read);
    }

    #[test]
    fn only_reading_goes_out_in_the_clear() {
        assert!(Outbound::read(command("80CA006600")).is_ok());
        for text in ["80D8000001FF", "80E2800001FF", "80E40000024F00", "80F0800F05A000000001"] {
            let refused = Outbound::read(command(text));
            assert!(matches!(refused, Err(ApiMisuse::NotARead { .. })), "{text}");
        }
    }

    #[test]
    fn the_hash_depends_on_where_a_command_ends() {
        let one = || Outbound::new(vec![vec![1, 2], vec![3]], Effect::Read);
        let other = || Outbound::new(vec![vec![1], vec![2, 3]], Effect::Read);
        assert_ne!(one().sha256(), other().sha256());
        assert_eq!(one().then(other()).commands().len(), 4);
        let write = Outbound::new(vec![vec![9]], Effect::KeyWrite);
        assert_eq!(one().then(write).then(other()).effect(), Effect::KeyWrite);
    }
}
