//! What STORE DATA puts into a Security Domain: key sets by DGI 00B9 and 8113 (CS 11.11.4) and data objects.

use std::collections::{BTreeMap, VecDeque};

use crate::aes::{AesKey, BLOCK};
use crate::bytes::{Bytes, Secret};
use crate::dgi::Dgi;
use crate::key_set::{KEY_TYPE_AES, KeySet, is_key_version};
use crate::registry::SecurityDomain;
use crate::status::Sw;
use crate::tlv::Reader;

/// A template of BER-TLV data objects within DGIs (CS 11.11.2.3).
const DGI_OBJECTS: u16 = 0x0070;
/// Key Information Data (CS Table 11-91).
const DGI_KEY_INFORMATION: u16 = 0x00B9;
/// A secret key (CS Table 11-93).
const DGI_SECRET_KEY: u16 = 0x8113;
/// The longest data object kept.
const OBJECT_BYTES_MAX: usize = 255;

/// A key announced by a Control Reference Template and not yet there.
struct Announced {
    identifier: u8,
    kvn: u8,
    length: usize,
    check_value: [u8; 3],
}

/// Loads key sets and objects; the caller discards `domain` on an error.
///
/// # Errors
/// `6982` for a wrong Key Check Value, `6A80` for anything else malformed, `6A84` if there is no room.
pub(crate) fn load_groupings(
    domain: &mut SecurityDomain,
    groupings: &[Dgi<'_>],
    dek: &AesKey,
) -> Result<(), Sw> {
    let mut announced = VecDeque::new();
    let mut loaded: BTreeMap<u8, [Option<AesKey>; 3]> = BTreeMap::new();
    for grouping in groupings {
        match grouping.identifier {
            DGI_SECRET_KEY => {
                let of: Announced = announced.pop_front().ok_or(Sw::WRONG_DATA)?;
                let key = decrypt(&of, grouping.value, dek)?;
                let keys = loaded.entry(of.kvn).or_default();
                let slot = usize::from(of.identifier).checked_sub(1);
                let slot = slot.and_then(|slot| keys.get_mut(slot)).ok_or(Sw::WRONG_DATA)?;
                if slot.replace(key).is_some() {
                    return Err(Sw::WRONG_DATA);
                }
            }
            // Its keys must follow immediately, one for each template (CS 11.11.4.1.1).
            _ if !announced.is_empty() => return Err(Sw::WRONG_DATA),
            DGI_KEY_INFORMATION => announced = announce(grouping.value).ok_or(Sw::WRONG_DATA)?,
            DGI_OBJECTS => load_objects(domain, grouping.value)?,
            _ => return Err(Sw::WRONG_DATA),
        }
    }
    if !announced.is_empty() {
        return Err(Sw::WRONG_DATA);
    }
    loaded.into_iter().try_for_each(|(kvn, keys)| load_set(domain, kvn, keys))
}

/// Keeps data objects; dynamic ones (`C1`, `E0`, ..) cannot be stored (CS 11.11.2.3).
pub(crate) fn load_objects(domain: &mut SecurityDomain, data: &[u8]) -> Result<(), Sw> {
    let mut reader = Reader::new(data);
    if reader.is_empty() {
        return Err(Sw::WRONG_DATA);
    }
    while !reader.is_empty() {
        match reader.tlv().ok_or(Sw::WRONG_DATA)? {
            (tag @ (0x42 | 0x45 | 0x66 | 0x67 | 0x5F50), value)
                if value.len() <= OBJECT_BYTES_MAX =>
            {
                domain.objects.insert(tag, Bytes(value.to_vec()));
            }
            _ => return Err(Sw::WRONG_DATA),
        }
    }
    Ok(())
}

/// A set comes whole: three keys of one length. An existing one is replaced.
fn load_set(domain: &mut SecurityDomain, kvn: u8, keys: [Option<AesKey>; 3]) -> Result<(), Sw> {
    let [Some(enc), Some(mac), Some(dek)] = keys else {
        return Err(Sw::WRONG_DATA);
    };
    if enc.len() != mac.len() || mac.len() != dek.len() {
        return Err(Sw::WRONG_DATA);
    }
    let set = KeySet::new(kvn, [enc, mac, dek]);
    if domain.key_set(kvn).is_some() {
        domain.replace_key_set(kvn, set)
    } else {
        domain.add_key_set(set)
    }
}

/// Attributes of a key by their tag.
type Attributes<'a> = BTreeMap<u16, &'a [u8]>;

/// Reads DGI 00B9: one template `B9` for each key (CS Table 11-92), each complete, or a template `B7` in front with
/// what they have in common (the form of Amendment A).
fn announce(value: &[u8]) -> Option<VecDeque<Announced>> {
    let mut reader = Reader::new(value);
    let mut common = Attributes::new();
    let mut announced = VecDeque::new();
    while !reader.is_empty() {
        match reader.tlv()? {
            (0xB7, template) => common = attributes(template)?,
            (0xB9, template) => {
                let mut own = attributes(template)?;
                for (tag, value) in &common {
                    // Inconsistent with a value already received (CS 11.11.4).
                    if own.insert(*tag, *value).is_some_and(|own| own != *value) {
                        return None;
                    }
                }
                announced.push_back(announce_one(&own)?);
            }
            _ => return None,
        }
    }
    (!announced.is_empty()).then_some(announced)
}

/// Reads one template: type, length, identifier, version, check value; usage, access and counter go unused.
fn attributes(template: &[u8]) -> Option<Attributes<'_>> {
    let mut reader = Reader::new(template);
    let mut attributes = Attributes::new();
    while !reader.is_empty() {
        let (tag, value) = reader.tlv()?;
        if !matches!(tag, 0x80..=0x84 | 0x95..=0x97) || attributes.insert(tag, value).is_some() {
            return None;
        }
    }
    Some(attributes)
}

fn announce_one(attributes: &Attributes<'_>) -> Option<Announced> {
    let one_byte = |tag| match attributes.get(&tag) {
        Some([byte]) => Some(*byte),
        _ => None,
    };
    let announced = Announced {
        identifier: one_byte(0x82)?,
        kvn: one_byte(0x83)?,
        length: usize::from(one_byte(0x81)?),
        check_value: (*attributes.get(&0x84)?).try_into().ok()?,
    };
    (one_byte(0x80)? == KEY_TYPE_AES && is_key_version(announced.kvn)).then_some(announced)
}

fn decrypt(announced: &Announced, value: &[u8], dek: &AesKey) -> Result<AesKey, Sw> {
    if value.len() != announced.length.next_multiple_of(BLOCK) {
        return Err(Sw::WRONG_DATA);
    }
    let clear = dek.decrypt_sensitive(value)?;
    let key = clear.expose().get(..announced.length).ok_or(Sw::WRONG_DATA)?;
    let key = AesKey::new(Secret::new(key.to_vec())).ok_or(Sw::WRONG_DATA)?;
    if key.check_value()? == announced.check_value { Ok(key) } else { Err(Sw::SECURITY_STATUS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dgi;

    /// Witness: kaoh/globalplatform storeDataTest.c, DEK 000102..0F.
    const DATA: &str = "00B930B71080018881011083010196010197020003B9088201018403504A77B9088201028403F2A8DFB9088201038403D7D0E4811310D533E59B45A153ED7E5E9C5DFCFD4AAA8113103EF0B1A5E3059DAB21FCE23A7B61C4CA811310ADDE68F7AD497268D31A0DDD5C74B08F";

    fn load(text: &str) -> Result<SecurityDomain, Sw> {
        let dek = AesKey::new(Secret::new((0..16).collect())).unwrap();
        let data = hex::decode(text).unwrap();
        let mut domain = SecurityDomain::default();
        load_groupings(&mut domain, &dgi::parse(&data)?, &dek).map(|()| domain)
    }

    /// The same keys, each announced completely (CS Table 11-92).
    fn complete_templates() -> String {
        let template =
            |identifier, kcv| format!("B9149501188001888101108201{identifier}8301018403{kcv}");
        let templates = [("01", "504A77"), ("02", "F2A8DF"), ("03", "D7D0E4")]
            .map(|(id, kcv)| template(id, kcv));
        let keys = &DATA[DATA.find("8113").unwrap()..];
        let information = templates.concat();
        format!("00B9{:02X}{information}{keys}", information.len() / 2)
    }

    #[test]
    fn both_forms_of_the_template() {
        for text in [DATA.to_owned(), complete_templates()] {
            let domain = load(&text).unwrap();
            let values = domain.key_set(1).unwrap().check_values().unwrap();
            assert_eq!(hex::encode_upper(values), "504A77F2A8DFD7D0E4");
        }
    }

    #[test]
    fn a_set_is_whole_or_refused() {
        let one_key_less = &DATA[..DATA.len() - 38];
        assert_eq!(load(one_key_less).unwrap_err(), Sw::WRONG_DATA);
        let twice_the_same = DATA.replace("820102", "820101").replace("F2A8DF", "504A77");
        assert!(load(&twice_the_same).is_err());
        assert_eq!(load(&DATA.replace("504A77", "504A78")).unwrap_err(), Sw::SECURITY_STATUS);
        assert_eq!(load(&DATA.replace("800188", "800180")).unwrap_err(), Sw::WRONG_DATA);
        assert_eq!(load(&DATA.replace("820103", "820104")).unwrap_err(), Sw::WRONG_DATA);
    }

    #[test]
    fn dynamic_objects_are_not_stored() {
        let mut domain = SecurityDomain::default();
        load_objects(&mut domain, &[0x42, 0x01, 0xAA, 0x5F, 0x50, 0x01, 0xBB]).unwrap();
        assert_eq!(domain.objects[&0x42], Bytes(vec![0xAA]));
        for refused in [&[0xC1, 0x01, 0x00][..], &[0xE0, 0x00], &[0x42, 0x02, 0x00], &[]] {
            assert_eq!(load_objects(&mut domain, refused), Err(Sw::WRONG_DATA));
        }
    }
}
