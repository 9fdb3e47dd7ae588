//! Packets cut into short messages and put together again (TS 31.115 §4, 3GPP TS 23.040 §9.2.3.24).

use std::collections::BTreeMap;

use thiserror::Error;

use super::profile::PacketProfile;

/// Bytes of user data in one short message (TS 23.040 §9.2.3.24).
pub const MESSAGE_MOST: usize = 140;

/// Information elements: concatenation with a reference of 8 and of 16 bits.
const CONCATENATION: u8 = 0x00;
const CONCATENATION_WIDE: u8 = 0x08;
/// User data headers: alone, in the first part, in the following ones.
const SINGLE_HEADER: usize = 3;
const FIRST_HEADER: usize = 8;
const NEXT_HEADER: usize = 6;

/// Which packet it is: the information element that says so (TS 31.115 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A command packet, element 70.
    Command,
    /// A response packet, element 71.
    Response,
}

/// A packet that takes more short messages than the profile allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a packet of {got} bytes takes more than {most} short messages")]
pub struct TooManyParts {
    /// Bytes of the packet.
    pub got: usize,
    /// The most messages allowed.
    pub most: u8,
}

/// Short messages that make no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JoinError {
    /// No message, or more than 255.
    #[error("a packet comes in 1 to 255 short messages, not {got}")]
    Count {
        /// Messages offered.
        got: usize,
    },
    /// A user data header that is cut off, or user data longer than a short message.
    #[error("a short message is cut off or too long")]
    Length,
    /// An information element with no place here, missing, or given twice.
    #[error("a short message does not carry exactly the information elements of its place")]
    Element,
    /// Parts of different packets.
    #[error("the short messages belong to different packets")]
    Mixed,
    /// A part is missing or there twice.
    #[error("part {missing} of the packet is missing")]
    Incomplete {
        /// The first part that is missing.
        missing: u8,
    },
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Command, Kind::Response];

    fn element(self) -> u8 {
        match self {
            Kind::Command => 0x70,
            Kind::Response => 0x71,
        }
    }
}

/// The user data of each short message, header included, in order. `reference` tells the parts of
/// this packet from those of another on the way at the same time.
///
/// # Errors
/// [`TooManyParts`] beyond the profile's `parts_max`.
pub fn split(
    kind: Kind,
    packet: &[u8],
    reference: u8,
    profile: &PacketProfile,
) -> Result<Vec<Vec<u8>>, TooManyParts> {
    let element = [kind.element(), 0];
    if packet.len() <= MESSAGE_MOST.saturating_sub(SINGLE_HEADER) {
        return Ok(vec![[&[2], &element[..], packet].concat()]);
    }
    let room = MESSAGE_MOST.saturating_sub(FIRST_HEADER);
    let (first, rest) = packet.split_at_checked(room).unwrap_or((packet, &[]));
    let following = rest.chunks(MESSAGE_MOST.saturating_sub(NEXT_HEADER));
    let too_many = TooManyParts { got: packet.len(), most: profile.parts_max };
    let total = u8::try_from(following.len().saturating_add(1)).map_err(|_| too_many)?;
    if total > profile.parts_max {
        return Err(too_many);
    }
    let mut parts =
        vec![[&[7, CONCATENATION, 3, reference, total, 1], &element[..], first].concat()];
    for (number, part) in (2u8..=total).zip(following) {
        parts.push([&[5, CONCATENATION, 3, reference, total, number], part].concat());
    }
    Ok(parts)
}

/// The packet in the short messages, given in any order, each once.
///
/// # Errors
/// [`JoinError`] unless they are all parts of one packet and nothing else.
pub fn join<P: AsRef<[u8]>>(messages: &[P]) -> Result<(Kind, Vec<u8>), JoinError> {
    let wrong_count = JoinError::Count { got: messages.len() };
    let count = u8::try_from(messages.len()).map_err(|_| wrong_count)?;
    let mut parts = BTreeMap::new();
    let mut packet = None;
    for message in messages {
        let part = Part::read(message.as_ref())?;
        let of = (part.concatenation.reference, part.concatenation.total);
        if of.1 != count || *packet.get_or_insert(of) != of {
            return Err(JoinError::Mixed);
        }
        parts.insert(part.concatenation.number, part);
    }
    let first = parts.get(&1).and_then(|part| part.kind);
    let mut joined = Vec::new();
    for number in 1..=count {
        let part = parts.get(&number).ok_or(JoinError::Incomplete { missing: number })?;
        if part.kind.is_some() != (number == 1) {
            return Err(JoinError::Element);
        }
        joined.extend_from_slice(part.data);
    }
    first.map(|kind| (kind, joined)).ok_or(wrong_count)
}

struct Part<'a> {
    kind: Option<Kind>,
    concatenation: Concatenation,
    data: &'a [u8],
}

#[derive(Clone, Copy)]
struct Concatenation {
    /// The element and the reference: equal numbers of 8 and of 16 bits are different references.
    reference: (u8, u16),
    total: u8,
    number: u8,
}

const ALONE: Concatenation = Concatenation { reference: (CONCATENATION, 0), total: 1, number: 1 };

impl<'a> Part<'a> {
    fn read(message: &'a [u8]) -> Result<Part<'a>, JoinError> {
        if message.len() > MESSAGE_MOST {
            return Err(JoinError::Length);
        }
        let [length, rest @ ..] = message else { return Err(JoinError::Length) };
        let (mut header, data) =
            rest.split_at_checked(usize::from(*length)).ok_or(JoinError::Length)?;
        let (mut kind, mut concatenation) = (None, None);
        while let [element, length, rest @ ..] = header {
            let (value, rest) =
                rest.split_at_checked(usize::from(*length)).ok_or(JoinError::Length)?;
            header = rest;
            let given_twice = match (element, value) {
                (&CONCATENATION, &[reference, total, number]) => concatenation
                    .replace(numbered((CONCATENATION, reference.into()), total, number)?)
                    .is_some(),
                (&CONCATENATION_WIDE, &[high, low, total, number]) => {
                    let reference = (CONCATENATION_WIDE, u16::from_be_bytes([high, low]));
                    concatenation.replace(numbered(reference, total, number)?).is_some()
                }
                (element, []) => {
                    let known = Kind::ALL.into_iter().find(|kind| kind.element() == *element);
                    kind.replace(known.ok_or(JoinError::Element)?).is_some()
                }
                _ => true,
            };
            if given_twice {
                return Err(JoinError::Element);
            }
        }
        if !header.is_empty() {
            return Err(JoinError::Length);
        }
        Ok(Part { kind, concatenation: concatenation.unwrap_or(ALONE), data })
    }
}

fn numbered(reference: (u8, u16), total: u8, number: u8) -> Result<Concatenation, JoinError> {
    if (1..=total).contains(&number) {
        Ok(Concatenation { reference, total, number })
    } else {
        Err(JoinError::Element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(packet: &[u8]) -> Vec<Vec<u8>> {
        split(Kind::Command, packet, 0xA5, &PacketProfile::default()).unwrap()
    }

    #[test]
    fn headers_are_those_of_their_place() {
        assert_eq!(parts(&[7; 137])[0][..4], [2, 0x70, 0, 7]);
        let two = parts(&[7; 138]);
        assert_eq!(two[0][..9], [7, 0, 3, 0xA5, 2, 1, 0x70, 0, 7]);
        assert_eq!(two[1][..7], [5, 0, 3, 0xA5, 2, 2, 7]);
        assert_eq!((two[0].len(), two[1].len()), (140, 12));
        let wide =
            [vec![6, 8, 4, 0x12, 0x34, 2, 2, 0xBB], vec![8, 0x71, 0, 8, 4, 0x12, 0x34, 2, 1, 0xAA]];
        assert_eq!(join(&wide), Ok((Kind::Response, vec![0xAA, 0xBB])));
    }

    #[test]
    fn the_profile_says_how_many() {
        let profile = PacketProfile { parts_max: 2, ..PacketProfile::default() };
        let most = 132 + 134;
        assert!(split(Kind::Command, &vec![0; most], 0, &profile).is_ok());
        let refused = split(Kind::Command, &vec![0; most + 1], 0, &profile);
        assert_eq!(refused, Err(TooManyParts { got: most + 1, most: 2 }));
    }

    #[test]
    fn what_is_not_one_whole_packet_is_refused() {
        let whole = parts(&[1; 400]);
        let [one, two, three, four] = [0, 1, 2, 3].map(|index| whole.get(index).cloned());
        assert_eq!(four, None);
        let [one, two, three] = [one, two, three].map(Option::unwrap);
        assert_eq!(join::<Vec<u8>>(&[]), Err(JoinError::Count { got: 0 }));
        assert_eq!(join(&[&one, &two]), Err(JoinError::Mixed));
        assert_eq!(join(&[&one, &two, &two]), Err(JoinError::Incomplete { missing: 3 }));
        let mut other = three.clone();
        other[3] ^= 1;
        assert_eq!(join(&[&one, &two, &other]), Err(JoinError::Mixed));
        assert_eq!(join(&[[1, 0x70]]), Err(JoinError::Length));
        assert_eq!(join(&[[2, 0x72, 0]]), Err(JoinError::Element));
        assert_eq!(join(&[vec![4, 0x70, 0, 0x70, 0]]), Err(JoinError::Element));
        assert_eq!(join(&[vec![5, 0, 3, 1, 1, 1, 9]]), Err(JoinError::Element));
        assert_eq!(join(&[vec![0x02; 141]]), Err(JoinError::Length));
    }

    proptest! {
        #[test]
        fn joining_undoes_splitting_in_any_order(
            packet in proptest::collection::vec(any::<u8>(), 0..2000),
            turn in any::<usize>(),
        ) {
            let mut parts = parts(&packet);
            prop_assert!(parts.iter().all(|part| part.len() <= MESSAGE_MOST));
            let turn = turn % parts.len();
            parts.rotate_left(turn);
            prop_assert_eq!(join(&parts), Ok((Kind::Command, packet)));
        }

        #[test]
        fn no_input_panics(
            messages in proptest::collection::vec(proptest::collection::vec(0u8..9, 0..16), 0..4),
        ) {
            let _ = join(&messages);
        }
    }
}
