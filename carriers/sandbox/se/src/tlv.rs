//! Reading and writing BER-TLV and the LV fields of INSTALL, bounded and without copies (CS 11.1, ISO/IEC 8825-1).

/// A cursor over bytes that came from outside.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A value behind a length of exactly one byte.
    pub(crate) fn lv(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// A value behind a BER length in which `80` means 128 (CS 11.5.2.3, 11.8.2.3.1).
    pub(crate) fn lv_ber(&mut self) -> Option<&'a [u8]> {
        let length = match self.0.first()? {
            0x80 => {
                self.byte()?;
                128
            }
            _ => self.length()?,
        };
        self.take(length)
    }

    /// The next object: tag of one or two bytes, BER length, value.
    pub(crate) fn tlv(&mut self) -> Option<(u16, &'a [u8])> {
        let first = self.byte()?;
        let tag = if first & 0x1F == 0x1F {
            let second = self.byte()?;
            if second & 0x80 != 0 {
                return None;
            }
            u16::from_be_bytes([first, second])
        } else {
            u16::from(first)
        };
        let length = self.length()?;
        Some((tag, self.take(length)?))
    }

    /// The value of the next object, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u16) -> Option<&'a [u8]> {
        match self.tlv()? {
            (found, value) if found == tag => Some(value),
            _ => None,
        }
    }

    fn length(&mut self) -> Option<usize> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(usize::from(first));
        }
        // Three bytes are beyond anything an SE accepts; `80` is the indefinite form.
        let count = usize::from(first & 0x7F);
        if !(1..=3).contains(&count) {
            return None;
        }
        let bytes = self.take(count)?;
        Some(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }
}

/// Appends one object with its shortest length coding.
pub(crate) fn write(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    match tag.to_be_bytes() {
        [0, tag] => out.push(tag),
        two => out.extend(two),
    }
    match value.len() {
        length @ 0..=0x7F => out.push(length as u8),
        length @ 0x80..=0xFF => out.extend([0x81, length as u8]),
        length => {
            let [.., hi, lo] = length.to_be_bytes();
            out.extend([0x82, hi, lo]);
        }
    }
    out.extend(value);
}

/// One object.
pub(crate) fn object(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 5);
    write(&mut out, tag, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x1234] {
            for tag in [0x4F, 0x9F70, 0xE3] {
                let value = vec![0x5A; length];
                let bytes = object(tag, &value);
                let mut reader = Reader::new(&bytes);
                assert_eq!(reader.tlv(), Some((tag, value.as_slice())));
                assert!(reader.is_empty());
            }
        }
    }

    #[test]
    fn truncated_objects_are_refused() {
        let whole = object(0xE3, &object(0x9F70, &[0x0F; 200]));
        for length in 0..whole.len() {
            assert_eq!(Reader::new(&whole[..length]).tlv(), None);
        }
        for odd in [&[0x4F, 0x80][..], &[0x4F, 0x84, 0, 0, 0, 0], &[0x9F, 0x80, 0]] {
            assert_eq!(Reader::new(odd).tlv(), None);
        }
    }

    #[test]
    fn eighty_is_128_only_where_the_specification_says_so() {
        let mut bytes = vec![0x80];
        bytes.extend([7; 128]);
        assert_eq!(Reader::new(&bytes).lv_ber().map(<[u8]>::len), Some(128));
    }
}
