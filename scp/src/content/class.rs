//! Class bytes (CS 2.3.1 §11.1.4).

/// A class byte this crate understands: whose command it is, and on which logical channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    proprietary: bool,
    channel: u8,
}

impl Class {
    /// Reads Tables 11-11 and 11-12. None for ISO/IEC 7816-4 secure messaging, command chaining
    /// and reserved codings: what such a command means is not in its header and data alone.
    pub(crate) fn of(cla: u8) -> Option<Class> {
        let proprietary = cla & 0x80 != 0;
        let channel = match cla & 0x7F {
            // No secure messaging, or GlobalPlatform's: bit 3.
            low @ 0x00..=0x07 => low & 0x03,
            // Bit 6 says secure messaging, the rest counts from channel 4.
            low @ (0x40..=0x4F | 0x60..=0x6F) => (low & 0x0F).saturating_add(4),
            _ => return None,
        };
        Some(Class { proprietary, channel })
    }

    /// Whether GlobalPlatform, not ISO/IEC 7816, defines the command.
    pub(crate) fn is_proprietary(self) -> bool {
        self.proprietary
    }

    /// Logical channel, 0 to 19.
    pub(crate) fn channel(self) -> u8 {
        self.channel
    }

    /// A GlobalPlatform command on the basic logical channel.
    pub(crate) fn is_basic_proprietary(self) -> bool {
        self.proprietary && self.channel == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_byte_has_its_place() {
        for cla in 0..=u8::MAX {
            let channel = match cla & 0x7F {
                0x00 | 0x04 => Some(0),
                0x01 | 0x05 => Some(1),
                0x02 | 0x06 => Some(2),
                0x03 | 0x07 => Some(3),
                low if low & 0x50 == 0x40 => Some(4 + (low & 0x0F)),
                _ => None,
            };
            assert_eq!(Class::of(cla).map(Class::channel), channel, "{cla:02X}");
            if let Some(class) = Class::of(cla) {
                assert_eq!(class.is_proprietary(), cla >= 0x80);
                assert_eq!(class.is_basic_proprietary(), [0x80, 0x84].contains(&cla));
            }
        }
    }
}
