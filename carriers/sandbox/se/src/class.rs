//! The SE's own judgement of what a command is: the ledger's `class`.

use serde::{Deserialize, Serialize};

use crate::aid::Aid;
use crate::apdu::Command;
use crate::registry::Card;
use crate::tlv::Reader;

/// What a command does to the SE, judged by header and, where it could be decrypted, body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandClass {
    /// Changes nothing that anybody gates.
    Read,
    /// Changes card content or public state.
    Content,
    /// Writes keys, or may.
    KeyWrite,
    /// Destroys or displaces keys, or may.
    Destroy,
}

/// The header of a command as it came over the line; bytes that were not there are `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header {
    pub(crate) ins: Option<u8>,
    pub(crate) p1: Option<u8>,
    pub(crate) p2: Option<u8>,
}

impl Header {
    pub(crate) fn of(apdu: &[u8]) -> Self {
        let mut bytes = apdu.iter().skip(1).copied();
        Self { ins: bytes.next(), p1: bytes.next(), p2: bytes.next() }
    }
}

impl CommandClass {
    /// Judges by the header alone: the body is absent or could not be decrypted, so the worst is assumed.
    pub(crate) fn of_header(header: Header) -> Self {
        let (p1, p2) = (header.p1.unwrap_or(0xFF), header.p2.unwrap_or(0xFF));
        match header.ins {
            Some(ins) => Self::judge(ins, p1, p2, || Self::Destroy),
            None => Self::KeyWrite,
        }
    }

    /// Judges a command in clear against the registry as it stands before the command.
    pub(crate) fn of_command(card: &Card, command: &Command) -> Self {
        Self::judge(command.ins, command.p1, command.p2, || {
            let target = match command.ins {
                0xE4 => delete_target(&command.data),
                _ => install_target(&command.data),
            };
            match target {
                Some(aid) if !card.holds_keys(&aid) => Self::Content,
                _ => Self::Destroy,
            }
        })
    }

    fn judge(ins: u8, p1: u8, p2: u8, by_target: impl FnOnce() -> Self) -> Self {
        match ins {
            // SELECT, GET RESPONSE, MANAGE CHANNEL, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE, VERIFY,
            // INTERNAL AUTHENTICATE, GET DATA, GET STATUS.
            0xA4 | 0xC0 | 0x70 | 0x50 | 0x82 | 0x20 | 0x88 | 0xCA | 0xCB | 0xF2 => Self::Read,
            // CHANGE REFERENCE DATA, LOAD.
            0x24 | 0xE8 => Self::Content,
            // INSTALL [for extradition] and [for registry update] move what they name.
            0xE6 if p1 & 0x50 != 0 => by_target(),
            0xE6 => Self::Content,
            // SET STATUS: of the card, LOCKED and TERMINATED; of anything else, the lock bit.
            0xF0 if p2 & 0x80 != 0 || (p1 & 0x80 != 0 && p2 == 0x7F) => Self::Destroy,
            0xF0 => Self::Content,
            // DELETE.
            0xE4 => by_target(),
            // PUT KEY, STORE DATA, and whatever is not known.
            _ => Self::KeyWrite,
        }
    }
}

/// The AID a DELETE \[card content\] names; `None` for DELETE \[key\] and anything unreadable.
fn delete_target(data: &[u8]) -> Option<Aid> {
    Reader::new(data).expect(0x4F).and_then(Aid::new)
}

/// The AID an INSTALL [for extradition] moves: the third field (CS Table 11-45).
fn install_target(data: &[u8]) -> Option<Aid> {
    let mut fields = Reader::new(data);
    fields.lv()?;
    fields.lv()?;
    fields.lv().and_then(Aid::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::Factory;
    use CommandClass::*;

    fn class(text: &str) -> CommandClass {
        let card = Factory::default().make().unwrap();
        CommandClass::of_command(&card, &Command::parse(&hex::decode(text).unwrap()).unwrap())
    }

    #[test]
    fn by_header_and_body() {
        for (text, expected) in [
            ("00A4040000", Read),
            ("80CA00E000", Read),
            ("0024008000", Content),
            ("80E6020000", Content),
            ("80E8000000", Content),
            ("80F0400F05A000000001", Content),
            ("80F0408005A000000001", Destroy),
            ("80F0807F00", Destroy),
            ("80F080FF00", Destroy),
            ("80D8000000", KeyWrite),
            ("80E2800000", KeyWrite),
            ("80FE000000", KeyWrite),
            ("80E4000003D20130", Destroy),
            ("80E40000074F05A000000001", Content),
            ("80E400000A4F08A000000151000000", Destroy),
            ("80E40000024F05", Destroy),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn undecryptable_is_judged_by_the_worst() {
        let of = |text: &str| CommandClass::of_header(Header::of(&hex::decode(text).unwrap()));
        assert_eq!(of("84D80081"), KeyWrite);
        assert_eq!(of("84E28000"), KeyWrite);
        assert_eq!(of("84E40000"), Destroy);
        assert_eq!(of("84E61000"), Destroy);
        assert_eq!(of("84E60200"), Content);
        assert_eq!(of("84"), KeyWrite);
        assert_eq!(of(""), KeyWrite);
    }

    #[test]
    fn words_in_json() {
        assert_eq!(serde_json::to_string(&KeyWrite).unwrap(), "\"key_write\"");
    }
}
