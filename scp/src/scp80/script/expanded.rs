//! The expanded format (TS 102 226 §5.2): commands as objects, an answer to each.

use super::{COMMANDS_MOST, ScriptError, at_most, count};
use crate::apdu::{CommandApdu, ResponseApdu};
use crate::tlv::{self, Tlv, TlvError};

/// Templates around commands and answers, by coding (TS 101 220 Tables 7.18, 7.20).
const COMMANDS_DEFINITE: u8 = 0xAA;
const COMMANDS_INDEFINITE: u8 = 0xAE;
const ANSWERS_DEFINITE: u8 = 0xAB;
const ANSWERS_INDEFINITE: u8 = 0xAF;
/// The length byte of an indefinite template, and what ends it (ISO/IEC 8825-1 §8.1.3.6).
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// Objects inside (TS 101 220 Tables 7.19, 7.20); 80 and 90 only in answers.
const C_APDU: u32 = 0x22;
const R_APDU: u32 = 0x23;
const EXECUTED: u32 = 0x80;
const IMMEDIATE_ACTION: u32 = 0x81;
const ERROR_ACTION: u32 = 0x82;
const CHAINING: u32 = 0x83;
const BAD_FORMAT: u32 = 0x90;

/// How the outermost object gives its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Its length precedes it.
    Definite,
    /// It ends with 00 00; the answer then does not say how many commands were executed.
    Indefinite,
}

/// One object of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A command.
    Command(CommandApdu),
    /// What the SE is to do at once (TS 102 226 §5.2.1.2), opaque.
    ImmediateAction(Vec<u8>),
    /// What the SE is to do if a later command fails (TS 102 226 §5.2.1.3), opaque.
    ErrorAction(Vec<u8>),
    /// The script's place among several; only as the first object.
    Chaining(Chaining),
}

/// A script's place among several (TS 102 226 §5.2.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chaining {
    /// The first; a reset of the SE ends the chain.
    First,
    /// The first; the chain survives a reset.
    FirstKept,
    /// A later one, not the last.
    Next,
    /// The last.
    Last,
}

/// What the SE found wrong with the script itself (TS 102 226 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// An object it does not know.
    UnknownTag,
    /// An object of the wrong length.
    WrongLength,
    /// An object without a length.
    LengthNotFound,
    /// The immediate action could not suspend the script.
    Suspension,
    /// There is no script before this one.
    NoPreviousScript,
    /// It does not do chaining.
    ChainingUnsupported,
    /// It cannot go on with the chain.
    ChainingFailed,
}

const FAULTS: [(u32, u8, Fault); 7] = [
    (BAD_FORMAT, 1, Fault::UnknownTag),
    (BAD_FORMAT, 2, Fault::WrongLength),
    (BAD_FORMAT, 3, Fault::LengthNotFound),
    (IMMEDIATE_ACTION, 1, Fault::Suspension),
    (CHAINING, 1, Fault::NoPreviousScript),
    (CHAINING, 2, Fault::ChainingUnsupported),
    (CHAINING, 3, Fault::ChainingFailed),
];

/// The answers to a script, in the order of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandedAnswer {
    /// Objects executed; none in the indefinite coding.
    pub executed: Option<u16>,
    /// One answer for each command executed.
    pub answers: Vec<ResponseApdu>,
    /// What ended the script before its end, apart from a status word.
    pub fault: Option<Fault>,
}

/// The commands, as [`Outbound::commands`](crate::Outbound::commands) gives them, as objects.
///
/// # Errors
/// [`ScriptError::Apdu`] for bytes that are no command.
pub fn commands<C: AsRef<[u8]>>(commands: &[C]) -> Result<Vec<Item>, ScriptError> {
    let parsed = commands.iter().map(|command| CommandApdu::parse(command.as_ref()));
    parsed.map(|command| Ok(Item::Command(command?))).collect()
}

/// The script in bytes.
///
/// # Errors
/// [`ScriptError`] for none or too many objects, chaining elsewhere than first, too many bytes.
pub fn encode(items: &[Item], coding: Coding) -> Result<Vec<u8>, ScriptError> {
    count(items.len())?;
    let mut objects = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let object = match item {
            Item::Command(command) => tlv::encode(C_APDU, &command.to_bytes())?,
            Item::ImmediateAction(action) => tlv::encode(IMMEDIATE_ACTION, action)?,
            Item::ErrorAction(action) => tlv::encode(ERROR_ACTION, action)?,
            Item::Chaining(_) if place != 0 => {
                return Err(ScriptError::Unexpected { tag: CHAINING });
            }
            Item::Chaining(chaining) => tlv::encode(CHAINING, &[chaining.to_byte()])?,
        };
        objects.extend(object);
    }
    enclose((COMMANDS_DEFINITE, COMMANDS_INDEFINITE), &objects, coding)
}

/// Reads a script.
///
/// # Errors
/// [`ScriptError`] unless every byte is accounted for.
pub fn decode(script: &[u8]) -> Result<(Coding, Vec<Item>), ScriptError> {
    let (coding, objects) = disclose((COMMANDS_DEFINITE, COMMANDS_INDEFINITE), script)?;
    let mut items = Vec::new();
    for object in tlv::objects(objects) {
        let object = object?;
        items.push(match object.tag() {
            C_APDU => Item::Command(CommandApdu::parse(object.value())?),
            IMMEDIATE_ACTION => Item::ImmediateAction(object.value().to_vec()),
            ERROR_ACTION => Item::ErrorAction(object.value().to_vec()),
            CHAINING if items.is_empty() => Item::Chaining(Chaining::read(&object)?),
            tag => return Err(ScriptError::Unexpected { tag }),
        });
        count(items.len())?;
    }
    count(items.len())?;
    Ok((coding, items))
}

impl Chaining {
    fn to_byte(self) -> u8 {
        match self {
            Chaining::First => 0x01,
            Chaining::FirstKept => 0x11,
            Chaining::Next => 0x02,
            Chaining::Last => 0x03,
        }
    }

    fn read(object: &Tlv<'_>) -> Result<Chaining, ScriptError> {
        match object.value() {
            [0x01] => Ok(Chaining::First),
            [0x11] => Ok(Chaining::FirstKept),
            [0x02] => Ok(Chaining::Next),
            [0x03] => Ok(Chaining::Last),
            _ => Err(ScriptError::Value { tag: CHAINING }),
        }
    }
}

impl ExpandedAnswer {
    /// Reads the answer to a script of that many objects.
    ///
    /// # Errors
    /// [`ScriptError`] unless every byte is accounted for, and for more answers than objects
    /// sent or executed.
    pub fn decode(answer: &[u8], sent: usize) -> Result<ExpandedAnswer, ScriptError> {
        let (coding, objects) = disclose((ANSWERS_DEFINITE, ANSWERS_INDEFINITE), answer)?;
        let mut objects = tlv::objects(objects);
        let executed = match coding {
            Coding::Definite => Some(executed(objects.next().ok_or(ScriptError::Truncated)??)?),
            Coding::Indefinite => None,
        };
        let most = executed.map_or(sent, usize::from);
        at_most(most, sent)?;
        let (mut answers, mut fault) = (Vec::new(), None);
        for object in objects {
            let object = object?;
            match object.tag() {
                R_APDU if fault.is_none() => answers.push(ResponseApdu::parse(object.value())?),
                tag if fault.is_none() => fault = Some(Fault::read(tag, object.value())?),
                tag => return Err(ScriptError::Unexpected { tag }),
            }
            at_most(answers.len(), most)?;
        }
        Ok(ExpandedAnswer { executed, answers, fault })
    }

    /// The answer as an SE gives it: definite where the number executed is known.
    ///
    /// # Errors
    /// [`ScriptError`] for more answers than [`COMMANDS_MOST`] or too many bytes.
    pub fn encode(&self) -> Result<Vec<u8>, ScriptError> {
        at_most(self.answers.len(), COMMANDS_MOST)?;
        let (coding, mut objects) = match self.executed.map(u16::to_be_bytes) {
            Some([0, low]) => (Coding::Definite, tlv::encode(EXECUTED, &[low])?),
            Some(wide) => (Coding::Definite, tlv::encode(EXECUTED, &wide)?),
            None => (Coding::Indefinite, Vec::new()),
        };
        for answer in &self.answers {
            objects.extend(tlv::encode(R_APDU, &answer.to_bytes())?);
        }
        if let Some(fault) = self.fault {
            let coded = FAULTS.iter().filter(|(_, _, known)| *known == fault);
            for (tag, value, _) in coded {
                objects.extend(tlv::encode(*tag, &[*value])?);
            }
        }
        enclose((ANSWERS_DEFINITE, ANSWERS_INDEFINITE), &objects, coding)
    }
}

impl Fault {
    fn read(tag: u32, value: &[u8]) -> Result<Fault, ScriptError> {
        let mut coded = FAULTS.iter().filter(|(known, _, _)| *known == tag).peekable();
        if coded.peek().is_none() {
            return Err(ScriptError::Unexpected { tag });
        }
        let known = coded.find(|(_, known, _)| value == [*known]);
        known.map(|(_, _, fault)| *fault).ok_or(ScriptError::Value { tag })
    }
}

fn executed(object: Tlv<'_>) -> Result<u16, ScriptError> {
    match (object.tag(), object.value()) {
        (EXECUTED, &[low]) => Ok(u16::from(low)),
        (EXECUTED, &[high, low]) => Ok(u16::from_be_bytes([high, low])),
        (EXECUTED, _) => Err(ScriptError::Value { tag: EXECUTED }),
        (tag, _) => Err(ScriptError::Unexpected { tag }),
    }
}

fn enclose(
    (definite, indefinite): (u8, u8),
    objects: &[u8],
    coding: Coding,
) -> Result<Vec<u8>, ScriptError> {
    match coding {
        Coding::Definite => Ok(tlv::encode(u32::from(definite), objects)?),
        Coding::Indefinite if objects.len() > tlv::LENGTH_MOST => Err(TlvError::TooLong.into()),
        Coding::Indefinite => {
            Ok([&[indefinite, INDEFINITE], objects, &END_OF_CONTENTS[..]].concat())
        }
    }
}

fn disclose(
    (definite, indefinite): (u8, u8),
    bytes: &[u8],
) -> Result<(Coding, &[u8]), ScriptError> {
    if let [first, INDEFINITE, rest @ ..] = bytes
        && *first == indefinite
    {
        let objects = rest.strip_suffix(&END_OF_CONTENTS).ok_or(ScriptError::Truncated)?;
        return Ok((Coding::Indefinite, objects));
    }
    let mut outermost = tlv::objects(bytes);
    let template = outermost.next().ok_or(ScriptError::Truncated)??;
    match outermost.next() {
        Some(further) => Err(ScriptError::Unexpected { tag: further?.tag() }),
        None if template.tag() == u32::from(definite) => Ok((Coding::Definite, template.value())),
        None => Err(ScriptError::Unexpected { tag: template.tag() }),
    }
}
