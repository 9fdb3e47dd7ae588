//! The main job by the real binary: what it says is recomputed from what the SEs and TSMs recorded, with keys and signatures checked
//! by another library.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::{digest, signature};
use serde_json::Value;
use tests::{document, files, holds_any, run, secrets};

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
        let kinds: Vec<&str> =
            list(order, "writes").iter().map(|write| text(write, "kind")).collect();
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
        assert_eq!(
            (only["kvn"].clone(), only["kcv"].clone()),
            (key_set["kvn"].clone(), key_set["kcv"].clone())
        );
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
        let pem =
            x509_parser::pem::parse_x509_pem(text(proof, "certificate").as_bytes()).expect("PEM").1;
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

        let order = list(&document, "orders")
            .iter()
            .find(|order| order["se"] == proof["se"])
            .expect("its order");
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

/// Secrets that exist in a run, taken from the SEs' own files: found anywhere else, they leaked.
#[test]
fn no_secret_is_in_the_store_or_in_a_log() {
    let (document, keep) = kept();
    let canaries = secrets(&keep.join("se"));
    let sets = 2 * list(&document, "orders").len();
    assert!(canaries.len() >= 3 * sets, "ISD keys and ours are among the canaries");
    let suspects =
        files(&keep, &[".db", ".db-wal", ".log", ".jsonl", ".json", ".jws", ".toml", ".cap"]);
    for expected in ["store.db", "custody.db", "gateway.log"] {
        assert!(suspects.iter().any(|path| path.ends_with(expected)), "{expected} is searched");
    }
    for path in suspects {
        let bytes = fs::read(&path).expect("a kept file");
        assert!(!holds_any(&bytes, &canaries), "a secret is in {}", path.display());
    }
}

/// Any host can look: the carrier's key set is gone from our domain, ours is there.
#[test]
fn the_first_key_set_opens_no_se_any_more() {
    let (document, keep) = kept();
    for order in list(&document, "orders") {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("copy.se");
        fs::copy(keep.join("se").join(format!("{}.se", text(order, "se"))), &file).expect("copied");
        let host = Host::of(&file);
        let sd = text(&list(order, "writes")[0], "sd");
        let select = format!("00A40400{:02X}{sd}", sd.len() / 2);
        assert!(host.transmit(&select).ends_with("9000"));
        assert_eq!(host.transmit("8050300008010203040506070800"), "6A88", "KVN 30 is gone");
        assert!(host.transmit("8050310008010203040506070800").ends_with("9000"), "KVN 31 answers");
    }
}

/// A host at `sandbox se serve`: a 2-byte length, then the APDU or its answer.
struct Host {
    card: std::process::Child,
    line: std::net::TcpStream,
}

impl Host {
    fn of(file: &Path) -> Host {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let card = std::process::Command::new(tests::madoguchi())
            .args(["sandbox", "se", "serve", "--listen", &address.to_string(), "--file"])
            .arg(file)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the virtual SE starts");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let line = loop {
            match std::net::TcpStream::connect(address) {
                Ok(line) => break line,
                Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        Host { card, line }
    }

    fn transmit(&self, apdu: &str) -> String {
        use std::io::{Read, Write};
        let apdu = hex::decode(apdu).expect("hex");
        let mut line = &self.line;
        line.write_all(&u16::try_from(apdu.len()).expect("short").to_be_bytes()).expect("sent");
        line.write_all(&apdu).expect("sent");
        let mut length = [0; 2];
        line.read_exact(&mut length).expect("a length");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        line.read_exact(&mut answer).expect("an answer");
        hex::encode_upper(answer)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.card.kill();
        let _ = self.card.wait();
    }
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}
