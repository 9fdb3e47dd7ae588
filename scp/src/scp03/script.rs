//! Plain commands, as many as are wrapped in one go.

use crate::apdu::CommandApdu;
use crate::error::ApiMisuse;

/// Most commands in one script.
pub const SCRIPT_COMMANDS_MOST: usize = 1_024;

/// Plain commands to be wrapped in one go, 1 to 1024 of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(pub(super) Vec<CommandApdu>);

impl Script {
    /// A script of these commands.
    ///
    /// # Errors
    /// [`ApiMisuse`] for no command at all, or more than 1024.
    pub fn new(commands: Vec<CommandApdu>) -> Result<Script, ApiMisuse> {
        const WHAT: &str = "commands in a script";
        match commands.len() {
            0 => Err(ApiMisuse::TooLittle { what: WHAT, got: 0, least: 1 }),
            1..=SCRIPT_COMMANDS_MOST => Ok(Script(commands)),
            got => Err(ApiMisuse::TooMuch { what: WHAT, got, most: SCRIPT_COMMANDS_MOST }),
        }
    }

    /// The commands in order.
    #[must_use]
    pub fn commands(&self) -> &[CommandApdu] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_1_to_1024_commands() {
        let command = CommandApdu::new(0x80, 0xCA, 0x00, 0x66, [], Some(256)).unwrap();
        let of = |count| Script::new(vec![command.clone(); count]);
        assert!(matches!(of(0), Err(ApiMisuse::TooLittle { .. })));
        assert!(of(1).is_ok() && of(1_024).is_ok());
        assert!(matches!(of(1_025), Err(ApiMisuse::TooMuch { got: 1_025, .. })));
    }
}
