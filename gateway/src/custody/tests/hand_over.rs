//! What is taken over from a carrier.

use super::*;

#[tokio::test]
async fn a_hand_over_is_kept_once_and_recognized_again() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let first = custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap();
    assert!(!first.again);
    drop(custody);
    let custody = place.open();
    assert_eq!(custody.transport_key().await.unwrap(), transport);
    let again = custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap();
    assert_eq!(again, Accepted { again: true, ..first.clone() });
    let [a, b, c] = KEYS;
    let other = custody.accept_key_set(hand_over(&transport, SE, [c, b, a])).await;
    assert_eq!(other, Err(HandOverError::Differs));
    let row = custody.key_set(first.key_set).await.unwrap().unwrap();
    assert_eq!((row.status, row.kvn), (KeySetStatus::HandedOver, kvn("30")));
    assert_eq!(row.known_to, ["custody", "carrier:a"]);
    assert_eq!(custody.key_set(Uuid::nil()).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_of_another_secure_element_is_refused() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    custody.accept_key_set(hand_over(&transport, SE, KEYS)).await.unwrap();
    let whole = custody.accept_key_set(hand_over(&transport, "8981", KEYS)).await;
    assert_eq!(whole, Err(HandOverError::Shared));
    // One value is enough, wherever it stands.
    let [a, _, c] = KEYS;
    let (fresh, other) = ("A0".repeat(16), "A1".repeat(16));
    for digits in [[&fresh, &other, a], [c, &fresh, &other]] {
        let one = custody.accept_key_set(hand_over(&transport, "8981", digits)).await;
        assert_eq!(one, Err(HandOverError::Shared));
    }
    let own = hand_over(&transport, "8981", [&fresh, &other, &"A2".repeat(16)]);
    custody.accept_key_set(own).await.unwrap();
    assert_eq!(custody.key_sets_of("8981", &sd()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_hand_over_opens_only_with_its_own_statement() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let good = hand_over(&transport, SE, KEYS);
    let changed = |change: fn(&mut HandOver)| {
        let mut hand_over = good.clone();
        change(&mut hand_over);
        custody.accept_key_set(hand_over)
    };
    let unwrap = Err(HandOverError::Unwrap);
    assert_eq!(changed(|hand_over| hand_over.tenant = "mvno".to_owned()).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.se = "8981".to_owned()).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.sd = applet()).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.kvn = kvn("31")).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.ciphertext[0] ^= 1).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.enc.truncate(31)).await, unwrap);
    assert_eq!(changed(|hand_over| hand_over.enc.clear()).await, unwrap);
    let kcv = changed(|hand_over| hand_over.kcv = KeyCheckValues::from([0; 9])).await;
    assert_eq!(kcv, Err(HandOverError::CheckValue));
    let malformed = |field| Err(HandOverError::Malformed { field });
    let length = changed(|hand_over| hand_over.key_length = KeyLength::Aes256).await;
    assert_eq!(length, malformed("key_length"));
    let line = changed(|hand_over| hand_over.tenant = "carrier-a\n8981".to_owned()).await;
    assert_eq!(line, malformed("tenant"));
    assert_eq!(changed(|hand_over| hand_over.known_to.clear()).await, malformed("known_to"));
    assert!(custody.key_sets_of(SE, &sd()).await.unwrap().is_empty());
}
