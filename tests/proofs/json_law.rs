//! The `--json` law: every verb prints exactly one JSON document, on one line, for done, empty, refused, unreachable and wrong usage
//! alike, ends with the documented exit code, and never panics. And every code has its explanation, in both directions.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::{document, madoguchi, root, run};

const DOCUMENTED: [i32; 11] = [0, 1, 2, 3, 4, 69, 70, 74, 75, 77, 78];

/// What a verb is asked, and how it has to end.
struct Case<'a> {
    arguments: Vec<&'a str>,
    stdin: &'a str,
    exit: i32,
}

fn case<'a>(line: &'a str, exit: i32) -> Case<'a> {
    Case { arguments: line.split(' ').filter(|word| !word.is_empty()).collect(), stdin: "", exit }
}

fn answer(case: &Case<'_>) -> Value {
    let mut child = Command::new(madoguchi())
        .args(&case.arguments)
        .arg("--json")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(case.stdin.as_bytes()).expect("stdin is taken");
    let output = child.wait_with_output().expect("it ends");
    let what = case.arguments.join(" ");
    let standard_error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!standard_error.contains("panicked"), "{what}: {standard_error}");
    let exit = output.status.code().expect("it ends by itself");
    assert!(DOCUMENTED.contains(&exit), "{what}: exit {exit}");
    let document = document(&output);
    assert_eq!(exit, case.exit, "{what}: {document}\n{standard_error}");
    if exit != 0 && document["error"].is_object() {
        for member in ["code", "message", "next"] {
            assert!(document["error"][member].is_string(), "{what}: {document}");
        }
    }
    document
}

/// Client arguments for a node that is not there.
fn nowhere(folder: &Path) -> String {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("its address").port()
    };
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])
        .and_then(|parameters| parameters.self_signed(&key))
        .expect("a certificate");
    let cert_file = folder.join("client.pem");
    let key_file = folder.join("client.key");
    fs::write(&cert_file, certificate.pem()).expect("written");
    fs::write(&key_file, key.serialize_pem()).expect("written");
    let (cert, key) = (cert_file.display(), key_file.display());
    format!("--server https://127.0.0.1:{port} --cert {cert} --key {key} --ca {cert}")
}

#[test]
fn every_verb_answers_one_document_whatever_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let node = nowhere(folder.path());
    let id = "01890000-0000-7000-8000-000000000000";
    fs::write(path("order.json"), "{}").expect("written");
    fs::write(path("no.cap"), "this is no CAP file").expect("written");
    fs::write(path("empty.jsonl"), "").expect("written");
    fs::write(path("broken.jsonl"), "{\"index\":1}\n").expect("written");
    fs::write(path("unknown.toml"), "[node]\nid = \"a\"\nnonsense = 1\n").expect("written");
    fs::write(path("no.se"), "this is no SE").expect("written");

    let lines = [
        // Done and empty.
        ("explain T09".into(), 0),
        ("explain 6A88".into(), 0),
        ("explain --list".into(), 0),
        ("script explain 00A40400 6A88".into(), 0),
        ("sandbox --list-scenarios".into(), 0),
        (format!("audit verify {}", path("empty.jsonl")), 0),
        // The answer is no, or the input is bad.
        ("explain NONSENSE".into(), 1),
        (format!("audit verify {}", path("broken.jsonl")), 1),
        (format!("cap inspect {}", path("no.cap")), 1),
        // Configuration.
        (format!("config check --config {}", path("unknown.toml")), 78),
        (format!("config show --config {}", path("unknown.toml")), 78),
        (format!("serve --config {}", path("unknown.toml")), 78),
        (format!("route explain --config {} --tenant a --iccid 8981100000000000018", path("unknown.toml")), 78),
        (format!("sandbox se serve --listen 127.0.0.1:0 --file {}", path("no.se")), 78),
        // Unreachable.
        (format!("order submit {} {node}", path("order.json")), 69),
        (format!("order show {id} {node}"), 69),
        (format!("order watch {id} {node}"), 69),
        (format!("order list {node}"), 69),
        (format!("enquiry show E123 {node}"), 69),
        // Wrong usage.
        (String::new(), 2),
        ("nonsense".into(), 2),
        ("order".into(), 2),
        ("order submit".into(), 2),
        ("order show".into(), 2),
        ("order watch".into(), 2),
        ("order list --limit many".into(), 2),
        ("route explain".into(), 2),
        ("script wrap --nonsense".into(), 2),
        ("script unwrap --nonsense".into(), 2),
        ("script explain".into(), 2),
        ("script explain XYZ".into(), 1),
        ("cap inspect".into(), 2),
        ("enquiry show".into(), 2),
        ("audit verify".into(), 2),
        ("config nonsense".into(), 2),
        ("explain".into(), 2),
        ("serve --nonsense".into(), 2),
        ("sandbox --nonsense".into(), 2),
        ("sandbox --once --scenario nonsense".into(), 2),
        ("sandbox se serve".into(), 2),
        ("sandbox counter token".into(), 2),
    ];
    for (line, exit) in &lines {
        answer(&case(line, *exit));
    }
    let left = fs::read_to_string(path("no.se")).expect("still there");
    assert_eq!(left, "this is no SE", "a file that is no SE is left as it was");
}

#[test]
fn every_code_has_its_explanation_in_both_languages() {
    let listed = document(&run(&["explain", "--list", "--json"]));
    let rows = listed.as_array().or(listed["codes"].as_array()).expect("a list of codes");
    let mut codes = BTreeSet::new();
    for row in rows {
        let code = row["code"].as_str().or(row["id"].as_str()).or(row.as_str()).expect("a code");
        assert!(codes.insert(code.to_owned()), "{code} is listed once");
        let explained = answer(&case(&format!("explain {code}"), 0));
        let text = explained.to_string();
        assert!(text.contains("\"ja\"") && text.contains("\"en\""), "{code}: {text}");
    }
    for code in ["T00", "T13", "S01", "S02", "S03", "R01", "unresolved", "not_found", "internal"] {
        assert!(codes.contains(code), "{code} is in the catalogue");
    }
}

/// `script wrap`: every published session is wrapped and unwrapped as the witness did, one line each, in order.
#[test]
fn script_wrap_answers_each_line_by_one_line_in_order() {
    let text = fs::read_to_string(root().join("tests/vectors/scp03_sessions.json")).expect("vectors");
    let sessions: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let mut input = String::new();
    for session in &sessions {
        input.push_str(&request(session).to_string());
        input.push('\n');
    }
    input.push_str("this is no JSON\n");
    let mut child = Command::new(madoguchi())
        .args(["script", "wrap", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("it ends");
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert_eq!(lines.len(), sessions.len() + 1);
    let mut replayed = 0;
    for (session, line) in sessions.iter().zip(&lines) {
        if session["mode"] == "S16" {
            assert!(!line["error"].is_null(), "S16 is refused by name");
            continue;
        }
        assert_eq!(line["session"]["s_mac"], session["derived"]["s_mac"], "{}", session["id"]);
        assert_eq!(line["ext_auth"], session["ext_auth_apdu"], "{}", session["id"]);
        for (index, exchange) in exchanges(session).iter().enumerate() {
            assert_eq!(line["wrapped"][index], exchange["wrapped_capdu"], "{}", session["id"]);
            if exchange["plain_rapdu"].is_string() {
                assert_eq!(line["unwrapped"][index], exchange["plain_rapdu"], "{}", session["id"]);
            }
        }
        replayed += 1;
    }
    assert!(replayed >= 9, "the real cards' sessions are among them");
    assert!(!lines[sessions.len()]["error"].is_null());
}

fn exchanges(session: &Value) -> Vec<Value> {
    session["exchanges"].as_array().cloned().unwrap_or_default()
}

fn request(session: &Value) -> Value {
    let exchanges = exchanges(session);
    let column = |name: &str| -> Vec<Value> {
        exchanges.iter().map(|exchange| exchange[name].as_str().unwrap_or_default().into()).collect()
    };
    serde_json::json!({
        "keys": session["keys"],
        "mode": session["mode"],
        "level": session["security_level"],
        "host_challenge": session["host_challenge"],
        "init_update_rsp": session["init_update_rsp"],
        "commands": column("plain_capdu"),
        "responses": column("wrapped_rapdu"),
    })
}
