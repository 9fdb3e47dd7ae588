//! The main job by the real binary: what it says is recomputed from what the SEs and TSMs recorded, with keys and signatures checked
//! by another library.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::{digest, signature};
use serde_json::Value;
use tests::{document, files, run};

/// One run serves every check of this file; the checks read what it left.
fn kept() -> (Value, PathBuf) {
    use std::sync::OnceLock;
    static RUN: OnceLock<(Value, PathBuf)> = OnceLock::new();
    RUN.get_or_init(|| {
        let keep = tempfile::tempdir().expect("a temporary folder").keep();
        let output = run(&["sandbox", "--once", "--json", "--keep", keep.to_str().expect("UTF-8")]);
        assert!(
            output.status.success(),
            "exit {:?}\n{}",
            output.status.code(),
            String::from_utf8_lossy(&output.stderr)
        );
        (document(&output), keep)
    })
    .clone()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is a string in {value}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is a list in {value}"))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
}

#[test]
fn every_order_is_confirmed_with_both_writes() {
    let (document, _) = kept();
    let orders = list(&document, "orders");
    let tenants: BTreeSet<&str> = orders.iter().map(|order| text(order, "tenant")).collect();
    assert_eq!(tenants, BTreeSet::from(["carrier-a", "carrier-b", "mvno"]));
    let carriers: BTreeSet<&str> = orders.iter().map(|order| text(order, "carrier")).collect();
    assert_eq!(carriers, BTreeSet::from(["carrier-a", "carrier-b"]));
    for order in orders {
        assert_eq!(text(order, "state"), "Confirmed");
        assert!(text(order, "se").bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let kinds: Vec<&str> = list(order, "writes").iter().map(|write| text(write, "kind")).collect();
        assert_eq!(kinds, ["sd_keyset", "app_key"]);
        for write in list(order, "writes") {
            assert_eq!(text(write, "verdict"), "Applied");
            assert_eq!(write["attempts"], 1);
        }
        let [key_set, app_key] = list(order, "writes") else { panic!("two writes") };
        assert_eq!(text(key_set, "kvn"), "31");
        assert!(is_hex(text(key_set, "kcv"), 18));
        assert!(is_hex(text(app_key, "key_sha256"), 64));
    }
}

#[test]
fn the_se_s_own_tables_say_the_same() {
    let (document, _) = kept();
    for order in list(&document, "orders") {
        let ledger = &document["ledger"][text(order, "se")];
        let [key_set, app_key] = list(order, "writes") else { panic!("two writes") };
        let ours: Vec<&Value> =
            list(ledger, "key_sets").iter().filter(|row| row["sd"] == key_set["sd"]).collect();
        let [only] = ours.as_slice() else { panic!("one key set of our domain, not {ours:?}") };
        assert_eq!((only["kvn"].clone(), only["kcv"].clone()), (key_set["kvn"].clone(), key_set["kcv"].clone()));
        let personalized: Vec<&Value> = list(ledger, "apps")
            .iter()
            .filter(|app| app["key_sha256"] == app_key["key_sha256"])
            .collect();
        let [app] = personalized.as_slice() else { panic!("one personalized applet") };
        assert_eq!(text(app, "life_cycle"), "0F");
    }
    for (tsm, counts) in document["tsm"].as_object().expect("tsm") {
        assert_eq!(counts["duplicates"], 0, "{tsm}");
        assert!(counts["key_write_scripts"].as_u64() >= Some(2), "{tsm}: {counts}");
    }
    assert!(is_hex(text(&document["audit"], "head"), 64));
}

#[test]
fn every_applet_signs_with_the_key_that_was_delivered() {
    let (document, _) = kept();
    let proofs = list(&document, "proof");
    assert_eq!(proofs.len(), list(&document, "orders").len());
    let mut challenges = BTreeSet::new();
    for proof in proofs {
        let pem = x509_parser::pem::parse_x509_pem(text(proof, "certificate").as_bytes()).expect("PEM").1;
        let certificate = pem.parse_x509().expect("X.509");
        let spki = certificate.public_key();
        let key = signature::UnparsedPublicKey::new(
            &signature::RSA_PKCS1_2048_8192_SHA256,
            &spki.subject_public_key.data,
        );
        let challenge = hex::decode(text(proof, "challenge")).expect("hex");
        let signed = hex::decode(text(proof, "signature")).expect("hex");
        key.verify(&challenge, &signed).expect("the signature is the delivered key's");
        let mut other = challenge.clone();
        other[0] ^= 1;
        key.verify(&other, &signed).expect_err("another challenge has another signature");
        assert!(challenges.insert(challenge), "every challenge is fresh");
        assert!(text(proof, "pin").bytes().all(|b| b.is_ascii_digit()));

        let order = list(&document, "orders").iter().find(|order| order["se"] == proof["se"]).expect("its order");
        let delivered = &list(order, "writes")[1]["key_sha256"];
        let digest = digest::digest(&digest::SHA256, spki.raw);
        assert_eq!(delivered, &hex::encode_upper(digest), "the receipt's key is the certificate's");
    }
}

#[test]
fn what_keep_leaves_is_what_the_document_counted() {
    let (document, keep) = kept();
    for folder in ["se", "tsm", "store", "receipts", "tokens", "pki"] {
        assert!(keep.join(folder).is_dir(), "{folder}/");
    }
    for order in list(&document, "orders") {
        let se = text(order, "se");
        assert!(keep.join("se").join(format!("{se}.se")).is_file());
        let lines = json_lines(&keep.join("se").join(format!("{se}.ledger.jsonl")));
        let key_writes = lines.iter().filter(|line| line["class"] == "key_write").count();
        let counted = &document["ledger"][se];
        assert_eq!(counted["received"].as_u64(), Some(lines.len() as u64));
        assert_eq!(counted["key_write"].as_u64(), Some(key_writes as u64));
    }
    for (tsm, counts) in document["tsm"].as_object().expect("tsm") {
        let lines = json_lines(&keep.join("tsm").join(format!("{tsm}.jsonl")));
        assert_eq!(counts["scripts"].as_u64(), Some(lines.len() as u64), "{tsm}");
    }
}

/// Secrets that exist in a run: whatever they are found in apart from the SEs' own files leaks them.
#[test]
fn no_secret_is_in_the_store_or_in_a_log() {
    let (document, keep) = kept();
    let mut canaries: Vec<Vec<u8>> = Vec::new();
    for proof in list(&document, "proof") {
        let pem = x509_parser::pem::parse_x509_pem(text(proof, "certificate").as_bytes()).expect("PEM").1;
        // The certificate travels encrypted with the rest: in clear it is personal data.
        canaries.push(pem.contents[..64].to_vec());
    }
    for key in files(&keep.join("se"), &[".keys"]) {
        let keys = fs::read_to_string(key).expect("keys in hexadecimal");
        canaries.extend(keys.split_whitespace().map(|key| hex::decode(key).expect("hex")));
    }
    assert!(canaries.len() > list(&document, "proof").len(), "the ISD keys are among the canaries");
    let suspects = files(&keep, &[".db", ".db-wal", ".log", ".jsonl", ".json", ".jws", ".toml"]);
    assert!(suspects.iter().any(|path| path.ends_with("store.db") || path.ends_with("custody.db")));
    for path in suspects {
        let bytes = fs::read(&path).expect("a kept file");
        for canary in &canaries {
            let lower = hex::encode(canary);
            let upper = hex::encode_upper(canary);
            for needle in [canary.as_slice(), lower.as_bytes(), upper.as_bytes()] {
                let found = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "a secret is in {}", path.display());
            }
        }
    }
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
