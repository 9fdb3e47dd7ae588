//! Tokens that bring their certificates.

use authority::{Authority, Code, DenyKind};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

use crate::counter::{Desk, ISSUER, Key, authority as trusting, claims};

const PURPOSE: &[u64] = &[1, 3, 6, 1, 4, 1, 99999, 1];
const PURPOSE_TEXT: &str = "1.3.6.1.4.1.99999.1";
const LEAF_SERIAL: u64 = 7001;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root() -> Ca {
    CertifiedIssuer::self_signed(ca_params("Root"), KeyPair::generate().unwrap()).unwrap()
}

fn below(root: &Ca) -> Ca {
    CertifiedIssuer::signed_by(ca_params("Branch"), KeyPair::generate().unwrap(), root).unwrap()
}

fn revocation_list(ca: &Ca, revoked: &[u64], next_year: i32) -> String {
    let revoked_certs = revoked
        .iter()
        .map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        })
        .collect();
    CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(next_year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(ca)
    .unwrap()
    .pem()
    .unwrap()
}

/// A leaf that names the issuer and the purpose, as far as `alter` lets it.
fn leaf(ca: &Ca, alter: impl FnOnce(&mut CertificateParams)) -> (Key, Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI(ISSUER.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(PURPOSE.to_vec())];
    params.serial_number = Some(SerialNumber::from(LEAF_SERIAL));
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2028, 6, 1);
    alter(&mut params);
    let certificate = params.signed_by(&key, ca).unwrap();
    let signer =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
    (Key::Es256(signer), certificate)
}

fn trust(root: &Ca, lists: &str) -> Authority {
    trusting(json!({"x5c": {
        "root_pem": root.pem(), "crl_pem": lists, "eku_oid": PURPOSE_TEXT
    }}))
}

fn desk(authority: Authority, key: Key) -> Desk {
    let mut desk = Desk::with_key(key);
    desk.authority = authority;
    desk
}

fn token(desk: &Desk, chain: &[&Certificate]) -> String {
    token_over(desk, chain, &claims())
}

fn token_over(desk: &Desk, chain: &[&Certificate], claims: &Value) -> String {
    let x5c: Vec<_> = chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect();
    let header = json!({"typ": "counter-auth+jwt", "alg": "ES256", "x5c": x5c});
    desk.key.jws(&header.to_string(), &claims.to_string())
}

/// The code a leaf earns under a root that revoked nothing.
fn code_of_leaf(alter: impl FnOnce(&mut CertificateParams)) -> Option<Code> {
    let root = root();
    let (key, certificate) = leaf(&root, alter);
    let desk = desk(trust(&root, &revocation_list(&root, &[], 2030)), key);
    desk.code(&token(&desk, &[&certificate]))
}

#[test]
fn a_good_leaf_is_accepted() {
    assert_eq!(code_of_leaf(|_| ()), None);
}

#[test]
fn a_good_chain_is_accepted_and_the_authority_between_needs_no_purpose() {
    let root = root();
    let branch = below(&root);
    let (key, certificate) = leaf(&branch, |_| ());
    let lists = revocation_list(&root, &[], 2030) + &revocation_list(&branch, &[], 2030);
    let desk = desk(trust(&root, &lists), key);
    assert_eq!(desk.code(&token(&desk, &[&certificate, branch.as_ref()])), None);
    assert_eq!(desk.code(&token(&desk, &[&certificate])), Some(Code::T03), "a link is missing");
    assert_eq!(desk.code(&token(&desk, &[branch.as_ref(), &certificate])), Some(Code::T03));
}

#[test]
fn a_leaf_for_something_or_someone_else_is_t03() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, Other};
    for purposes in
        [vec![], vec![Any], vec![ClientAuth], vec![Other(vec![1, 3, 6, 1, 4, 1, 99998])]]
    {
        let code = code_of_leaf(|params| params.extended_key_usages = purposes.clone());
        assert_eq!(code, Some(Code::T03), "{purposes:?}");
    }
    let elsewhere = code_of_leaf(|params| {
        params.subject_alt_names = vec![SanType::URI("urn:jp:lgcode:131016".try_into().unwrap())];
    });
    assert_eq!(elsewhere, Some(Code::T03));
    let nameless = code_of_leaf(|params| params.subject_alt_names.clear());
    assert_eq!(nameless, Some(Code::T03));
    let authority = code_of_leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(authority, Some(Code::T03));
}

#[test]
fn a_leaf_outside_its_time_is_t03() {
    let expired = code_of_leaf(|params| params.not_after = date_time_ymd(2026, 7, 1));
    assert_eq!(expired, Some(Code::T03));
    let early = code_of_leaf(|params| params.not_before = date_time_ymd(2028, 1, 1));
    assert_eq!(early, Some(Code::T03));

    // Issued before the certificate was: dated back.
    let root = root();
    let (key, certificate) = leaf(&root, |_| ());
    let desk = desk(trust(&root, &revocation_list(&root, &[], 2030)), key);
    let mut claims = claims();
    claims["iat"] = json!(1_700_000_000);
    assert_eq!(desk.code(&token_over(&desk, &[&certificate], &claims)), Some(Code::T03));
}

#[test]
fn a_leaf_of_another_root_is_t03() {
    let (ours, theirs) = (root(), root());
    let (key, certificate) = leaf(&theirs, |_| ());
    let desk = desk(trust(&ours, &revocation_list(&ours, &[], 2030)), key);
    assert_eq!(desk.code(&token(&desk, &[&certificate])), Some(Code::T03));
    let with_root = token(&desk, &[&certificate, theirs.as_ref()]);
    assert_eq!(desk.code(&with_root), Some(Code::T03));
}

#[test]
fn another_key_than_the_leafs_is_t04() {
    let root = root();
    let (_, certificate) = leaf(&root, |_| ());
    let desk = desk(trust(&root, &revocation_list(&root, &[], 2030)), Key::es256());
    assert_eq!(desk.code(&token(&desk, &[&certificate])), Some(Code::T04));
}

#[test]
fn revoked_or_of_unknown_standing_is_t08() {
    let root = root();
    let (key, certificate) = leaf(&root, |_| ());
    let mut desk = desk(trust(&root, &revocation_list(&root, &[1, 2], 2030)), key);
    let token = token(&desk, &[&certificate]);
    assert_eq!(desk.code(&token), None);

    desk.authority = trust(&root, &revocation_list(&root, &[LEAF_SERIAL], 2030));
    assert_eq!(desk.code(&token), Some(Code::T08), "revoked");
    desk.authority = trust(&root, &revocation_list(&root, &[], 2027));
    assert_eq!(desk.code(&token), Some(Code::T08), "the list is out of date");
    let other = below(&root);
    desk.authority = trust(&root, &revocation_list(&other, &[], 2030));
    assert_eq!(desk.code(&token), Some(Code::T08), "no list speaks for it");

    desk.authority = trust(&root, &revocation_list(&root, &[], 2030));
    let leaf_sha256 = digest::digest(&digest::SHA256, certificate.der());
    desk.seen.denied.insert((DenyKind::Key, hex::encode_upper(leaf_sha256)));
    assert_eq!(desk.code(&token), Some(Code::T08), "on the deny list");
}

#[test]
fn a_revoked_authority_takes_its_leaves_with_it() {
    let root = root();
    let mut params = ca_params("Branch");
    params.serial_number = Some(SerialNumber::from(55_u64));
    let branch = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let (key, certificate) = leaf(&branch, |_| ());
    let lists = revocation_list(&root, &[55], 2030) + &revocation_list(&branch, &[], 2030);
    let desk = desk(trust(&root, &lists), key);
    assert_eq!(desk.code(&token(&desk, &[&certificate, branch.as_ref()])), Some(Code::T08));
}

#[test]
fn a_pinned_issuer_takes_no_certificates_and_the_other_way_round() {
    let root = root();
    let (key, certificate) = leaf(&root, |_| ());
    let pinned = Desk::with_key(key);
    assert_eq!(pinned.code(&token(&pinned, &[&certificate])), Some(Code::T03));
    let lists = revocation_list(&root, &[], 2030);
    let chained = desk(trust(&root, &lists), Key::es256());
    assert_eq!(chained.code(&chained.token()), Some(Code::T03));
}

#[test]
fn certificates_out_of_form_are_refused() {
    let root = root();
    let (key, certificate) = leaf(&root, |_| ());
    let desk = desk(trust(&root, &revocation_list(&root, &[], 2030)), key);
    let der = STANDARD.encode(certificate.der());
    for (x5c, expected) in [
        (json!([]), Code::T02),
        (json!([der, der, der, der, der]), Code::T02),
        (json!([1]), Code::T02),
        (json!(der), Code::T02),
        (json!(["not base64!"]), Code::T02),
        (json!(["AAAA"]), Code::T03),
        (json!([""]), Code::T03),
        (json!([&der[..der.len() - 4]]), Code::T03),
    ] {
        let header = json!({"typ": "counter-auth+jwt", "alg": "ES256", "x5c": x5c});
        let token = desk.key.jws(&header.to_string(), &claims().to_string());
        assert_eq!(desk.code(&token), Some(expected), "{x5c}");
    }
}
