//! Key material of an order: signed by the service provider, sealed to custody, bound to this very order.
//!
//! # Security
//! Nothing here can open it. What is checked here is who signed it and that what was signed is this order; custody checks the rest when
//! it opens the seal, whose associated data are the same members again.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use scp::{Aid, ServiceProfile};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    code::Word, custody::Payload, digest::Digest, server::problem::Problem,
    settings::ServiceProvider,
};

/// `typ` of the signature's header: no other kind of JWS passes for one (RFC 8725 §3.11).
const TYPE: &str = "sp-personalization+jwt";
/// The only algorithm (RFC 7518 §3.4).
const ALGORITHM: &str = "ES256";
/// Longest compact form.
const LENGTH_MAX: usize = 48 * 1024;
/// ES256: r and s, 32 bytes each (RFC 7518 §3.4).
const SIGNATURE_LENGTH: usize = 64;

/// The members must be exactly these: an unknown `crit`, `jwk` or `x5u` is refused as an unknown member (RFC 7515 §4.1.11).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    tenant: String,
    order: String,
    se: String,
    applet: Aid,
    dgis: Vec<String>,
    expires_s: i64,
    public_key_sha256: Digest,
    enc: String,
    ciphertext: String,
}

/// What the personalization must be for.
pub(super) struct Expected<'a> {
    pub(super) tenant: &'a str,
    pub(super) caller_id: &'a str,
    pub(super) se: &'a str,
    pub(super) service: &'a ServiceProfile,
    pub(super) now_s: i64,
}

/// Verifies the signature and that what was signed is for this order.
pub(super) fn verify(
    compact: &str,
    providers: &[ServiceProvider],
    expected: &Expected<'_>,
) -> Result<Payload, Problem> {
    if compact.len() > LENGTH_MAX {
        return Err(refused("it is longer than the limit"));
    }
    let (signed, signature) = compact.rsplit_once('.').ok_or_else(no_jws)?;
    let (header, claims) = signed.split_once('.').ok_or_else(no_jws)?;
    let header: Header = part(header)?;
    if header.typ != TYPE || header.alg != ALGORITHM {
        return Err(refused("its header must say typ sp-personalization+jwt and alg ES256"));
    }
    let provider = providers
        .iter()
        .find(|provider| provider.kid == header.kid)
        .filter(|provider| provider.tenants.iter().any(|tenant| tenant == expected.tenant))
        .ok_or_else(|| refused("its kid names no service provider of this tenant"))?;
    check_signature(provider, signed, signature)?;
    check_claims(part(claims)?, expected)
}

fn check_signature(
    provider: &ServiceProvider,
    signed: &str,
    signature: &str,
) -> Result<(), Problem> {
    let point = BASE64URL.decode(&provider.public_key).map_err(|_| {
        Problem::internal(format!("public_key of {} is not base64url", provider.kid))
    })?;
    let signature = BASE64URL.decode(signature).map_err(|_| no_jws())?;
    if signature.len() != SIGNATURE_LENGTH {
        return Err(refused("its signature does not verify"));
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| refused("its signature does not verify"))
}

fn check_claims(claims: Claims, expected: &Expected<'_>) -> Result<Payload, Problem> {
    let differs = |member: &str| refused(&format!("its {member} is not this order's"));
    if claims.tenant != expected.tenant {
        return Err(differs("tenant"));
    }
    if claims.order != expected.caller_id {
        return Err(differs("order"));
    }
    if claims.se != expected.se {
        return Err(differs("se"));
    }
    if claims.applet != expected.service.applet {
        return Err(differs("applet"));
    }
    if claims.expires_s <= expected.now_s {
        return Err(refused("it has expired"));
    }
    let dgis = data_groupings(&claims.dgis, expected.service)?;
    Ok(Payload {
        tenant: claims.tenant,
        order: claims.order,
        se: claims.se,
        applet: claims.applet,
        dgis,
        expires_s: claims.expires_s,
        enc: hexadecimal("enc", &claims.enc)?,
        ciphertext: hexadecimal("ciphertext", &claims.ciphertext)?,
        public_key_sha256: claims.public_key_sha256,
        now_s: expected.now_s,
    })
}

/// The groupings named must be those of the service profile, each once; their order is the provider's.
fn data_groupings(texts: &[String], service: &ServiceProfile) -> Result<Vec<u16>, Problem> {
    let mut dgis = Vec::new();
    for text in texts
        .iter()
        .take(service.public_dgis.len().saturating_add(service.secret_dgis.len()).saturating_add(1))
    {
        let digits =
            text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
        let dgi = u16::from_str_radix(text, 16).ok().filter(|_| digits);
        dgis.push(
            dgi.ok_or_else(|| refused("its dgis are not each four upper-case hexadecimal digits"))?,
        );
    }
    let mut named = dgis.clone();
    let mut wanted: Vec<u16> =
        service.public_dgis.iter().chain(&service.secret_dgis).copied().collect();
    named.sort_unstable();
    wanted.sort_unstable();
    if named != wanted || dgis.len() != texts.len() {
        return Err(refused("its dgis are not those of the service profile"));
    }
    Ok(dgis)
}

fn hexadecimal(member: &str, text: &str) -> Result<Vec<u8>, Problem> {
    hex::decode(text).map_err(|_| refused(&format!("its {member} is not hexadecimal")))
}

fn part<T: DeserializeOwned>(part: &str) -> Result<T, Problem> {
    let bytes = BASE64URL.decode(part).map_err(|_| no_jws())?;
    // Not the parser's own words: they may quote a value.
    serde_json::from_slice(&bytes).map_err(|_| {
        refused("its header or payload has other members than documented, or one twice")
    })
}

fn no_jws() -> Problem {
    refused("it is no compact JWS in unpadded base64url")
}

fn refused(why: &str) -> Problem {
    Problem::new(Word::PersonalizationRefused, format!("/personalization: {why}"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
    };
    use serde_json::{Value, json};

    use super::*;

    struct Provider {
        key: EcdsaKeyPair,
        settings: ServiceProvider,
        service: ServiceProfile,
    }

    impl Provider {
        fn new() -> Provider {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let settings = ServiceProvider {
                kid: "sp-1".into(),
                public_key: BASE64URL.encode(key.public_key().as_ref()),
                tenants: vec!["carrier-a".into()],
                sandbox: false,
            };
            let service = toml::from_str(conf::shipped::SERVICES[0].text).unwrap();
            Provider { key, settings, service }
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let encode = |value: &Value| BASE64URL.encode(value.to_string());
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", BASE64URL.encode(signature))
        }

        fn verify(&self, compact: &str) -> Result<Payload, Problem> {
            let expected = Expected {
                tenant: "carrier-a",
                caller_id: "o-1",
                se: "8981100000000000018",
                service: &self.service,
                now_s: 1_000,
            };
            verify(compact, std::slice::from_ref(&self.settings), &expected)
        }
    }

    fn header() -> Value {
        json!({"typ": TYPE, "alg": ALGORITHM, "kid": "sp-1"})
    }

    fn claims() -> Value {
        json!({
            "tenant": "carrier-a", "order": "o-1", "se": "8981100000000000018",
            "applet": "F04D41444F4755434849010102",
            "dgis": ["8201", "8202", "8203", "8204", "8205", "8010", "0101", "0102"],
            "expires_s": 1_001, "public_key_sha256": "00".repeat(32), "enc": "0A", "ciphertext": "0B",
        })
    }

    #[test]
    fn a_signed_personalization_for_this_order_is_taken() {
        let provider = Provider::new();
        let payload = provider.verify(&provider.sign(&header(), &claims())).unwrap();
        assert_eq!((payload.enc, payload.ciphertext), (vec![0x0A], vec![0x0B]));
        assert_eq!(payload.dgis, [0x8201, 0x8202, 0x8203, 0x8204, 0x8205, 0x8010, 0x0101, 0x0102]);
    }

    #[test]
    fn every_other_member_or_value_is_refused() {
        let provider = Provider::new();
        let mutations: [(&str, Value); 11] = [
            ("tenant", json!("carrier-b")),
            ("order", json!("o-2")),
            ("se", json!("8981100000000000026")),
            ("applet", json!("F04D41444F4755434849010103")),
            ("dgis", json!(["8201"])),
            ("dgis", json!(["8201", "8202", "8203", "8204", "8205", "8010", "0101", "0101"])),
            ("dgis", json!(["8201", "8202", "8203", "8204", "8205", "8010", "0101", "+102"])),
            ("expires_s", json!(1_000)),
            ("enc", json!("0")),
            ("public_key_sha256", json!("00")),
            ("extra", json!(1)),
        ];
        for (member, value) in mutations {
            let mut claims = claims();
            claims[member] = value;
            assert!(provider.verify(&provider.sign(&header(), &claims)).is_err(), "{member}");
        }
        let mutations = [
            ("typ", json!("JWT")),
            ("alg", json!("none")),
            ("kid", json!("sp-2")),
            ("crit", json!(["exp"])),
        ];
        for (member, value) in mutations {
            let mut header = header();
            header[member] = value;
            assert!(provider.verify(&provider.sign(&header, &claims())).is_err(), "{member}");
        }
    }

    #[test]
    fn another_key_and_every_changed_byte_are_refused() {
        let provider = Provider::new();
        let foreign = Provider::new();
        assert!(provider.verify(&foreign.sign(&header(), &claims())).is_err());
        let compact = provider.sign(&header(), &claims());
        for index in 0..compact.len() {
            let mut changed = compact.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(provider.verify(&changed).is_err(), "byte {index}");
        }
        for length in 0..compact.len() {
            assert!(provider.verify(&compact[..length]).is_err(), "{length} bytes");
        }
    }
}
