//! BER-TLV data objects as GlobalPlatform uses them (ISO/IEC 8825-1; CS 2.3.1 §11.1.11).
//!
//! Strict: definite lengths only, tags of at most three bytes, no filler between objects, every
//! byte accounted for. Bounded: at most [`LENGTH_MOST`] bytes and [`DEPTH_MOST`] levels. A length
//! in more bytes than it needs is read, since BER allows it, and never written.

use thiserror::Error;

use crate::error::ApiMisuse;

/// Longest run of objects read, longest value written: what an extended APDU can carry.
pub const LENGTH_MOST: usize = 65_535;
/// Levels of nesting that [`Tlv::children`] goes down.
pub const DEPTH_MOST: u8 = 8;

/// One data object: a tag as its bytes in a number (`0x9F70`), and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    tag: u32,
    value: &'a [u8],
    depth: u8,
}

/// Bytes that are no well-formed data objects, or exceed the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TlvError {
    /// The bytes end inside a tag, a length or a value.
    #[error("the data object is cut off")]
    Truncated,
    /// A tag of more than three bytes, a filler byte, or a long form where the short one would do.
    #[error("the tag is not one BER-TLV allows here")]
    Tag,
    /// Indefinite, reserved, or of more than three bytes after the first.
    #[error("the length is indefinite or not one BER-TLV allows")]
    Length,
    /// More than [`LENGTH_MOST`] bytes.
    #[error("more than {LENGTH_MOST} bytes of data objects")]
    TooLong,
    /// More than [`DEPTH_MOST`] levels.
    #[error("data objects nested deeper than {DEPTH_MOST} levels")]
    TooDeep,
}

impl From<TlvError> for ApiMisuse {
    fn from(error: TlvError) -> ApiMisuse {
        let why = match error {
            TlvError::TooLong => "longer than a command can carry",
            TlvError::Tag => "not a tag",
            TlvError::Truncated | TlvError::Length | TlvError::TooDeep => "malformed",
        };
        ApiMisuse::Invalid { what: "data object", why }
    }
}

impl<'a> Tlv<'a> {
    /// The tag, its bytes read as one number.
    #[must_use]
    pub fn tag(&self) -> u32 {
        self.tag
    }

    /// The bytes after the length.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// Whether the value consists of further objects (bit 6 of the first tag byte).
    #[must_use]
    pub fn is_constructed(&self) -> bool {
        let [_, bytes @ ..] = self.tag.to_be_bytes();
        bytes.into_iter().find(|byte| *byte != 0).is_some_and(|first| first & 0x20 != 0)
    }

    /// The objects inside the value, whatever the tag says of it: GlobalPlatform nests
    /// objects in a few primitive tags too.
    #[must_use]
    pub fn children(&self) -> Tlvs<'a> {
        Tlvs { rest: self.value, depth: self.depth.saturating_add(1), ended: false }
    }
}

impl std::fmt::Debug for Tlv<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tlv({:X}, {} bytes)", self.tag, self.value.len())
    }
}

/// The objects in a run of bytes, in order; the first error ends it.
#[derive(Debug, Clone)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
    depth: u8,
    ended: bool,
}

/// Reads the objects in `bytes`.
#[must_use]
pub fn objects(bytes: &[u8]) -> Tlvs<'_> {
    Tlvs { rest: bytes, depth: 1, ended: false }
}

/// The value of the first object with this tag at the outermost level.
///
/// # Errors
/// [`TlvError`], if an object anywhere in `bytes` is malformed, found or not.
pub fn find(bytes: &[u8], tag: u32) -> Result<Option<&[u8]>, TlvError> {
    let mut found = None;
    for object in objects(bytes) {
        let object = object?;
        if object.tag == tag && found.is_none() {
            found = Some(object.value);
        }
    }
    Ok(found)
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, TlvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.rest.is_empty() {
            return None;
        }
        match read(self.rest, self.depth) {
            Ok((object, rest)) => {
                self.rest = rest;
                Some(Ok(object))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

fn read(bytes: &[u8], depth: u8) -> Result<(Tlv<'_>, &[u8]), TlvError> {
    if depth > DEPTH_MOST {
        return Err(TlvError::TooDeep);
    }
    if bytes.len() > LENGTH_MOST {
        return Err(TlvError::TooLong);
    }
    let (tag, bytes) = read_tag(bytes)?;
    let (length, bytes) = read_length(bytes)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(TlvError::Truncated)?;
    Ok((Tlv { tag, value, depth }, rest))
}

/// Tag number 31 in the first byte says that more bytes follow; bit 8 of those, that another does.
fn read_tag(bytes: &[u8]) -> Result<(u32, &[u8]), TlvError> {
    let read = match bytes {
        [] => return Err(TlvError::Truncated),
        [first, rest @ ..] if first & 0x1F != 0x1F => (u32::from(*first), rest),
        [first, second, rest @ ..] if second & 0x80 == 0 => {
            (u32::from_be_bytes([0, 0, *first, *second]), rest)
        }
        [first, second, third, rest @ ..] if third & 0x80 == 0 => {
            (u32::from_be_bytes([0, *first, *second, *third]), rest)
        }
        [_] | [_, _] => return Err(TlvError::Truncated),
        _ => return Err(TlvError::Tag),
    };
    if is_tag(read.0) { Ok(read) } else { Err(TlvError::Tag) }
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), TlvError> {
    let (length, rest) = match bytes {
        [] => return Err(TlvError::Truncated),
        [length, rest @ ..] if *length < 0x80 => (u32::from(*length), rest),
        [0x81, l0, rest @ ..] => (u32::from(*l0), rest),
        [0x82, l1, l0, rest @ ..] => (u32::from_be_bytes([0, 0, *l1, *l0]), rest),
        [0x83, l2, l1, l0, rest @ ..] => (u32::from_be_bytes([0, *l2, *l1, *l0]), rest),
        [0x81..=0x83, ..] => return Err(TlvError::Truncated),
        _ => return Err(TlvError::Length),
    };
    usize::try_from(length).map(|length| (length, rest)).map_err(|_| TlvError::Length)
}

/// Whether the bytes of this number are a tag: 00 is filler (ISO/IEC 7816-4 §5.2.2.1), and the
/// subsequent bytes hold a number the first could not.
fn is_tag(tag: u32) -> bool {
    match tag.to_be_bytes() {
        [0, 0, 0, first] => first != 0 && first & 0x1F != 0x1F,
        [0, 0, first, second] => is_long(first) && (0x1F..0x80).contains(&second),
        [0, first, second, third] => is_long(first) && second > 0x80 && third < 0x80,
        _ => false,
    }
}

fn is_long(first: u8) -> bool {
    first & 0x1F == 0x1F
}

/// One object with the shortest length form.
///
/// # Errors
/// [`TlvError::Tag`] for a number that is no tag, [`TlvError::TooLong`] above [`LENGTH_MOST`].
pub fn encode(tag: u32, value: &[u8]) -> Result<Vec<u8>, TlvError> {
    if !is_tag(tag) {
        return Err(TlvError::Tag);
    }
    if value.len() > LENGTH_MOST {
        return Err(TlvError::TooLong);
    }
    let mut object = Vec::with_capacity(value.len().saturating_add(6));
    object.extend(tag.to_be_bytes().into_iter().skip_while(|byte| *byte == 0));
    push_length(&mut object, value.len())?;
    object.extend_from_slice(value);
    Ok(object)
}

/// Appends a BER length below 16777216 in its shortest form; GlobalPlatform uses it outside of
/// objects too.
pub(crate) fn push_length(bytes: &mut Vec<u8>, length: usize) -> Result<(), TlvError> {
    let length = u32::try_from(length).map_err(|_| TlvError::TooLong)?;
    match length.to_be_bytes() {
        [0, 0, 0, l0 @ 0x00..=0x7F] => bytes.push(l0),
        [0, 0, 0, l0] => bytes.extend_from_slice(&[0x81, l0]),
        [0, 0, l1, l0] => bytes.extend_from_slice(&[0x82, l1, l0]),
        [0, l2, l1, l0] => bytes.extend_from_slice(&[0x83, l2, l1, l0]),
        _ => return Err(TlvError::TooLong),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, TlvError> {
        objects(bytes).map(|object| object.map(|it| (it.tag(), it.value().to_vec()))).collect()
    }

    #[test]
    fn tags_and_lengths_of_every_form_are_read() {
        let bytes = [
            &[0x4F, 0x00, 0x9F, 0x70, 0x01, 0x07, 0xDF, 0x81, 0x01, 0x81, 0x01, 0xAA][..],
            &[0x66, 0x82, 0x00, 0x01, 0xBB, 0xFF, 0x21, 0x83, 0x00, 0x00, 0x01, 0xCC][..],
        ]
        .concat();
        let expected = [
            (0x4F, vec![]),
            (0x9F70, vec![0x07]),
            (0xDF8101, vec![0xAA]),
            (0x66, vec![0xBB]),
            (0xFF21, vec![0xCC]),
        ];
        assert_eq!(all(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let cases: [(&[u8], TlvError); 14] = [
            (&[0x4F], TlvError::Truncated),
            (&[0x4F, 0x01], TlvError::Truncated),
            (&[0x4F, 0x82, 0x01], TlvError::Truncated),
            (&[0x9F], TlvError::Truncated),
            (&[0x9F, 0x81], TlvError::Truncated),
            (&[0x4F, 0x80, 0x01, 0x00, 0x00], TlvError::Length),
            (&[0x4F, 0x84, 0, 0, 0, 0], TlvError::Length),
            (&[0x4F, 0xFF], TlvError::Length),
            (&[0x00, 0x00], TlvError::Tag),
            (&[0xFF, 0xFF, 0xFF], TlvError::Tag),
            (&[0x9F, 0x1E, 0x00], TlvError::Tag),
            (&[0x9F, 0x80, 0x01, 0x00], TlvError::Tag),
            (&[0x9F, 0x81, 0x81, 0x01, 0x00], TlvError::Tag),
            (&[0x4F, 0x00, 0x4F, 0x02, 0x01], TlvError::Truncated),
        ];
        for (bytes, expected) in cases {
            assert_eq!(all(bytes), Err(expected), "{bytes:02X?}");
        }
        assert_eq!(all(&vec![0x4F; LENGTH_MOST + 1]), Err(TlvError::TooLong));
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let mut nested = vec![0x4F, 0x00];
        for _ in 1..DEPTH_MOST {
            nested = encode(0xE3, &nested).unwrap();
        }
        let innermost = |bytes: &[u8]| {
            let mut objects = objects(bytes);
            loop {
                match objects.next() {
                    Some(Ok(object)) if object.is_constructed() => objects = object.children(),
                    end => return end.map(|object| object.map(|it| it.tag())),
                }
            }
        };
        assert_eq!(innermost(&nested), Some(Ok(0x4F)));
        let deeper = encode(0xE3, &nested).unwrap();
        assert_eq!(innermost(&deeper), Some(Err(TlvError::TooDeep)));
    }

    #[test]
    fn a_search_reads_to_the_end() {
        assert_eq!(find(&[0x4F, 0x01, 0xAA, 0x4F, 0x01, 0xBB], 0x4F), Ok(Some(&[0xAA][..])));
        assert_eq!(find(&[0x4F, 0x01, 0xAA], 0x84), Ok(None));
        assert_eq!(find(&[0x4F, 0x01, 0xAA, 0x84, 0x01], 0x4F), Err(TlvError::Truncated));
    }

    #[test]
    fn only_tags_are_written() {
        for tag in [0, 0x1F, 0xFF, 0x4F70, 0x9F1E, 0x9F80, 0x9F8081, 0x0100_0000] {
            assert_eq!(encode(tag, &[]), Err(TlvError::Tag), "{tag:X}");
        }
        assert_eq!(encode(0x4F, &vec![0; LENGTH_MOST + 1]), Err(TlvError::TooLong));
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(
            tag in prop_oneof![Just(0x4Fu32), Just(0xE3), Just(0x9F70), Just(0xFF21), Just(0xDF8101)],
            value in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            prop_assert_eq!(all(&encode(tag, &value).unwrap()).unwrap(), vec![(tag, value)]);
        }

        #[test]
        fn no_input_panics_and_every_byte_is_accounted_for(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(found) = all(&bytes) {
                let least: usize = found.iter().map(|(_, value)| value.len() + 2).sum();
                prop_assert!(least <= bytes.len());
            }
        }
    }
}
