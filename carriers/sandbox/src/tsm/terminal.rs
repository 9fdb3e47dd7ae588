//! The last metre: APDUs into a secure element, with the transport's own duty to fetch long answers.

use se::SecureElement;

/// GET RESPONSE rounds after which an SE that always has more is given up.
const ROUNDS_MAX: usize = 256;

/// One command and its whole answer, data and status word; empty when the SE lost power.
pub(super) fn exchange(se: &mut SecureElement, apdu: &[u8]) -> Vec<u8> {
    let class = apdu.first().copied().unwrap_or(0);
    let mut answer = Vec::new();
    let mut response = se.transmit(apdu);
    for _ in 0..ROUNDS_MAX {
        let Some((data, &[sw1, sw2])) = response.split_last_chunk() else { return Vec::new() };
        answer.extend_from_slice(data);
        if sw1 != 0x61 {
            answer.extend([sw1, sw2]);
            return answer;
        }
        response = se.transmit(&[channel_of(class), 0xC0, 0x00, 0x00, sw2]);
    }
    answer
}

/// The logical channel of a class byte, in an interindustry class without secure messaging (ISO/IEC 7816-4, 5.4.1).
fn channel_of(class: u8) -> u8 {
    match class & 0x40 {
        0x00 => class & 0x03,
        _ => 0x40 | (class & 0x0F),
    }
}

/// Whether the SE went on: 9000, a warning, or data (status words 61xx, 62xx, 63xx).
pub(super) fn went_on(answer: &[u8]) -> bool {
    matches!(answer, [.., 0x90, 0x00] | [.., 0x61..=0x63, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_response_stays_on_the_channel() {
        assert_eq!(channel_of(0x84), 0x00);
        assert_eq!(channel_of(0x81), 0x01);
        assert_eq!(channel_of(0xE2), 0x42);
    }

    #[test]
    fn an_error_stops_a_script() {
        assert!(went_on(&[0x90, 0x00]) && went_on(&[1, 2, 0x63, 0x10]));
        assert!(!went_on(&[0x6A, 0x88]) && !went_on(&[0x90]) && !went_on(&[]));
    }
}
