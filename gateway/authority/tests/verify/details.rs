//! What is signed must be what was opened, to the last field.

use authority::{AuthorizationDetails, Code, SecureElementId};
use serde_json::{Value, json};

use crate::counter::{Desk, details, details_json};

/// Every way to change one thing in a JSON value.
fn mutations(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => vec![
            json!(format!("{text}0")),
            json!(""),
            json!(text.to_lowercase() + " "),
            json!([text]),
            Value::Null,
        ],
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            vec![json!(number + 1), json!(number as f64), json!(number.to_string()), Value::Null]
        }
        Value::Array(items) => {
            let mut all = vec![json!([]), Value::Null, json!({}), items[0].clone()];
            let mut longer = items.clone();
            longer.push(items[0].clone());
            all.push(Value::Array(longer));
            let mut reversed = items.clone();
            reversed.reverse();
            if reversed != *items {
                all.push(Value::Array(reversed));
            }
            for (index, item) in items.iter().enumerate() {
                for changed in mutations(item) {
                    let mut items = items.clone();
                    items[index] = changed;
                    all.push(Value::Array(items));
                }
            }
            all
        }
        Value::Object(members) => {
            let mut all = vec![json!([]), Value::Null, json!({})];
            let mut more = members.clone();
            more.insert("note".into(), Value::Null);
            all.push(Value::Object(more));
            for (name, member) in members {
                let mut fewer = members.clone();
                fewer.remove(name);
                all.push(Value::Object(fewer));
                for changed in mutations(member) {
                    let mut members = members.clone();
                    members.insert(name.clone(), changed);
                    all.push(Value::Object(members));
                }
            }
            all
        }
        Value::Bool(_) | Value::Null => Vec::new(),
    }
}

#[test]
fn every_mutation_of_what_is_signed_is_t11() {
    let desk = Desk::new();
    let all = mutations(&details_json());
    assert!(all.len() > 100, "only {} mutations", all.len());
    for signed in all {
        let token = desk.token_with(|claims| claims["authorization_details"] = json!([signed]));
        assert_eq!(desk.code(&token), Some(Code::T11), "{signed}");
    }
}

#[test]
fn every_mutation_of_what_was_opened_is_t11_too() {
    let desk = Desk::new();
    let token = desk.token();
    let mut tried = 0;
    for opened in mutations(&details_json()) {
        let Ok(opened) = serde_json::from_value::<AuthorizationDetails>(opened) else { continue };
        if opened == details() {
            continue;
        }
        tried += 1;
        let refusal = desk.present_for(Some(&token), &opened).unwrap_err();
        assert_eq!(refusal.code, Code::T11);
    }
    assert!(tried > 30, "only {tried} can be opened at all");
}

#[test]
fn the_refusal_names_the_field() {
    let desk = Desk::new();
    for (pointer, value, field) in [
        ("/se", json!({"iccid": "8981100000000000002"}), "se"),
        ("/se", json!({"seid": "8981100000000000001"}), "se"),
        ("/keyset/kvn", json!("32"), "keyset"),
        ("/applet", json!("D392F000260100000002"), "applet"),
        ("/actions", json!(["transfer"]), "actions"),
        ("/script", json!("00".repeat(32)), "script"),
    ] {
        let mut signed = details_json();
        *signed.pointer_mut(pointer).unwrap() = value;
        let token = desk.token_with(|claims| claims["authorization_details"] = json!([signed]));
        let refusal = desk.present(&token).unwrap_err();
        assert!(refusal.detail.starts_with(&format!("{field} ")), "{refusal}");
    }
}

#[test]
fn there_is_exactly_one_authorization() {
    let desk = Desk::new();
    for list in [json!([]), json!([details_json(), details_json()])] {
        let token = desk.token_with(|claims| claims["authorization_details"] = list);
        assert_eq!(desk.code(&token), Some(Code::T11));
    }
}

#[test]
fn what_is_out_of_form_cannot_be_authorized_even_when_it_was_opened() {
    let desk = Desk::new();
    type Alter = fn(&mut AuthorizationDetails);
    let alterations: [(&str, Alter); 15] = [
        ("actions", |d| d.actions.clear()),
        ("actions", |d| d.actions.push(authority::Action::Transfer)),
        ("locations", |d| d.locations.clear()),
        ("locations", |d| d.locations = vec!["tsm:a".into(); 9]),
        ("se", |d| d.se = SecureElementId::Iccid("12".into())),
        ("se", |d| d.se = SecureElementId::Seid("a b".into())),
        ("sd", |d| d.sd = "a000000151".into()),
        ("applet", |d| d.applet = "A0000001".into()),
        ("keyset", |d| d.keyset = None),
        ("keyset", |d| d.keyset.as_mut().unwrap().kvn = "00".into()),
        ("keyset", |d| d.keyset.as_mut().unwrap().kvn = "80".into()),
        ("keyset", |d| d.keyset.as_mut().unwrap().kids.clear()),
        ("appkey", |d| d.appkey = None),
        ("script", |d| d.script = Some("0F".into())),
        ("max_uses", |d| d.max_uses = 2),
    ];
    for (field, alter) in alterations {
        let mut opened = details();
        alter(&mut opened);
        assert_eq!(opened.check(), Err(field));
        let signed = serde_json::to_value(&opened).unwrap();
        let token = desk.token_with(|claims| claims["authorization_details"] = json!([signed]));
        let refusal = desk.present_for(Some(&token), &opened).unwrap_err();
        assert_eq!(refusal.code, Code::T11, "{field}");
    }
}

#[test]
fn the_object_survives_json_as_it_was_written() {
    assert_eq!(serde_json::to_value(details()).unwrap(), details_json());
    assert_eq!(details().check(), Ok(()));
}
