//! A good token is accepted; each code has a token that earns it.

use authority::{AccessCodeMode, Calendar, Code, ConsumedRef, DenyKind, IssuerClass, IssuerStatus};
use serde_json::{Value, json};

use crate::counter::{CODE, Desk, ISSUER, JTI, Key, NOW_S, REQUEST, b64, details};

/// Alters the value at a JSON pointer.
fn set(pointer: &str, value: Value) -> impl FnOnce(&mut Value) {
    move |claims| *claims.pointer_mut(pointer).unwrap() = value
}

#[test]
fn a_good_token_is_accepted_and_told_in_full() {
    for key in [Key::es256(), Key::ed25519()] {
        let desk = Desk::with_key(key);
        let verified = desk.present(&desk.token()).unwrap();
        assert_eq!(verified.iss(), ISSUER);
        assert_eq!(verified.class(), IssuerClass::MunicipalCounter);
        assert_eq!((verified.term(), verified.reader()), ("term-1", "reader-a"));
        assert_eq!((verified.clerk(), verified.office()), ("clerk-7", "102016-01"));
        assert_eq!((verified.jti(), verified.seq()), (JTI, 42));
        assert_eq!(verified.exp_s(), NOW_S + 590);
        assert_eq!((verified.method(), verified.level()), ("face_to_face", 3));
        assert_eq!(verified.calendar(), Calendar::Day);
        assert_eq!(verified.access_code_mode(), AccessCodeMode::Required);
        assert_eq!(verified.policy_version(), "2026-11");
        assert_eq!(verified.details(), &details());
        assert_eq!(verified.txn(), Some("enq-1"));
        assert!(!verified.replay_of_same());
        assert!(!format!("{verified:?}").contains(verified.sub()));
    }
}

#[test]
fn t00_no_token() {
    let refusal = Desk::new().present_for(None, &details()).unwrap_err();
    assert_eq!(refusal.code, Code::T00);
}

#[test]
fn t01_claims_out_of_form() {
    let desk = Desk::new();
    for claim in ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "seq", "cnf", "ctr"] {
        let token = desk.token_with(|claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(desk.code(&token), Some(Code::T01), "{claim}");
    }
    let altered: [(&str, Value); 15] = [
        ("/aud", json!(["urn:madoguchi:production"])),
        ("/sub", json!("123456789012")),
        ("/sub", json!("")),
        ("/sub", json!("x".repeat(257))),
        ("/iss", json!("a\nb")),
        ("/iat", json!(1.5)),
        ("/exp", json!("1800000000")),
        ("/jti", json!("short")),
        ("/jti", json!("AbCdEfGhIjKlMnOpQrSt+/")),
        ("/seq", json!(-1)),
        ("/cnf", json!({"jkt": b64([0; 32])})),
        ("/cnf/x5t#S256", json!(b64([0; 31]))),
        ("/ctr/level", json!(256)),
        ("/authorization_details", json!({})),
        ("/txn", json!("")),
    ];
    for (pointer, value) in altered {
        let shown = value.to_string();
        let token = desk.token_with(set(pointer, value));
        assert_eq!(desk.code(&token), Some(Code::T01), "{pointer} {shown}");
    }
    for pointer in ["", "/cnf", "/ctr"] {
        let token = desk.token_with(|claims| {
            let object = claims.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            object.insert("name".into(), json!("x"));
        });
        assert_eq!(desk.code(&token), Some(Code::T01), "an unknown member in {pointer:?}");
    }
}

#[test]
fn t02_an_algorithm_the_issuer_does_not_use() {
    let mut desk = Desk::with_key(Key::ed25519());
    desk.authority.issuers[0].algorithms = vec![authority::Algorithm::Es256];
    assert_eq!(desk.code(&desk.token()), Some(Code::T02));
}

#[test]
fn t03_unknown_issuer_or_key() {
    let desk = Desk::new();
    let foreign = desk.token_with(set("/iss", json!("urn:jp:lgcode:131016")));
    assert_eq!(desk.code(&foreign), Some(Code::T03));
    let mut header = desk.header();
    header["kid"] = json!("k2");
    let token = desk.key.jws(&header.to_string(), &crate::counter::claims().to_string());
    assert_eq!(desk.code(&token), Some(Code::T03));
}

#[test]
fn t04_another_key_under_the_same_id() {
    let (desk, other) = (Desk::new(), Desk::new());
    assert_eq!(desk.code(&other.token()), Some(Code::T04));
}

#[test]
fn t05_suspended_issuer_or_another_audience() {
    let mut desk = Desk::new();
    let token = desk.token_with(set("/aud", json!("urn:madoguchi:staging")));
    assert_eq!(desk.code(&token), Some(Code::T05));
    desk.authority.issuers[0].status = IssuerStatus::Suspended;
    assert_eq!(desk.code(&desk.token()), Some(Code::T05));
}

#[test]
fn t06_time_at_its_edges() {
    let mut desk = Desk::new();
    let token = desk.token();
    for (now_s, expected) in [
        (NOW_S - 71, Some(Code::T06)),
        (NOW_S - 70, None),
        (NOW_S + 649, None),
        (NOW_S + 650, Some(Code::T06)),
        (i64::MIN, Some(Code::T06)),
        (i64::MAX, Some(Code::T06)),
    ] {
        desk.now_s = now_s;
        assert_eq!(desk.code(&token), expected, "{now_s}");
    }
    desk.now_s = NOW_S;
    for (nbf_s, exp_s, expected) in [
        (NOW_S, NOW_S + 900, None),
        (NOW_S, NOW_S + 901, Some(Code::T06)),
        (NOW_S, NOW_S, Some(Code::T06)),
        (NOW_S + 30, NOW_S + 20, Some(Code::T06)),
        (i64::MIN, i64::MAX, Some(Code::T06)),
        (-1, NOW_S + 10, Some(Code::T06)),
    ] {
        let token = desk.token_with(|claims| {
            claims["nbf"] = json!(nbf_s);
            claims["exp"] = json!(exp_s);
        });
        assert_eq!(desk.code(&token), expected, "{nbf_s} {exp_s}");
    }
    let future = desk.token_with(set("/iat", json!(NOW_S + 61)));
    assert_eq!(desk.code(&future), Some(Code::T06));
}

#[test]
fn t07_another_client_certificate() {
    let mut desk = Desk::new();
    let token = desk.token();
    desk.peer = [0xA6; 32];
    assert_eq!(desk.code(&token), Some(Code::T07));
    // Bound to the certificate it came with, which is not the one registered for the terminal.
    let token = desk.token_with(set("/cnf/x5t#S256", json!(b64([0xA6; 32]))));
    assert_eq!(desk.code(&token), Some(Code::T07));
}

#[test]
fn t08_revoked_or_not_registered() {
    let mut desk = Desk::new();
    for (pointer, value) in
        [("/ctr/term", "term-9"), ("/ctr/clerk", "clerk-8"), ("/ctr/clerk", "clerk-9")]
    {
        let token = desk.token_with(set(pointer, json!(value)));
        assert_eq!(desk.code(&token), Some(Code::T08), "{value}");
    }
    let listed = desk.token_with(|claims| claims["status"] = json!({"status_list": {"idx": 1}}));
    assert_eq!(desk.code(&listed), Some(Code::T08));
    for (kind, id) in [
        (DenyKind::Issuer, ISSUER),
        (DenyKind::Key, "k1"),
        (DenyKind::Terminal, "term-1"),
        (DenyKind::Clerk, "clerk-7"),
        (DenyKind::Token, JTI),
    ] {
        desk.seen.denied.insert((kind, id.to_owned()));
        assert_eq!(desk.code(&desk.token()), Some(Code::T08), "{kind:?}");
        desk.seen.denied.clear();
    }
    desk.peer = [0xB6; 32];
    let revoked = desk.token_with(|claims| {
        claims["ctr"]["term"] = json!("term-2");
        claims["cnf"]["x5t#S256"] = json!(b64([0xB6; 32]));
    });
    assert_eq!(desk.code(&revoked), Some(Code::T08));
}

#[test]
fn t09_used_before_unless_by_the_same_request() {
    let mut desk = Desk::new();
    let token = desk.token();
    let token_sha256 = *desk.present(&token).unwrap().token_sha256();
    desk.seen.high_water.insert((ISSUER.into(), "term-1".into()), 42);
    let mut consumed = |token_sha256, request_sha256| {
        desk.seen.consumed.insert(JTI.into(), ConsumedRef { token_sha256, request_sha256 });
        desk.present(&token)
    };
    assert!(consumed(token_sha256, REQUEST).unwrap().replay_of_same());
    assert_eq!(consumed(token_sha256, [0; 32]).unwrap_err().code, Code::T09);
    assert_eq!(consumed([0; 32], REQUEST).unwrap_err().code, Code::T09);
}

#[test]
fn t10_not_newer_than_the_last() {
    let mut desk = Desk::new();
    for (high_water, expected) in [(41, None), (42, Some(Code::T10)), (u64::MAX, Some(Code::T10))] {
        desk.seen.high_water.insert((ISSUER.into(), "term-1".into()), high_water);
        assert_eq!(desk.code(&desk.token()), expected, "{high_water}");
    }
    desk.seen.high_water.clear();
    desk.seen.high_water.insert((ISSUER.into(), "term-2".into()), 99);
    assert_eq!(desk.code(&desk.token()), None, "each terminal counts for itself");
}

#[test]
fn t12_three_wrong_access_codes_spend_the_token() {
    let mut desk = Desk::new();
    let token = desk.token();
    desk.presented_code = Some("000000");
    for failures in 0..3 {
        desk.seen.failures.insert(JTI.into(), failures);
        let refusal = desk.present(&token).unwrap_err();
        assert_eq!(refusal.code, Code::T12);
        assert_eq!(refusal.burns_token, failures == 2);
        let wrong = refusal.wrong_access_code.unwrap();
        assert_eq!((wrong.jti.as_str(), wrong.seq, wrong.failures), (JTI, 42, failures + 1));
        assert_eq!((wrong.iss.as_str(), wrong.term.as_str()), (ISSUER, "term-1"));
    }
    desk.presented_code = Some(CODE);
    assert_eq!(desk.code(&token), None, "the third try may still be right");
    desk.seen.failures.insert(JTI.into(), 3);
    assert_eq!(desk.code(&token), Some(Code::T12), "there is no fourth");
}

#[test]
fn t12_a_missing_code_costs_no_try() {
    let mut desk = Desk::new();
    let token = desk.token();
    desk.presented_code = None;
    let refusal = desk.present(&token).unwrap_err();
    assert_eq!((refusal.code, refusal.wrong_access_code), (Code::T12, None));
    let bare = desk.token_with(|claims| {
        claims.as_object_mut().unwrap().remove("ach");
    });
    for mode in [AccessCodeMode::OmittedTerminalBound, AccessCodeMode::OmittedEmbeddedAuth] {
        desk.authority.policy.access_code_mode = AccessCodeMode::Required;
        assert_eq!(desk.code(&bare), Some(Code::T12));
        desk.authority.policy.access_code_mode = mode;
        assert_eq!(desk.present(&bare).unwrap().access_code_mode(), mode);
        assert_eq!(desk.code(&token), Some(Code::T12), "a token with a hash needs its code");
    }
    desk.presented_code = Some(CODE);
    assert_eq!(desk.code(&bare), Some(Code::T12), "a code without a hash proves nothing");
}

#[test]
fn t13_what_policy_does_not_accept() {
    let mut desk = Desk::new();
    for (pointer, value) in [
        ("/ctr/method", json!("online")),
        ("/ctr/level", json!(2)),
        ("/ctr/cal", json!("holiday")),
        ("/ctr/cal", json!("sunday")),
        ("/ctr/reader", json!("reader-b")),
    ] {
        let token = desk.token_with(set(pointer, value));
        assert_eq!(desk.code(&token), Some(Code::T13), "{pointer}");
    }
    desk.seen.denied.insert((DenyKind::SecureElement, "8981100000000000001".into()));
    assert_eq!(desk.code(&desk.token()), Some(Code::T13));
    desk.seen.denied.clear();

    desk.authority.issuers[0].class = IssuerClass::MobileBooth;
    assert_eq!(desk.code(&desk.token()), Some(Code::T13));
    desk.authority.issuers[0].class = IssuerClass::MunicipalCounter;
    let mut reissue = details();
    reissue.actions = vec![authority::Action::Reissue];
    let token = desk.token_with(set("/authorization_details/0/actions", json!(["reissue"])));
    let refusal = desk.present_for(Some(&token), &reissue).unwrap_err();
    assert_eq!(refusal.code, Code::T13, "an action the policy does not name");
}

#[test]
fn the_first_failure_is_the_answer() {
    let mut desk = Desk::new();
    let token = desk.token_with(|claims| {
        claims["aud"] = json!("urn:other");
        claims["exp"] = json!(1);
        claims["ctr"]["term"] = json!("term-9");
        claims["authorization_details"] = json!([]);
        claims["ctr"]["level"] = json!(0);
    });
    desk.presented_code = Some("0");
    assert_eq!(desk.code(&token), Some(Code::T05));
    desk.authority.audience = "urn:other".into();
    assert_eq!(desk.code(&token), Some(Code::T06));
}

#[test]
fn a_refusal_repeats_nothing_out_of_the_token() {
    let desk = Desk::new();
    let canary = "C4N4RY";
    for pointer in ["/iss", "/aud", "/ctr/term", "/ctr/method", "/ctr/cal", "/txn", "/jti"] {
        let token = desk.token_with(set(pointer, json!(canary)));
        if let Err(refusal) = desk.present(&token) {
            assert!(!format!("{refusal} {:?}", refusal.detail).contains(canary), "{pointer}");
        }
    }
}
