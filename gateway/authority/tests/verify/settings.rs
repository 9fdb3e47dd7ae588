//! Settings as an operator writes them.

use authority::{Authority, Trust};

use crate::counter::Key;

fn shipped(key: &Key) -> String {
    format!(
        r#"
audience = "urn:madoguchi:production"

[policy]
version = "2026-11"
methods = ["face_to_face"]
level_min = 3
calendars = ["day", "holiday"]
access_code_mode = "omitted_terminal_bound"
actions = {{ issue = ["municipal_counter"], pin_init = ["municipal_counter", "mobile_booth"] }}

[[issuers]]
id = "urn:jp:lgcode:102016"
class = "municipal_counter"
status = "active"
algorithms = ["ES256"]
keys = {{ pinned = [{{ kid = "k1", alg = "ES256", public_key = "{}", sandbox = true }}] }}
terminals = [{{ id = "term-1", certificate_sha256 = "{}", readers = ["reader-a"], sandbox = true }}]
clerks = [{{ id = "clerk-7" }}]
"#,
        key.public(),
        "a5".repeat(32)
    )
}

fn read(text: &str) -> Result<Authority, String> {
    let authority: Authority = toml::from_str(text).map_err(|error| error.to_string())?;
    authority.check().map_err(|error| error.to_string())?;
    Ok(authority)
}

#[test]
fn defaults_are_filled_in_and_rehearsal_marks_are_named() {
    let authority = read(&shipped(&Key::es256())).unwrap();
    assert_eq!((authority.skew_s, authority.lifetime_max_s), (60, 900));
    assert_eq!(
        authority.marked_sandbox(),
        ["key k1 of issuer urn:jp:lgcode:102016", "terminal term-1 of issuer urn:jp:lgcode:102016"]
    );
}

#[test]
fn a_public_key_may_be_pem() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let text = shipped(&Key::es256());
    let key = text.split("public_key = ").nth(1).unwrap().split('"').nth(1).unwrap();
    let pem = rcgen::PublicKeyData::subject_public_key_info(&pair);
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\\n{}\\n-----END PUBLIC KEY-----\\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem)
    );
    let authority = read(&text.replace(key, &pem)).unwrap();
    assert!(matches!(&authority.issuers[0].keys, Trust::Pinned(keys) if keys[0].kid == "k1"));
}

#[test]
fn what_cannot_stand_is_refused_with_its_place() {
    let text = shipped(&Key::es256());
    for (from, to, said) in [
        ("audience = ", "skew_s = 61\naudience = ", "skew_s"),
        ("audience = ", "lifetime_max_s = 0\naudience = ", "lifetime_max_s"),
        ("audience = ", "lifetime_max_s = 86401\naudience = ", "lifetime_max_s"),
        ("audience = ", "audiance = \"x\"\naudience = ", "audiance"),
        ("\"urn:madoguchi:production\"", "\"\"", "audience"),
        ("omitted_terminal_bound", "required", "access_code_key"),
        ("omitted_terminal_bound", "optional", "optional"),
        ("[\"ES256\"]", "[]", "algorithms"),
        ("[\"ES256\"]", "[\"RS256\"]", "RS256"),
        ("alg = \"ES256\"", "alg = \"Ed25519\"", "no key of this alg"),
        ("clerks = [", "clerks = [{ id = \"clerk-7\" }, ", "issuers[0].clerks[1]"),
        ("id = \"term-1\"", "id = \"\"", "issuers[0].terminals[0]"),
        ("certificate_sha256 = \"a5", "certificate_sha256 = \"zz", "SHA-256"),
        ("issue = [", "load = [", "load"),
        ("status = \"active\"", "status = \"active\"\naccess_code_key = \"00\"", "16 or 32"),
        ("readers = ", "reader = ", "reader"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = read(&text.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn a_general_key_purpose_is_refused() {
    for (oid, said) in [
        ("1.3.6.1.5.5.7.3.2", "general purpose"),
        ("1.3.6.1.5.5.7.3", "general purpose"),
        ("one.two", "object identifier"),
        ("", "object identifier"),
    ] {
        let error = serde_json::from_value::<authority::KeyPurpose>(oid.into()).unwrap_err();
        assert!(error.to_string().contains(said), "{oid}: {error}");
    }
    assert!(serde_json::from_value::<authority::KeyPurpose>("1.3.6.1.4.1.99999.1".into()).is_ok());
}

#[test]
fn roots_and_lists_must_be_what_they_say() {
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(serde_json::from_value::<authority::RootCertificates>(pem.into()).is_err());
        assert!(serde_json::from_value::<authority::RevocationLists>(pem.into()).is_err());
    }
}
