//! What is taken in from a service provider.

use super::*;

#[tokio::test]
async fn a_payload_is_what_its_statement_says() {
    let place = Place::new();
    let custody = place.open();
    let transport = custody.transport_key().await.unwrap();
    let good = payload(&transport, &members());
    let changed = |change: fn(&mut Payload)| {
        let mut payload = good.clone();
        change(&mut payload);
        custody.accept_payload(payload)
    };
    let unwrap = Err(PayloadError::Unwrap);
    assert_eq!(changed(|payload| payload.tenant = "mvno".to_owned()).await, unwrap);
    assert_eq!(changed(|payload| payload.order = "order-2".to_owned()).await, unwrap);
    assert_eq!(changed(|payload| payload.se = "8981".to_owned()).await, unwrap);
    assert_eq!(changed(|payload| payload.applet = sd()).await, unwrap);
    assert_eq!(changed(|payload| payload.dgis.swap(0, 1)).await, unwrap);
    assert_eq!(changed(|payload| payload.expires_s = 3_000).await, unwrap);
    assert_eq!(changed(|payload| payload.now_s = 2_000).await, Err(PayloadError::Expired));
    let key = changed(|payload| payload.public_key_sha256 = Digest::ZERO).await;
    assert_eq!(key, Err(PayloadError::PublicKey));
    let twice = changed(|payload| payload.dgis.push(0x8201)).await;
    assert_eq!(twice, Err(PayloadError::Malformed { field: "dgis" }));
    let unknown = changed(|payload| payload.dgis.push(0x9999)).await;
    assert_eq!(unknown, Err(PayloadError::Dgi { dgi: 0x9999 }));

    let with = async |name: &str, value: Option<&str>| {
        let mut members = members();
        let object = members.as_object_mut().unwrap();
        match value {
            Some(value) => object.insert(name.to_owned(), json!(value)),
            None => object.remove(name),
        };
        custody.accept_payload(payload(&transport, &members)).await.unwrap_err()
    };
    let long = "C1".repeat(129);
    let dgi = |dgi| PayloadError::Dgi { dgi };
    assert_eq!(with("8201", None).await, dgi(0x8201));
    assert_eq!(with("8201", Some(&long)).await, dgi(0x8201));
    assert_eq!(with("8201", Some("")).await, dgi(0x8201));
    assert_eq!(with("8201", Some("C")).await, dgi(0x8201));
    assert_eq!(with("8010", Some("303132")).await, dgi(0x8010));
    assert_eq!(with("8010", Some("3031323A")).await, dgi(0x8010));
    assert_eq!(with("8206", Some("00")).await, dgi(0x8206));
    let malformed = PayloadError::Malformed { field: "plaintext" };
    assert_eq!(with("other", Some("00")).await, malformed);
    assert_eq!(with("+201", Some("00")).await, malformed);
}
