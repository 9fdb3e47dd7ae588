//! The published vectors: where `scp`'s own tests look for them, with their sources, and through the real binary.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::{files, madoguchi, root};

#[test]
fn every_vector_names_its_source() {
    let folder = root().join("tests/vectors");
    let vectors = files(&folder, &[".json"]);
    assert!(vectors.len() >= 5, "the vectors were copied");
    for path in vectors {
        let text = fs::read_to_string(&path).expect("a vector file");
        let entries: Vec<Value> = serde_json::from_str(&text).expect("a list");
        assert!(!entries.is_empty());
        for entry in entries {
            let source = &entry["source"];
            assert!(source["repo"].is_string() && source["license"].is_string(), "{}", entry["id"]);
        }
    }
}

/// `script wrap`: every published session is wrapped and unwrapped as the witness did, one line each, in order.
#[test]
fn script_wrap_answers_each_line_by_one_line_in_order() {
    let text =
        fs::read_to_string(root().join("tests/vectors/scp03_sessions.json")).expect("vectors");
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
    assert_eq!(replayed, sessions.len(), "S16 is among them");
    assert!(!lines[sessions.len()]["error"].is_null());
}

fn exchanges(session: &Value) -> Vec<Value> {
    session["exchanges"].as_array().cloned().unwrap_or_default()
}

fn request(session: &Value) -> Value {
    let exchanges = exchanges(session);
    let column = |name: &str| -> Vec<Value> {
        exchanges
            .iter()
            .map(|exchange| exchange[name].as_str().unwrap_or_default().into())
            .collect()
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
