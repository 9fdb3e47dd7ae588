//! Data groupings: identifier of two bytes, length of one byte or `FF` and two, value (CS 11.1.12, 11.11.2.3).

use crate::status::Sw;
use crate::tlv::Reader;

/// One data grouping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dgi<'a> {
    pub(crate) identifier: u16,
    pub(crate) value: &'a [u8],
}

/// Splits the joined blocks of a STORE DATA sequence.
///
/// # Errors
/// `6A80` unless the data is whole groupings and at least one.
pub(crate) fn parse(data: &[u8]) -> Result<Vec<Dgi<'_>>, Sw> {
    let mut reader = Reader::new(data);
    let mut groupings = Vec::new();
    while !reader.is_empty() {
        groupings.push(next(&mut reader).ok_or(Sw::WRONG_DATA)?);
    }
    if groupings.is_empty() { Err(Sw::WRONG_DATA) } else { Ok(groupings) }
}

fn next<'a>(reader: &mut Reader<'a>) -> Option<Dgi<'a>> {
    let identifier = reader.u16()?;
    let length = match reader.byte()? {
        0xFF => usize::from(reader.u16()?),
        short => usize::from(short),
    };
    Some(Dgi { identifier, value: reader.take(length)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_length_codings() {
        let mut data = vec![0x01, 0x02, 0x01, 0xAA, 0x01, 0x01, 0xFF, 0x01, 0x00];
        data.extend([7; 256]);
        let groupings = parse(&data).unwrap();
        assert_eq!(groupings[0], Dgi { identifier: 0x0102, value: &[0xAA] });
        assert_eq!((groupings[1].identifier, groupings[1].value.len()), (0x0101, 256));
        for length in [0, 1, 3, 6, data.len() - 1] {
            assert_eq!(parse(&data[..length]).unwrap_err(), Sw::WRONG_DATA);
        }
    }
}
