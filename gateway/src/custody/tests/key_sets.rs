//! Key sets made, kept and used for session keys.

use super::*;

/// A session of a real eUICC, from pySim (tests/unittests/test_globalplatform.py): the answer to INITIALIZE UPDATE of a pseudo-random
/// card challenge verifies under what custody derives.
#[tokio::test]
async fn session_keys_are_those_the_secure_element_derives() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let key_set = custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap().key_set;
    let profile: scp::SeProfile = serde_json::from_value(json!({
        "name": "euicc", "i": "70", "key_length": "aes-128", "level": "33",
        "put_key_block": "length-prefixed", "takeover": "renumber",
    }))
    .unwrap();
    let challenged = || {
        let rules = scp::ContentRules::nothing_public();
        let selected = scp::Selected::new(sd(), kvn("30"), &profile, rules).unwrap();
        // S8 sends the first half.
        let host_challenge = hex::decode("B13E5F938FC108C40000000000000000").unwrap();
        let (initiating, _) = selected.initialize_update(host_challenge.try_into().unwrap());
        let answer = "000000000000000000003003703EB51047495B249F66C484C1D2EF19480000029000";
        initiating.answer(&hex::decode(answer).unwrap()).unwrap()
    };
    custody.retire(key_set).await.unwrap();
    let answer = custody.answer(key_set, challenged().derivations()).await.unwrap();
    assert!(challenged().card_cryptogram_matches(&answer));
    challenged().verify(answer).unwrap();
    let staged = custody.stage_key_set(wanted("31")).await.unwrap().key_set;
    let other = custody.answer(staged, challenged().derivations()).await.map(drop);
    assert_eq!(other, not_permitted("Key Version Number"));
    let same_version = custody.stage_key_set(wanted("30")).await.unwrap().key_set;
    let other = custody.answer(same_version, challenged().derivations()).await.unwrap();
    assert!(!challenged().card_cryptogram_matches(&other));
    let longer = Stage { key_length: KeyLength::Aes256, ..wanted("30") };
    let longer = custody.stage_key_set(longer).await.unwrap().key_set;
    let refused = custody.answer(longer, challenged().derivations()).await.map(drop);
    assert_eq!(refused, not_permitted("key length"));
    let gone = custody.answer(Uuid::nil(), challenged().derivations()).await.map(drop);
    assert_eq!(gone, Err(CustodyError::NoKeySet { key_set: Uuid::nil() }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staged_sets_are_durable_different_and_never_lost() {
    let place = Place::new();
    let custody = place.open();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let custody = custody.clone();
            tokio::spawn(async move { custody.stage_key_set(wanted("31")).await.unwrap() })
        })
        .collect();
    let mut staged = Vec::new();
    for task in tasks {
        staged.push(task.await.unwrap());
    }
    custody.retire(staged[0].key_set).await.unwrap();
    let retired = custody.retire(Uuid::nil()).await;
    assert_eq!(retired, Err(CustodyError::NoKeySet { key_set: Uuid::nil() }));
    drop(custody);
    let vault = place.vault();
    let mut values: Vec<Vec<u8>> = Vec::new();
    for set in &staged {
        let (row, keys) = keyset::open(&vault, set.key_set).unwrap();
        assert_eq!((row.kcv, keys.check_values().unwrap()), (set.kcv, set.kcv));
        values.extend(keys.all().map(|key| key.expose().to_vec()));
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 300);
    let rows = keyset::rows_of(&vault, SE, &sd()).unwrap();
    assert_eq!(rows.len(), 100);
    let retired = rows.iter().filter(|row| row.status == KeySetStatus::Retired).count();
    assert_eq!(retired, 1);
}
