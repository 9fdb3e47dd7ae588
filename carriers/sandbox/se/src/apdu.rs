//! Command APDUs: the class byte of GlobalPlatform (CS 11.1.4) and the four cases of ISO/IEC 7816-3, short and extended.

use crate::status::Sw;

/// The class byte, understood (CS Tables 11-11 and 11-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassByte {
    /// b8: a GlobalPlatform command, otherwise an ISO one.
    pub(crate) proprietary: bool,
    /// GlobalPlatform secure messaging is indicated.
    pub(crate) secured: bool,
    /// Logical channel 0 to 19.
    pub(crate) channel: u8,
}

impl ClassByte {
    fn parse(cla: u8) -> Result<Self, Sw> {
        if cla == 0xFF {
            return Err(Sw::INVALID_CLASS);
        }
        if cla & 0x10 != 0 {
            return Err(Sw::CHAINING_NOT_SUPPORTED);
        }
        let proprietary = cla & 0x80 != 0;
        if cla & 0x40 != 0 {
            // Further interindustry: channels 4 to 19, b6 is the secure messaging indicator.
            return Ok(Self { proprietary, secured: cla & 0x20 != 0, channel: 4 + (cla & 0x0F) });
        }
        if cla & 0x20 != 0 {
            return Err(Sw::INVALID_CLASS);
        }
        let secured = match cla & 0x0C {
            0x00 => false,
            0x04 => true,
            // ISO secure messaging, with or without a header in the MAC.
            _ => return Err(Sw::SECURE_MESSAGING_NOT_SUPPORTED),
        };
        Ok(Self { proprietary, secured, channel: cla & 0x03 })
    }

    /// The class byte as it enters a C-MAC: channel zero, b4 = 0, b3 = 1 (AmdD 6.2.4).
    pub(crate) fn for_mac(self) -> u8 {
        if self.proprietary { 0x84 } else { 0x04 }
    }
}

/// A command APDU.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) class: ClassByte,
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: Vec<u8>,
    /// Lc and Le are in extended coding.
    pub(crate) extended: bool,
    /// The greatest answer expected, in bytes; `None` without Le.
    pub(crate) le: Option<usize>,
}

impl Command {
    /// Parses any of the seven codings.
    ///
    /// # Errors
    /// `6700` for lengths that do not add up; `6E00`, `6882`, `6884` for the class byte.
    pub(crate) fn parse(apdu: &[u8]) -> Result<Self, Sw> {
        let (&[cla, ins, p1, p2], body) = apdu.split_first_chunk::<4>().ok_or(Sw::WRONG_LENGTH)?;
        let (data, extended, le) = parse_body(body).ok_or(Sw::WRONG_LENGTH)?;
        let class = ClassByte::parse(cla)?;
        Ok(Self { class, ins, p1, p2, data: data.to_vec(), extended, le })
    }

    /// Class bit 8, INS: what dispatching looks at.
    pub(crate) fn key(&self) -> (bool, u8) {
        (self.class.proprietary, self.ins)
    }

    /// P1 P2 as one number.
    pub(crate) fn p1_p2(&self) -> u16 {
        u16::from_be_bytes([self.p1, self.p2])
    }
}

fn parse_body(body: &[u8]) -> Option<(&[u8], bool, Option<usize>)> {
    match body {
        [] => Some((&[], false, None)),
        [le] => Some((&[], false, Some(short_le(*le)))),
        [0, hi, lo] => Some((&[], true, Some(extended_le(*hi, *lo)))),
        [0, hi, lo, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*hi, *lo]));
            if length == 0 {
                return None;
            }
            match rest.split_at_checked(length)? {
                (data, []) => Some((data, true, None)),
                (data, [hi, lo]) => Some((data, true, Some(extended_le(*hi, *lo)))),
                _ => None,
            }
        }
        [0, _] => None,
        [length, rest @ ..] => match rest.split_at_checked(usize::from(*length))? {
            (data, []) => Some((data, false, None)),
            (data, [le]) => Some((data, false, Some(short_le(*le)))),
            _ => None,
        },
    }
}

fn short_le(le: u8) -> usize {
    if le == 0 { 256 } else { usize::from(le) }
}

fn extended_le(hi: u8, lo: u8) -> usize {
    match u16::from_be_bytes([hi, lo]) {
        0 => 65_536,
        le => usize::from(le),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command, Sw> {
        Command::parse(&hex::decode(text).unwrap())
    }

    #[test]
    fn seven_codings() {
        let cases: [(&str, usize, bool, Option<usize>); 7] = [
            ("00A40400", 0, false, None),
            ("00A4040000", 0, false, Some(256)),
            ("00A4040002AABB", 2, false, None),
            ("00A4040002AABB10", 2, false, Some(16)),
            ("00A40400000000", 0, true, Some(65_536)),
            ("00A40400000002AABB", 2, true, None),
            ("00A40400000002AABB0100", 2, true, Some(256)),
        ];
        for (text, data, extended, le) in cases {
            let command = parse(text).unwrap();
            assert_eq!((command.data.len(), command.extended, command.le), (data, extended, le));
        }
    }

    #[test]
    fn lengths_that_do_not_add_up() {
        for text in [
            "",
            "00A404",
            "00A4040003AABB",
            "00A4040001AABBCC",
            "00A404000000",
            "00A404000000000102",
        ] {
            assert_eq!(parse(text).unwrap_err(), Sw::WRONG_LENGTH, "{text}");
        }
    }

    #[test]
    fn class_bytes() {
        let class = |cla| ClassByte::parse(cla).map(|c| (c.proprietary, c.secured, c.channel));
        assert_eq!(class(0x87), Ok((true, true, 3)));
        assert_eq!(class(0xE0), Ok((true, true, 4)));
        assert_eq!(class(0x4F), Ok((false, false, 19)));
        assert_eq!(class(0x88), Err(Sw::SECURE_MESSAGING_NOT_SUPPORTED));
        assert_eq!(class(0x90), Err(Sw::CHAINING_NOT_SUPPORTED));
        assert_eq!(class(0xA0), Err(Sw::INVALID_CLASS));
    }
}
