//! PUT KEY: a whole SCP03 key set added, replaced, or replaced and renumbered, atomically (CS 11.8, AmdD 7.2).

use crate::aes::{AesKey, BLOCK};
use crate::apdu::Command;
use crate::bytes::Secret;
use crate::command::Turn;
use crate::key_set::{KEY_TYPE_AES, KeySet, is_key_version};
use crate::status::{Answer, Stop, Sw};
use crate::tlv::Reader;

/// P2: several keys, the first with identifier 1; nothing less than a set is taken.
const WHOLE_SET: u8 = 0x81;

pub(crate) fn put_key(turn: &mut Turn<'_>, command: &Command) -> Result<Answer, Stop> {
    let domain = turn.performing()?;
    let replaced = command.p1;
    if command.p2 != WHOLE_SET || !(replaced == 0 || is_key_version(replaced)) {
        return Err(Sw::INCORRECT_P1_P2.into());
    }
    let set = parse_set(&command.data, &turn.dek()?)?;
    let mut answer = vec![set.kvn];
    answer.extend(set.check_values()?);
    turn.store.change(|card| {
        let domain = card.domain_mut(&domain).ok_or(Sw::CONDITIONS)?;
        match replaced {
            0 => domain.add_key_set(set),
            replaced => domain.replace_key_set(replaced, set),
        }
    })?;
    Ok(Answer::ok(answer))
}

/// The data field: new Key Version Number and exactly three AES key data fields (CS Tables 11-67, 11-68).
fn parse_set(data: &[u8], dek: &AesKey) -> Result<KeySet, Sw> {
    let mut reader = Reader::new(data);
    let kvn = reader.byte().filter(|kvn| is_key_version(*kvn)).ok_or(Sw::WRONG_DATA)?;
    let keys =
        [parse_key(&mut reader, dek)?, parse_key(&mut reader, dek)?, parse_key(&mut reader, dek)?];
    let [enc, mac, last] = &keys;
    // One length for all three (AmdD 6.1).
    if !reader.is_empty() || enc.len() != mac.len() || mac.len() != last.len() {
        return Err(Sw::WRONG_DATA);
    }
    Ok(KeySet::new(kvn, keys))
}

fn parse_key(reader: &mut Reader<'_>, dek: &AesKey) -> Result<AesKey, Sw> {
    let mut field = || Some((reader.byte()?, reader.lv_ber()?, reader.lv()?));
    let (key_type, block, check_value) = field().ok_or(Sw::WRONG_DATA)?;
    if key_type != KEY_TYPE_AES {
        return Err(Sw::WRONG_DATA);
    }
    let key = parse_component(block, dek)?;
    // The Key Check Value must be there, and right (CS 11.8.2.3.3).
    if key.check_value()? == check_value { Ok(key) } else { Err(Sw::SECURITY_STATUS) }
}

/// A key component block in either form (CS Tables 11-70 and 11-71): whole blocks are the cryptogram alone,
/// anything else has the key's length in front.
fn parse_component(block: &[u8], dek: &AesKey) -> Result<AesKey, Sw> {
    let (cryptogram, length) = if block.len().is_multiple_of(BLOCK) {
        (block, block.len())
    } else {
        let (length, cryptogram) = block.split_first().ok_or(Sw::WRONG_DATA)?;
        (cryptogram, usize::from(*length))
    };
    if cryptogram.len() != length.next_multiple_of(BLOCK) {
        return Err(Sw::WRONG_DATA);
    }
    let clear = dek.decrypt_sensitive(cryptogram)?;
    let key = clear.expose().get(..length).ok_or(Sw::WRONG_DATA)?;
    AesKey::new(Secret::new(key.to_vec())).ok_or(Sw::WRONG_DATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AesKey {
        AesKey::new(Secret::new(hex::decode(text).unwrap())).unwrap()
    }

    fn parse(dek: &str, apdu: &str) -> Result<KeySet, Sw> {
        parse_set(&Command::parse(&hex::decode(apdu).unwrap()).unwrap().data, &key(dek))
    }

    const DEK: &str = "11F8C1429F57DF6CB4BEA8C024AE43F0";
    const WITH_LENGTH: &str = "80D80081463188111050F0CF02B48F1AEC6DA00B0E9E73E536039FAB378811101335B648E49D228DED51A727197A58020322AE9D8811103C06AD58EF26B96EEC19483242818C92033E422600";
    const WITHOUT_LENGTH: &str = "80D800814331881050F0CF02B48F1AEC6DA00B0E9E73E536039FAB3788101335B648E49D228DED51A727197A58020322AE9D88103C06AD58EF26B96EEC19483242818C92033E422600";
    const DEK_256: &str = "E79E54EF79EB3D55486B8FF1F2D9E8A4954FB73B7F575B9AF0F076B1F7C50D2C";
    const AES_256: &str = "80D800817331882016BEECB7616FFCDB39224CDA59126837AFD468C1D3CFF3A97E02CD04033C070603C08B3C88204FA1FF1D199D863B78C64441691A9E108111BF1FED5EBC6D019457E37C38800903A0391C8820ED5C1E47723046F26EB642B094CDB09664DAE742084A60415FF621AECEC2431A039AF7C600";

    #[test]
    fn both_block_forms_and_both_sizes() {
        for (dek, apdu, values) in [
            (DEK, WITH_LENGTH, "9FAB3722AE9D3E4226"),
            (DEK, WITHOUT_LENGTH, "9FAB3722AE9D3E4226"),
            (DEK_256, AES_256, "C08B3CA0391C9AF7C6"),
        ] {
            let set = parse(dek, apdu).unwrap();
            assert_eq!((set.kvn, set.sequence_counter), (0x31, 0));
            assert_eq!(hex::encode_upper(set.check_values().unwrap()), values);
        }
    }

    #[test]
    fn a_wrong_check_value_is_a_security_error() {
        let wrong = WITH_LENGTH.replace("039FAB37", "039FAB38");
        assert_eq!(parse(DEK, &wrong).unwrap_err(), Sw::SECURITY_STATUS);
        let absent =
            parse_set(&hex::decode(format!("318810{}00", "00".repeat(16))).unwrap(), &key(DEK));
        assert_eq!(absent.unwrap_err(), Sw::SECURITY_STATUS);
    }

    #[test]
    fn every_truncation_is_refused() {
        let data = Command::parse(&hex::decode(WITH_LENGTH).unwrap()).unwrap().data;
        for length in 0..data.len() {
            assert!(parse_set(&data[..length], &key(DEK)).is_err(), "{length}");
        }
    }
}
