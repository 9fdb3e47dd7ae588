//! Stands for the service provider (J-LIS): makes key and certificate off-card, seals them to custody, orders, checks receipts.
//!
//! It speaks to the gateway over its API alone. The private key and the PIN leave it only inside HPKE (RFC 9180), bound to tenant,
//! order, SE, applet, data groupings and expiry, under its own ES256 signature.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256,
    hpke::{EncapsulatedSecret, Hpke, HpkePublicKey},
};
use scp::Aid;
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    api::{Order, ReceiptKey, TransportKey},
    client::{CallError, Client},
    error::SandboxError,
    fleet::Subscriber,
    identity_key::{DGIS, IdentityKey},
    jws::{self, JwsError, Signer},
    pki::PkiError,
};

/// HPKE `info` of personalization data.
const HPKE_INFO: &[u8] = b"madoguchi personalization v1";
/// How long sealed key material may wait at the gateway.
const PAYLOAD_LIFETIME_S: i64 = 7 * 24 * 3600;
/// `typ` of the service provider's signature on key material.
const TYP_PERSONALIZATION: &str = "sp-personalization+jwt";
/// `typ` of the gateway's receipt.
const TYP_RECEIPT: &str = "provisioning-receipt+jwt";
/// Length of the PINs it chooses.
const PIN_DIGITS: usize = 4;

/// The issuer's keys and its connection.
pub struct IssuerDesk {
    client: Client,
    signer: Signer,
    authority: Issuer<'static, KeyPair>,
    service: String,
    applet: Aid,
}

impl fmt::Debug for IssuerDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerDesk").field("service", &self.service).finish_non_exhaustive()
    }
}

/// An order the gateway has accepted, with what the issuer alone knows of it.
#[derive(Debug)]
pub struct Placed {
    /// The gateway's id.
    pub id: String,
    /// Key, certificate and PIN.
    pub identity: IdentityKey,
}

/// Why a receipt is not believed.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The order is Confirmed and carries none.
    #[error("there is no receipt")]
    Missing,
    /// The gateway's key did not sign it.
    #[error(transparent)]
    Signature(#[from] JwsError),
    /// It says something else than the order or the counter.
    #[error("the receipt's {member} is {found}, not {expected}")]
    Differs {
        /// Member of the payload.
        member: &'static str,
        /// What it says.
        found: Value,
        /// What it should say.
        expected: Value,
    },
}

impl IssuerDesk {
    /// A desk with a new certificate authority that signs key material with `signer`.
    ///
    /// # Errors
    /// [`SandboxError::Pki`] if the authority cannot be made.
    pub fn new(
        client: Client,
        signer: Signer,
        service: &str,
        applet: Aid,
    ) -> Result<IssuerDesk, SandboxError> {
        Ok(IssuerDesk {
            client,
            signer,
            authority: certificate_authority().map_err(PkiError::from)?,
            service: service.to_owned(),
            applet,
        })
    }

    /// Makes an identity for the subscriber, seals it and places the order.
    ///
    /// # Errors
    /// [`SandboxError::Identity`] or [`SandboxError::Call`].
    pub async fn place(
        &self,
        subscriber: &Subscriber,
        caller_id: &str,
    ) -> Result<Placed, SandboxError> {
        let pin = crate::random::digits(PIN_DIGITS);
        let identity = IdentityKey::generate(&self.authority, caller_id, pin)?;
        let key: TransportKey = self.client.get("/v1/custody/transport-key").await?;
        let order = Envelope {
            tenant: &subscriber.tenant,
            order: caller_id,
            se: &subscriber.iccid,
            applet: self.applet,
            expires_s: jiff::Timestamp::now().as_second() + PAYLOAD_LIFETIME_S,
        };
        let personalization = self.sealed(&order, &identity, &key)?;
        let body = json!({
            "id": caller_id,
            "tenant": subscriber.tenant,
            "service": self.service,
            "operation": "issue",
            "se": { "iccid": subscriber.iccid },
            "personalization": personalization,
        });
        let order: Order = self.client.post("/v1/orders", &body).await?;
        Ok(Placed { id: order.id, identity })
    }

    /// The order as it stands.
    ///
    /// # Errors
    /// [`CallError`] by blame.
    pub async fn order(&self, id: &str) -> Result<Order, CallError> {
        self.client.get(&format!("/v1/orders/{id}")).await
    }

    /// Takes a parked order up again.
    ///
    /// # Errors
    /// [`CallError`] if the gateway refuses.
    pub async fn resume(&self, id: &str) -> Result<Order, CallError> {
        self.client.post(&format!("/v1/orders/{id}/resume"), &serde_json::json!({})).await
    }

    /// Follows an order by server-sent events until `reached`, across ended streams and restarts of the gateway.
    ///
    /// Cancel-safe: the caller sets the deadline by dropping it. `seen` is given every state on the way.
    ///
    /// # Errors
    /// [`CallError`] if the gateway refuses; an unreachable gateway is waited for.
    pub async fn follow(
        &self,
        id: &str,
        mut seen: impl FnMut(&Order),
        reached: impl Fn(&Order) -> bool,
    ) -> Result<Order, CallError> {
        let path = format!("/v1/orders/{id}/events");
        loop {
            match self.client.events(&path).await {
                Ok(mut events) => {
                    while let Ok(Some(order)) = events.next::<Order>().await {
                        seen(&order);
                        if reached(&order) {
                            return Ok(order);
                        }
                    }
                }
                Err(CallError::Unreachable { .. }) => {}
                Err(refused) => return Err(refused),
            }
            // A stream ends at a terminal state, with a connection's age or with the gateway itself.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Judges the receipt of a Confirmed order: signature, order, token digest, every write. Returns it.
    ///
    /// # Errors
    /// [`SandboxError::Proof`] saying what is wrong.
    pub async fn checked_receipt(
        &self,
        order: &Order,
        token: &str,
    ) -> Result<String, SandboxError> {
        let key: ReceiptKey = self.client.get("/v1/receipts/key").await?;
        let receipt = order.receipt.clone().ok_or(ReceiptError::Missing);
        receipt
            .and_then(|receipt| judge(&receipt, &key, order, token).map(|()| receipt))
            .map_err(|error| SandboxError::proof(&format!("order {}", order.caller_id), error))
    }

    fn sealed(
        &self,
        envelope: &Envelope<'_>,
        identity: &IdentityKey,
        key: &TransportKey,
    ) -> Result<String, SandboxError> {
        let unusable = || SandboxError::proof("custody's transport key", "it cannot be sealed to");
        let public_key = hex::decode(&key.public_key).map_err(|_| unusable())?;
        let (EncapsulatedSecret(enc), ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
            .seal(
                HPKE_INFO,
                envelope.associated_data().as_bytes(),
                plaintext(identity).as_bytes(),
                &HpkePublicKey(public_key),
            )
            .map_err(|_| unusable())?;
        let payload = json!({
            "tenant": envelope.tenant,
            "order": envelope.order,
            "se": envelope.se,
            "applet": envelope.applet,
            "dgis": dgi_names(),
            "expires_s": envelope.expires_s,
            "public_key_sha256": sha256_hex(&identity.public_key),
            "enc": hex::encode_upper(&enc),
            "ciphertext": hex::encode_upper(&ciphertext),
        });
        Ok(self.signer.sign(&self.signer.header(TYP_PERSONALIZATION), &payload)?)
    }
}

/// What sealed key material is bound to.
struct Envelope<'a> {
    tenant: &'a str,
    order: &'a str,
    se: &'a str,
    applet: Aid,
    expires_s: i64,
}

impl Envelope<'_> {
    /// HPKE associated data: tenant, order, SE, applet, data groupings joined by commas, expiry, one a line.
    fn associated_data(&self) -> String {
        let Envelope { tenant, order, se, applet, expires_s } = self;
        let dgis = dgi_names().join(",");
        format!("{tenant}\n{order}\n{se}\n{applet}\n{dgis}\n{expires_s}")
    }
}

fn dgi_names() -> Vec<String> {
    DGIS.iter().map(|dgi| format!("{dgi:04X}")).collect()
}

/// The data groupings as a JSON object of hexadecimal strings; it holds the private key, so it is erased after use.
fn plaintext(identity: &IdentityKey) -> Zeroizing<String> {
    let groupings: Vec<Zeroizing<String>> = DGIS
        .iter()
        .filter_map(|dgi| identity.data_grouping(*dgi).map(|value| (dgi, value)))
        .map(|(dgi, value)| {
            Zeroizing::new(format!("\"{dgi:04X}\":\"{}\"", hex::encode_upper(value)))
        })
        .collect();
    let length = groupings.iter().map(|grouping| grouping.len() + 1).sum::<usize>() + 2;
    // Of its final size from the start: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(length));
    for grouping in &groupings {
        let separator = if text.is_empty() { '{' } else { ',' };
        text.push(separator);
        text.push_str(grouping);
    }
    text.push('}');
    text
}

fn judge(receipt: &str, key: &ReceiptKey, order: &Order, token: &str) -> Result<(), ReceiptError> {
    let public_key = hex::decode(&key.public_key).map_err(|_| JwsError::Key)?;
    let payload = jws::verify(receipt, TYP_RECEIPT, &key.kid, &public_key)?;
    let expected = BTreeMap::from([
        ("order", json!(order.id)),
        ("caller_id", json!(order.caller_id)),
        ("tenant", json!(order.tenant)),
        ("se", json!(order.se)),
        ("token_sha256", json!(sha256_hex(token.as_bytes()))),
    ]);
    for (member, expected) in expected {
        let found = payload[member].clone();
        if found != expected {
            return Err(ReceiptError::Differs { member, found, expected });
        }
    }
    let writes: Vec<Value> = payload["writes"].as_array().cloned().unwrap_or_default();
    let facts = |kind: &str, verdict: Option<&str>, attempts: u64| json!([kind, verdict, attempts]);
    let found: Vec<Value> = writes
        .iter()
        .map(|write| json!([write["kind"], write["verdict"], write["attempts"]]))
        .collect();
    let expected: Vec<Value> = order
        .writes
        .iter()
        .map(|write| facts(&write.kind, write.verdict.as_deref(), write.attempts.into()))
        .collect();
    if found != expected {
        let (found, expected) = (found.into(), expected.into());
        return Err(ReceiptError::Differs { member: "writes", found, expected });
    }
    let known_to_nobody = |write: &&Value| write["known_to"].as_array().is_none_or(Vec::is_empty);
    match writes.iter().find(known_to_nobody) {
        None => Ok(()),
        Some(write) => Err(ReceiptError::Differs {
            member: "known_to",
            found: write["known_to"].clone(),
            expected: json!("at least one party"),
        }),
    }
}

/// SHA-256 in upper-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode_upper(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn certificate_authority() -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "Sandbox user authentication authority");
    Ok(Issuer::new(params, KeyPair::generate()?))
}

#[cfg(test)]
mod tests {
    use rustls::crypto::hpke::HpkePrivateKey;

    use super::*;
    use crate::api::Write;

    fn identity() -> IdentityKey {
        IdentityKey::generate(&certificate_authority().unwrap(), "p-1", "1234".into()).unwrap()
    }

    fn envelope() -> Envelope<'static> {
        Envelope {
            tenant: "carrier-a",
            order: "o-1",
            se: "8981100000000000001",
            applet: "F04D41444F4755434849010102".parse().unwrap(),
            expires_s: 1_800_000_000,
        }
    }

    #[test]
    fn custody_alone_opens_what_was_sealed_and_only_for_this_order() {
        let (public, private): (HpkePublicKey, HpkePrivateKey) =
            DH_KEM_X25519_HKDF_SHA256_AES_256.generate_key_pair().unwrap();
        let identity = identity();
        let (enc, ciphertext) = DH_KEM_X25519_HKDF_SHA256_AES_256
            .seal(
                HPKE_INFO,
                envelope().associated_data().as_bytes(),
                plaintext(&identity).as_bytes(),
                &public,
            )
            .unwrap();
        let open = |aad: &str| {
            DH_KEM_X25519_HKDF_SHA256_AES_256
                .open(&enc, HPKE_INFO, aad.as_bytes(), &ciphertext, &private)
                .ok()
        };
        let opened: Value =
            serde_json::from_slice(&open(&envelope().associated_data()).unwrap()).unwrap();
        assert_eq!(opened["8010"], "31323334");
        assert_eq!(opened.as_object().unwrap().len(), DGIS.len());
        let other = Envelope { order: "o-2", ..envelope() };
        assert!(open(&other.associated_data()).is_none());
    }

    #[test]
    fn associated_data_is_one_item_a_line() {
        let expected = "carrier-a\no-1\n8981100000000000001\nF04D41444F4755434849010102\n\
                        8201,8202,8203,8204,8205,8010,0101,0102\n1800000000";
        assert_eq!(envelope().associated_data(), expected);
    }

    #[test]
    fn a_receipt_must_be_of_this_order_token_and_writes() {
        let gateway = Signer::generate("receipts").unwrap();
        let key = ReceiptKey {
            kid: "receipts".into(),
            public_key: hex::encode_upper(gateway.public_key()),
        };
        let write = Write {
            kind: "app_key".into(),
            attempts: 1,
            verdict: Some("Applied".into()),
            sd: "A000000151535001".into(),
            kvn: None,
            kcv: None,
            key_sha256: None,
        };
        let order = Order {
            id: "u-1".into(),
            caller_id: "o-1".into(),
            tenant: "carrier-a".into(),
            carrier: None,
            se: "898".into(),
            state: "Confirmed".into(),
            code: None,
            parked: None,
            writes: vec![write],
            enquiry_id: String::new(),
            receipt: None,
        };
        let payload = json!({
            "order": "u-1", "caller_id": "o-1", "tenant": "carrier-a", "se": "898",
            "token_sha256": sha256_hex(b"token"),
            "writes": [{"kind": "app_key", "verdict": "Applied", "attempts": 1,
                        "known_to": ["custody"]}],
        });
        let receipt =
            |payload: &Value| gateway.sign(&gateway.header(TYP_RECEIPT), payload).unwrap();
        judge(&receipt(&payload), &key, &order, "token").unwrap();
        judge(&receipt(&payload), &key, &order, "another token").unwrap_err();
        for (pointer, value) in [
            ("/order", json!("u-2")),
            ("/se", json!("899")),
            ("/writes/0/verdict", json!("NotApplied")),
            ("/writes/0/known_to", json!([])),
            ("/writes", json!([])),
        ] {
            let mut other = payload.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            judge(&receipt(&other), &key, &order, "token").unwrap_err();
        }
        let foreign = Signer::generate("receipts").unwrap();
        let forged = foreign.sign(&foreign.header(TYP_RECEIPT), &payload).unwrap();
        judge(&forged, &key, &order, "token").unwrap_err();
    }
}
