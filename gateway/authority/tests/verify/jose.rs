//! Tokens no counter would sign: confusion, injection, damage.

use authority::{Code, TOKEN_BYTES_MOST};
use serde_json::{Value, json};

use crate::counter::{Desk, Key, b64, claims};

fn header_with(desk: &Desk, alter: impl FnOnce(&mut Value)) -> String {
    let mut header = desk.header();
    alter(&mut header);
    desk.key.jws(&header.to_string(), &claims().to_string())
}

#[test]
fn a_header_that_asks_for_anything_else_is_t02() {
    let desk = Desk::new();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("PS256")),
        ("alg", json!("ES384")),
        ("alg", json!("EdDSA")),
        ("alg", json!("es256")),
        ("alg", json!(["ES256"])),
        ("alg", Value::Null),
        ("typ", json!("JWT")),
        ("typ", json!("application/counter-auth+jwt")),
        ("typ", json!("Counter-Auth+JWT")),
        ("typ", json!("sp-revoke+jwt")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("jku", json!("https://example.com/keys")),
        ("x5u", json!("https://example.com/chain")),
        ("jwk", json!({"kty": "EC"})),
        ("x5t", json!("AAAA")),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("x5c", json!(["AAAA"])),
        ("kid", json!(1)),
        ("kid", Value::Null),
    ] {
        let shown = format!("{name} {value}");
        let token = header_with(&desk, |header| header[name] = value);
        assert_eq!(desk.code(&token), Some(Code::T02), "{shown}");
    }
    for name in ["typ", "alg", "kid"] {
        let token = header_with(&desk, |header| {
            header.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(desk.code(&token), Some(Code::T02), "without {name}");
    }
    for header in ["[]", "\"ES256\"", "null", "1"] {
        let token = desk.key.jws(header, &claims().to_string());
        assert_eq!(desk.code(&token), Some(Code::T02), "{header}");
    }
}

#[test]
fn alg_none_without_a_signature_is_t02() {
    let desk = Desk::new();
    let header = json!({"typ": "counter-auth+jwt", "alg": "none", "kid": "k1"});
    let token = format!("{}.{}.", b64(header.to_string()), b64(claims().to_string()));
    assert_eq!(desk.code(&token), Some(Code::T02));
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    let desk = Desk::new();
    let token = header_with(&desk, |header| header["alg"] = json!("Ed25519"));
    assert_eq!(desk.code(&token), Some(Code::T03));
}

#[test]
fn a_member_named_twice_is_t01() {
    let desk = Desk::new();
    let (header, claims) = (desk.header().to_string(), claims().to_string());
    let twice = |text: &str, extra: &str| format!("{},{extra}}}", &text[..text.len() - 1]);
    for (header, claims) in [
        (twice(&header, r#""alg":"ES256""#), claims.clone()),
        (header.clone(), twice(&claims, r#""seq":42"#)),
        (header.clone(), twice(&claims, r#""\u0073eq":43"#)),
        (header.clone(), claims.replace(r#""level":3"#, r#""level":1,"level":3"#)),
        (header.clone(), claims.replace(r#""max_uses":1"#, r#""max_uses":1,"max_uses":1"#)),
    ] {
        assert_eq!(desk.code(&desk.key.jws(&header, &claims)), Some(Code::T01));
    }
}

#[test]
fn another_shape_is_t01() {
    let desk = Desk::new();
    let token = desk.token();
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { unreachable!() };
    for shape in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{payload}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!(".{token}"),
        format!("{token}="),
        format!("{header}=.{payload}.{signature}"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "/",
        json!({"payload": payload, "signatures": []}).to_string(),
        "a".repeat(TOKEN_BYTES_MOST + 1),
        "窓口".into(),
    ] {
        assert_eq!(desk.code(&shape), Some(Code::T01), "{shape}");
    }
    assert_eq!(desk.code(&format!("{token}{}", " ".repeat(TOKEN_BYTES_MOST))), Some(Code::T01));
}

#[test]
fn a_signature_of_another_form_is_t04() {
    let desk = Desk::new();
    let token = desk.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    for signature in ["", "AA", &signature[..84], &format!("{signature}AAAA"), &b64([0; 64])] {
        assert_eq!(desk.code(&format!("{input}.{signature}")), Some(Code::T04), "{signature}");
    }
    assert_eq!(desk.code(&format!("{input}.{}", b64([0xFF; 64]))), Some(Code::T04));
}

#[test]
fn every_truncation_is_refused() {
    for key in [Key::es256(), Key::ed25519()] {
        let desk = Desk::with_key(key);
        let token = desk.token();
        for end in 0..token.len() {
            assert!(desk.present(&token[..end]).is_err(), "cut at {end}");
            assert!(desk.present(&token[end + 1..]).is_err(), "from {}", end + 1);
        }
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for key in [Key::es256(), Key::ed25519()] {
        let desk = Desk::with_key(key);
        let token = desk.token();
        assert_eq!(desk.code(&token), None);
        for index in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[index] ^= 1 << bit;
                let flipped = String::from_utf8(bytes).unwrap();
                assert!(desk.present(&flipped).is_err(), "bit {bit} of byte {index}");
            }
        }
    }
}
