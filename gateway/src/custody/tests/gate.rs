//! The second gate: ciphertext for the SE only as the terms of a permit say.

use super::*;

/// A vault with the handed-over set and a staged one.
async fn vault_with_sets(place: &Place, fresh: Stage) -> (vault::Vault, Uuid, Uuid) {
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let under = custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap().key_set;
    let fresh = custody.stage_key_set(fresh).await.unwrap().key_set;
    drop(custody);
    (place.vault(), fresh, under)
}

#[tokio::test]
async fn a_fresh_set_is_encrypted_under_the_dek_of_the_live_one() {
    for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
        let place = Place::new();
        let stage = Stage { key_length: length, ..wanted("31") };
        let (vault, fresh, under) = vault_with_sets(&place, stage).await;
        let encrypted = translate::key_set(&vault, &takeover(), fresh, under).unwrap();
        let (row, clear) = keyset::open(&vault, fresh).unwrap();
        for (index, (key, clear)) in encrypted.iter().zip(clear.all()).enumerate() {
            let plain = decrypt(KEYS[2], &key.cryptogram);
            assert_eq!(plain.len(), length.bytes().next_multiple_of(16));
            assert_eq!(&plain[..length.bytes()], clear.expose());
            assert_eq!(key.check_value, row.kcv.0[index]);
            assert_eq!(key.length, length);
        }
    }
}

#[tokio::test]
async fn no_ciphertext_of_a_key_set_without_the_very_permit() {
    let place = Place::new();
    let (vault, fresh, under) = vault_with_sets(&place, wanted("31")).await;
    let with = |terms: Terms| translate::key_set(&vault, &terms, fresh, under).map(drop);
    assert_eq!(with(takeover()), Ok(()));
    let set = |prior, fresh| terms(KeyWrite::SdKeyset { prior, fresh });
    assert_eq!(with(set(None, kvn("31"))), Ok(()), "added beside the set it is written under");
    let version = not_permitted("Key Version Number");
    assert_eq!(with(set(Some(kvn("30")), kvn("32"))), version);
    assert_eq!(with(set(Some(kvn("31")), kvn("31"))), version);
    for other in [
        KeyWrite::AppKey { applet: applet() },
        KeyWrite::SdKeysetDelete { kvn: kvn("30") },
        KeyWrite::Destroy { target: applet() },
    ] {
        assert_eq!(with(terms(other)), not_permitted("write"));
    }
    let se = Terms { se: "8981".to_owned(), ..takeover() };
    assert_eq!(with(se), not_permitted("secure element"));
    let security_domain = Terms { security_domain: applet(), ..takeover() };
    assert_eq!(with(security_domain), not_permitted("Security Domain"));
    // A set that lived before is no fresh one, and a retired one is written neither to nor under.
    let renumber = set(Some(kvn("31")), kvn("30"));
    let old = translate::key_set(&vault, &renumber, under, fresh).map(drop);
    assert_eq!(old, not_permitted("status of the fresh key set"));
    keyset::retire(&vault, under).unwrap();
    assert_eq!(with(takeover()), not_permitted("status of the key set written under"));
    let unknown = translate::key_set(&vault, &takeover(), Uuid::nil(), under).map(drop);
    assert_eq!(unknown, Err(CustodyError::NoKeySet { key_set: Uuid::nil() }));
}

#[tokio::test]
async fn a_retired_set_is_never_written() {
    let place = Place::new();
    let (vault, fresh, under) = vault_with_sets(&place, wanted("31")).await;
    keyset::retire(&vault, fresh).unwrap();
    let outcome = translate::key_set(&vault, &takeover(), fresh, under).map(drop);
    assert_eq!(outcome, not_permitted("status of the fresh key set"));
}

#[tokio::test]
async fn a_payload_is_translated_for_its_application_alone() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let under = custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap().key_set;
    let material = custody.accept_payload(payload(&transport, &members())).await.unwrap();
    drop(custody);
    let vault = place.vault();
    let personalize = || terms(KeyWrite::AppKey { applet: applet() });
    let dgis = translate::payload(&vault, &personalize(), material, under).unwrap();
    let tags: Vec<u16> = dgis.iter().map(|dgi| dgi.tag).collect();
    assert_eq!(tags, payload(&transport, &members()).dgis);
    let value = |tag| &dgis.iter().find(|dgi| dgi.tag == tag).unwrap().value;
    assert_eq!(value(0x0101), b"certificate");
    assert_eq!(value(0x0102), b"public key");
    assert_eq!(decrypt(KEYS[2], value(0x8201)), [0xC1; 128]);
    let left_padded = |zeros: usize, byte: u8| [vec![0; zeros], vec![byte; 128 - zeros]].concat();
    assert_eq!(decrypt(KEYS[2], value(0x8202)), left_padded(1, 0xC2));
    assert_eq!(decrypt(KEYS[2], value(0x8204)), left_padded(127, 0xC4));
    let pin = [PIN, &[0x80], &[0; 9]].concat();
    assert_eq!(decrypt(KEYS[2], value(0x8010)), pin);

    let with = |terms: Terms| translate::payload(&vault, &terms, material, under).map(drop);
    let other = terms(KeyWrite::AppKey { applet: sd() });
    assert_eq!(with(other), not_permitted("application"));
    assert_eq!(with(takeover()), not_permitted("write"));
    let se = Terms { se: "8981".to_owned(), ..personalize() };
    assert_eq!(with(se), not_permitted("secure element"));
    let security_domain = Terms { security_domain: applet(), ..personalize() };
    assert_eq!(with(security_domain), not_permitted("Security Domain"));
}
