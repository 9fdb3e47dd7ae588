//! The compact format (TS 102 226 §5.1): commands in a row, one answer for all of them.

use std::fmt;

use super::{ScriptError, at_most, count};
use crate::apdu::CommandApdu;
use crate::status::StatusWord;

/// Instructions whose P3 is Le, in the clear (ISO/IEC 7816-4; TS 102 221 §10.1.2): GET CHALLENGE,
/// READ BINARY, READ RECORD, GET RESPONSE, GET DATA.
const OUTGOING: [u8; 5] = [0x84, 0xB0, 0xB2, 0xC0, 0xCA];
/// STATUS of a UICC in the clear has Le; GET STATUS of GlobalPlatform, under the same number, has
/// data and a P1 above 0F (CS 2.3.1 Table 11-32).
const STATUS: u8 = 0xF2;
/// Instructions whose P3 is Lc (CS 2.3.1 Table 11-1; TS 102 221 §10.1.2): VERIFY, INITIALIZE
/// UPDATE, MANAGE CHANNEL, EXTERNAL AUTHENTICATE, SELECT, UPDATE BINARY, PUT KEY, UPDATE RECORD,
/// STORE DATA, DELETE, INSTALL, LOAD, SET STATUS.
const INCOMING: [u8; 13] =
    [0x20, 0x50, 0x70, 0x82, 0xA4, 0xD6, 0xD8, 0xDC, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0];

/// The answer to a script. `Debug` shows the length of the data, never the data.
#[derive(Clone, PartialEq, Eq)]
pub struct CompactAnswer {
    /// Commands executed, the failed one included.
    pub executed: u8,
    /// Status word of the last one executed.
    pub status: StatusWord,
    /// Its data.
    pub data: Vec<u8>,
}

/// The commands, as [`Outbound::commands`](crate::Outbound::commands) gives them, in one row.
///
/// # Errors
/// [`ScriptError::Case`] for extended length and for Le beside data: to see the answer of such a
/// command, send it without Le and GET RESPONSE after it, or use the expanded format.
pub fn encode<C: AsRef<[u8]>>(commands: &[C]) -> Result<Vec<u8>, ScriptError> {
    count(commands.len())?;
    let mut script = Vec::new();
    for command in commands {
        let command = CommandApdu::parse(command.as_ref())?;
        let [cla, ins, p1, p2] = [command.cla(), command.ins(), command.p1(), command.p2()];
        let refused = ScriptError::Case { ins };
        let p3 = match (is_outgoing(cla, ins, p1)?, command.data(), command.le()) {
            _ if command.is_extended() => return Err(refused),
            (true, [], Some(le)) => le.to_be_bytes(),
            (false, data, None) => (data.len() as u32).to_be_bytes(),
            _ => return Err(refused),
        };
        // An Le of 256 is 00.
        let [.., p3] = p3;
        script.extend_from_slice(&[cla, ins, p1, p2, p3]);
        script.extend_from_slice(command.data());
    }
    Ok(script)
}

/// The commands in a row of bytes.
///
/// # Errors
/// [`ScriptError`]; [`ScriptError::UnknownCase`] where the end of a command cannot be told.
pub fn decode(script: &[u8]) -> Result<Vec<CommandApdu>, ScriptError> {
    let (mut commands, mut rest) = (Vec::new(), script);
    while !rest.is_empty() {
        let (&[cla, ins, p1, p2, p3], after) =
            rest.split_first_chunk().ok_or(ScriptError::Truncated)?;
        let (data, le): (&[u8], _) = if is_outgoing(cla, ins, p1)? {
            rest = after;
            (&[], Some(if p3 == 0 { 256 } else { u32::from(p3) }))
        } else {
            let (data, after) =
                after.split_at_checked(usize::from(p3)).ok_or(ScriptError::Truncated)?;
            rest = after;
            (data, None)
        };
        commands.push(CommandApdu::new(cla, ins, p1, p2, data, le)?);
        count(commands.len())?;
    }
    count(commands.len())?;
    Ok(commands)
}

/// Whether P3 is Le. A command under secure messaging always has data: its MAC.
fn is_outgoing(cla: u8, ins: u8, p1: u8) -> Result<bool, ScriptError> {
    // Bits 4 and 3 of the class on the first four logical channels, bit 6 on the others
    // (ISO/IEC 7816-4 §5.4.1, CS 2.3.1 §11.1.4).
    let secured = if cla & 0x40 == 0 { cla & 0x0C != 0 } else { cla & 0x20 != 0 };
    match ins {
        ins if secured && (INCOMING.contains(&ins) || OUTGOING.contains(&ins)) => Ok(false),
        STATUS => Ok(!secured && p1 <= 0x0F),
        ins if OUTGOING.contains(&ins) => Ok(true),
        ins if INCOMING.contains(&ins) => Ok(false),
        ins => Err(ScriptError::UnknownCase { ins }),
    }
}

impl CompactAnswer {
    /// Reads the answer to a script of that many commands.
    ///
    /// # Errors
    /// [`ScriptError::Truncated`], [`ScriptError::MoreThanSent`].
    pub fn decode(answer: &[u8], sent: usize) -> Result<CompactAnswer, ScriptError> {
        let (&[executed, sw1, sw2], data) =
            answer.split_first_chunk().ok_or(ScriptError::Truncated)?;
        at_most(usize::from(executed), sent)?;
        let status = StatusWord(u16::from_be_bytes([sw1, sw2]));
        Ok(CompactAnswer { executed, status, data: data.to_vec() })
    }

    /// The answer as an SE gives it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&[self.executed], &self.status.0.to_be_bytes()[..], &self.data].concat()
    }
}

impl fmt::Debug for CompactAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CompactAnswer { executed, status, data } = self;
        write!(f, "CompactAnswer({executed} executed, {status}, {} data bytes)", data.len())
    }
}
