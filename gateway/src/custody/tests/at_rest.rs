//! What the files hold, and when they do not open.

use super::*;

#[tokio::test]
async fn no_file_holds_a_key_or_a_pin_in_clear() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap();
    let material = custody.accept_payload(payload(&transport, &members())).await.unwrap();
    let canaries =
        [keys(KEYS)[..16].to_vec(), keys(KEYS)[32..].to_vec(), vec![0xC1; 16], PIN.into()];
    let clean = |dir: &Path| canaries.iter().all(|canary| !stands_in(dir, canary));
    assert!(clean(&place.data()), "while it is open, write-ahead log included");
    custody.erase_payload(material).await.unwrap();
    custody.erase_payload(material).await.unwrap();
    assert!(custody.payload(material).await.unwrap().unwrap().erased);
    drop(custody);
    assert!(clean(&place.data()));
    fs::write(place.data().join("control"), keys(KEYS)).unwrap();
    assert!(!clean(&place.data()), "the search finds what is there");
    let gone = payload::open(&place.vault(), material).map(drop);
    assert_eq!(gone, Err(CustodyError::NoPayload { payload: material }));
}

#[tokio::test]
async fn another_kek_is_told_from_a_damaged_file() {
    let place = Place::new();
    let custody = place.open();
    let staged = custody.stage_key_set(wanted("31")).await.unwrap();
    assert_eq!(
        Custody::open(&place.data(), &place.kek()).map(drop).unwrap_err(),
        CustodyError::Locked
    );
    drop(custody);
    place.write_kek("5B");
    let wrong = Custody::open(&place.data(), &place.kek()).map(drop);
    assert_eq!(wrong, Err(CustodyError::WrongKek));
    place.write_kek("5A");
    assert_eq!(keyset::recompute(&place.vault(), staged.key_set), Ok(staged.kcv));
}

#[tokio::test]
async fn a_custody_file_of_a_later_release_or_of_others_stays_as_it_is() {
    let place = Place::new();
    drop(place.open());
    let path = place.data().join(CUSTODY_FILE);
    let refused = |expected: CustodyError| {
        let before = fs::read(&path).unwrap();
        let outcome = Custody::open(&place.data(), &place.kek()).map(drop);
        assert_eq!(outcome, Err(expected));
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(raw);
    refused(CustodyError::NewerVersion { found: 99, known: 1 });
    fs::write(&path, "no database").unwrap();
    refused(CustodyError::NotCustody { path: path.display().to_string() });
}

#[tokio::test]
async fn a_sealed_key_opens_in_its_own_row_alone() {
    let place = Place::new();
    let custody = place.open();
    let one = custody.stage_key_set(wanted("31")).await.unwrap().key_set;
    let other = custody.stage_key_set(wanted("31")).await.unwrap().key_set;
    drop(custody);
    let tampered = |sql: &str| {
        let vault = place.vault();
        vault.db.execute_batch("SAVEPOINT tampering").unwrap();
        let both = rusqlite::params![one.as_bytes(), other.as_bytes()];
        assert_eq!(vault.db.execute(sql, both).unwrap(), 1);
        let outcome = keyset::open(&vault, one).map(drop);
        vault.db.execute_batch("ROLLBACK TO tampering; RELEASE tampering").unwrap();
        outcome
    };
    for column in ["enc", "mac", "dek"] {
        let swap = format!(
            "UPDATE key_sets SET {column} = (SELECT {column} FROM key_sets WHERE uuid = ?2) WHERE uuid = ?1"
        );
        assert_eq!(tampered(&swap), Err(CustodyError::Sealed), "{column}");
    }
    for change in [
        "enc = mac",
        "mac = enc",
        "kvn = kvn + 1",
        "tenant = 'mvno'",
        "se = '8981'",
        "sd = x'F0000000010001'",
        "key_bytes = 32",
    ] {
        let alter = format!("UPDATE key_sets SET {change} WHERE uuid = ?1 AND ?2 = ?2");
        assert_eq!(tampered(&alter), Err(CustodyError::Sealed), "{change}");
    }
    let vault = place.vault();
    assert!(keyset::open(&vault, one).is_ok());
    vault.db.execute("UPDATE key_sets SET kcv = zeroblob(9)", []).unwrap();
    assert_eq!(keyset::recompute(&vault, one), Err(CustodyError::Sealed));
}
