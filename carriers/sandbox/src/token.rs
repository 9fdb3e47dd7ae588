//! Counter tokens: what a terminal signs (RFC 7515, RFC 9396, RFC 7800), and every way in which one can be wrong.

use std::{fmt, sync::Arc};

use aws_lc_rs::cmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    jws::{self, JwsError, Signer},
    random,
};

/// `typ` of a counter token.
const TYP: &str = "counter-auth+jwt";
/// Life of a token.
const LIFETIME_S: i64 = 600;
/// Prefix of the access code's MAC input.
const ACCESS_CODE_LABEL: &[u8] = b"ctrauth-ac-v1";

/// What all terminals of a municipality share.
pub struct Municipality {
    /// Its URI, `iss`.
    pub id: String,
    /// The office.
    pub office: String,
    /// The clerk, a pairwise pseudonym.
    pub clerk: String,
    /// Its signing key.
    pub signer: Signer,
    /// Its access-code key, 16 bytes.
    pub access_code_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Municipality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Municipality").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A terminal: what it puts into every token it has signed.
#[derive(Debug, Clone)]
pub struct TokenDesk {
    /// Whose terminal it is.
    pub municipality: Arc<Municipality>,
    /// The terminal's id.
    pub terminal: String,
    /// Model of its reader.
    pub reader: String,
    /// SHA-256 of the terminal's client certificate.
    pub certificate_sha256: [u8; 32],
}

/// What differs from one token to the next.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The one object `open` answered.
    pub details: &'a Value,
    /// The gateway, `aud`.
    pub audience: &'a str,
    /// The code the applicant chose, if one is required.
    pub access_code: Option<&'a str>,
    /// The terminal's sequence number.
    pub seq: u64,
    /// Now, seconds since the Unix epoch.
    pub now_s: i64,
    /// How the token is to be wrong.
    pub defect: Option<Defect>,
}

/// A way in which a token can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// Its life ended an hour ago.
    Expired,
    /// It is meant for another gateway.
    Audience,
    /// It is signed with a key nobody pinned.
    ForeignKey,
    /// `alg` is `none` and there is no signature.
    AlgNone,
    /// Its header demands an extension nobody knows.
    UnknownCrit,
    /// It names another SE.
    OtherSe {
        /// That SE's ICCID.
        iccid: String,
    },
    /// It names another applet.
    OtherApplet,
    /// It names another Key Version Number.
    OtherKeyVersionNumber,
}

impl TokenDesk {
    /// Signs a token.
    ///
    /// # Errors
    /// [`JwsError`] if the signer fails, [`JwsError::Key`] for an access-code key that is none.
    pub fn sign(&self, request: &TokenRequest<'_>) -> Result<String, JwsError> {
        let claims = self.claims(request)?;
        let mut header = self.municipality.signer.header(TYP);
        match request.defect {
            Some(Defect::AlgNone) => {
                header["alg"] = json!("none");
                Ok(jws::unsigned(&header, &claims))
            }
            Some(Defect::UnknownCrit) => {
                header["crit"] = json!(["urn:sandbox:unknown"]);
                header["urn:sandbox:unknown"] = json!(true);
                self.municipality.signer.sign(&header, &claims)
            }
            Some(Defect::ForeignKey) => {
                let foreign = Signer::generate("sandbox-foreign")?;
                foreign.sign(&foreign.header(TYP), &claims)
            }
            Some(
                Defect::Expired
                | Defect::Audience
                | Defect::OtherSe { .. }
                | Defect::OtherApplet
                | Defect::OtherKeyVersionNumber,
            )
            | None => self.municipality.signer.sign(&header, &claims),
        }
    }

    fn claims(&self, request: &TokenRequest<'_>) -> Result<Value, JwsError> {
        let jti = URL_SAFE_NO_PAD.encode(random::bytes::<16>());
        let age_s = if request.defect == Some(Defect::Expired) { 3600 + LIFETIME_S } else { 0 };
        let issued_s = request.now_s - age_s;
        let audience = match request.defect {
            Some(Defect::Audience) => "another-gateway",
            _ => request.audience,
        };
        let mut claims = json!({
            "iss": self.municipality.id,
            "aud": audience,
            "sub": URL_SAFE_NO_PAD.encode(random::bytes::<16>()),
            "iat": issued_s,
            "nbf": issued_s,
            "exp": issued_s + LIFETIME_S,
            "jti": jti,
            "seq": request.seq,
            "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(self.certificate_sha256) },
            "ctr": {
                "office": self.municipality.office,
                "term": self.terminal,
                "reader": self.reader,
                "clerk": self.municipality.clerk,
                "method": "face_to_face",
                "level": 3,
                "cal": "day",
            },
            "authorization_details": [details(request)],
        });
        if let Some(code) = request.access_code {
            claims["ach"] = json!(self.access_code_hash(&jti, code)?);
        }
        Ok(claims)
    }

    /// AES-CMAC over label, `jti` and code, parted by zeros: a bare hash of a short code would be guessed.
    fn access_code_hash(&self, jti: &str, code: &str) -> Result<String, JwsError> {
        let key = cmac::Key::new(cmac::AES_128, &self.municipality.access_code_key)
            .map_err(|_| JwsError::Key)?;
        let input = [ACCESS_CODE_LABEL, jti.as_bytes(), code.as_bytes()].join(&0);
        let tag = cmac::sign(&key, &input).map_err(|_| JwsError::Sign)?;
        Ok(URL_SAFE_NO_PAD.encode(tag))
    }
}

fn details(request: &TokenRequest<'_>) -> Value {
    let mut details = request.details.clone();
    match &request.defect {
        Some(Defect::OtherSe { iccid }) => details["se"] = json!({ "iccid": iccid }),
        Some(Defect::OtherApplet) => details["applet"] = json!("F04D41444F475543484901FF"),
        Some(Defect::OtherKeyVersionNumber) => details["keyset"]["kvn"] = json!("7E"),
        Some(
            Defect::Expired
            | Defect::Audience
            | Defect::ForeignKey
            | Defect::AlgNone
            | Defect::UnknownCrit,
        )
        | None => {}
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> TokenDesk {
        let municipality = Municipality {
            id: "urn:jp:lgcode:102016".into(),
            office: "main".into(),
            clerk: "clerk-1".into(),
            signer: Signer::generate("counter-1").unwrap(),
            access_code_key: Zeroizing::new(vec![9; 16]),
        };
        TokenDesk {
            municipality: Arc::new(municipality),
            terminal: "term-1".into(),
            reader: "reader-1".into(),
            certificate_sha256: [7; 32],
        }
    }

    fn details() -> Value {
        json!({
            "type": "urn:sptsm:key-write:v1", "actions": ["issue"],
            "locations": ["tsm:carrier-a"], "se": {"iccid": "8981100000000000018"},
            "sd": "A000000151535001", "applet": "F04D41444F4755434849010102",
            "keyset": {"kvn": "31", "replaces": "30", "kids": ["01", "02", "03"], "alg": "AES-128"},
            "appkey": {"slot": "auth", "alg": "RSA-2048"}, "max_uses": 1,
        })
    }

    fn parts(token: &str) -> (Value, Value, usize) {
        let mut parts = token.split('.');
        let mut json = || {
            let part = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
            serde_json::from_slice::<Value>(&part).unwrap()
        };
        let (header, payload) = (json(), json());
        let signature = parts.next().unwrap().len();
        assert!(parts.next().is_none());
        (header, payload, signature)
    }

    fn signed(desk: &TokenDesk, defect: Option<Defect>) -> (Value, Value, usize) {
        let details = details();
        let request = TokenRequest {
            details: &details,
            audience: "madoguchi-sandbox",
            access_code: Some("4711"),
            seq: 5,
            now_s: 1_800_000_000,
            defect,
        };
        parts(&desk.sign(&request).unwrap())
    }

    #[test]
    fn a_sound_token_says_what_open_answered_and_for_whom() {
        let desk = desk();
        let (header, claims, signature) = signed(&desk, None);
        assert_eq!(header, json!({"typ": TYP, "alg": "ES256", "kid": "counter-1"}));
        assert_eq!(claims["authorization_details"], json!([details()]));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), LIFETIME_S);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
        assert_eq!(claims["cnf"]["x5t#S256"], URL_SAFE_NO_PAD.encode([7; 32]));
        // r and s of 32 bytes each.
        assert_eq!(signature, 86);
    }

    #[test]
    fn each_defect_is_the_only_difference() {
        let desk = desk();
        let (sound_header, sound, _) = signed(&desk, None);
        let differing = |defect| {
            let (header, claims, _) = signed(&desk, Some(defect));
            let mut names: Vec<String> = claims
                .as_object()
                .unwrap()
                .iter()
                .filter(|(name, value)| sound[name.as_str()] != **value)
                .map(|(name, _)| name.clone())
                .filter(|name| !["jti", "ach", "sub"].contains(&name.as_str()))
                .collect();
            if header != sound_header {
                names.push("header".into());
            }
            names
        };
        assert_eq!(differing(Defect::Expired), ["exp", "iat", "nbf"]);
        assert_eq!(differing(Defect::Audience), ["aud"]);
        assert_eq!(differing(Defect::ForeignKey), ["header"]);
        assert_eq!(differing(Defect::AlgNone), ["header"]);
        assert_eq!(differing(Defect::UnknownCrit), ["header"]);
        for defect in [
            Defect::OtherSe { iccid: "8981100000000000026".into() },
            Defect::OtherApplet,
            Defect::OtherKeyVersionNumber,
        ] {
            assert_eq!(differing(defect), ["authorization_details"]);
        }
    }

    #[test]
    fn the_access_code_is_bound_to_the_token() {
        let desk = desk();
        let hash = |jti: &str, code: &str| desk.access_code_hash(jti, code).unwrap();
        assert_eq!(hash("a", "4711"), hash("a", "4711"));
        assert_ne!(hash("a", "4711"), hash("b", "4711"));
        assert_ne!(hash("a", "4711"), hash("a", "4712"));
        assert!(!format!("{:?}", desk.municipality).contains('9'));
    }
}
