//! The law of `--json`: whatever happens, exactly one JSON document on one line of stdout, and the exit code the catalogue names.

mod support;

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use gateway::code::Code;
use serde_json::Value;
use support::{Desk, MADOGUCHI, OWN};

/// One command and how it must end.
struct Case {
    arguments: Vec<String>,
    stdin: &'static str,
    exit: i32,
}

fn case(exit: i32, arguments: &[&str]) -> Case {
    Case { arguments: arguments.iter().map(|it| (*it).to_owned()).collect(), stdin: "", exit }
}

impl Case {
    fn and(mut self, more: &[String]) -> Case {
        self.arguments.extend_from_slice(more);
        self
    }

    fn stdin(self, stdin: &'static str) -> Case {
        Case { stdin, ..self }
    }

    fn run(&self) -> Output {
        let mut child = Command::new(MADOGUCHI)
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn holds(&self) -> Value {
        let mut with_json = Case { arguments: self.arguments.clone(), ..*self };
        with_json.arguments.push("--json".to_owned());
        let output = with_json.run();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        let said = || format!("{:?}\n{stdout}\n{stderr}", with_json.arguments);
        assert_eq!(output.status.code(), Some(self.exit), "{}", said());
        assert_eq!(stdout.lines().count(), 1, "{}", said());
        let document: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{}", said()));
        assert!(document.is_object(), "{}", said());
        // `script wrap` answers a line that cannot be answered with a sentence.
        if let Some(error) = document.get("error").filter(|error| error.is_object()) {
            let code =
                Code::find(error["code"].as_str().unwrap()).unwrap_or_else(|| panic!("{}", said()));
            assert_eq!(i32::from(code.entry().exit), self.exit, "{}", said());
            assert!(error["message"].is_string() && error["next"].is_string(), "{}", said());
        }
        document
    }
}

#[test]
fn every_verb_in_every_outcome_answers_one_document() {
    let mut desk = Desk::start();
    let (own, foreign) = (desk.own_order.to_string(), desk.foreign_order.to_string());
    let (sp, enquiry, unknown) = (
        desk.client_arguments("sp"),
        desk.client_arguments("enquiry"),
        desk.client_arguments("unknown"),
    );
    let mut nowhere = sp.clone();
    nowhere[1] = "https://127.0.0.1:1".to_owned();
    let file = |name: &str, text: &str| {
        std::fs::write(desk.path(name), text).unwrap();
        desk.path(name).display().to_string()
    };
    let config = desk.path("node.toml").display().to_string();
    let bad_config = file("bad.toml", "[server]\nlistne = \"x\"\n");
    let sandbox_config = file(
        "sandbox.toml",
        &format!("sandbox = true\n{}", std::fs::read_to_string(&config).unwrap()),
    );
    let not_a_cap = file("not.cap", "no zip");
    let not_an_order = file("order.json", "{}");
    let (no_trail, bad_trail) = (file("empty.jsonl", ""), file("bad.jsonl", "{}\n"));
    let data = desk.path("data").display().to_string();
    let iccid = "8981100000000000018";

    let cases = [
        // Usage, before any verb is found and in each.
        case(2, &[]),
        case(2, &["nothing"]),
        case(2, &["order", "show"]),
        case(2, &["order", "list", "--limit", "many"]).and(&sp),
        case(2, &["route", "explain", "--tenant", "carrier-a"]),
        case(
            2,
            &["route", "explain", "--config", &config, "--tenant", "carrier-a", "--iccid", "12"],
        ),
        case(2, &["cap", "inspect"]),
        case(2, &["explain"]),
        case(2, &["script", "explain"]),
        case(2, &["audit", "verify"]),
        case(2, &["enquiry", "show"]),
        case(2, &["config", "check", "--unknown"]),
        case(2, &["serve", "surplus"]),
        case(0, &["--help"]),
        case(0, &["order", "--help"]),
        case(0, &["--version"]),
        // Offline verbs.
        case(0, &["explain", "T09"]),
        case(0, &["explain", "--list"]),
        case(1, &["explain", "T99"]),
        case(0, &["script", "explain", "80CA00E000", "6A88"]),
        case(1, &["script", "explain", "zz"]),
        case(1, &["cap", "inspect", &not_a_cap]),
        case(1, &["cap", "inspect", "/nonexistent"]),
        case(0, &["audit", "verify", &no_trail]),
        case(0, &["audit", "verify", &data]),
        case(1, &["audit", "verify", &bad_trail]),
        case(1, &["audit", "verify", "/nonexistent"]),
        case(0, &["config", "check", "--config", &config]),
        case(0, &["config", "show", "--config", &config]),
        case(78, &["config", "check"]),
        case(78, &["config", "check", "--config", &bad_config]),
        case(78, &["config", "show", "--config", "/nonexistent"]),
        case(78, &["config", "check", "--config", &sandbox_config]),
        case(
            0,
            &["route", "explain", "--config", &config, "--tenant", "carrier-a", "--iccid", iccid],
        ),
        case(1, &["route", "explain", "--config", &config, "--tenant", "other", "--iccid", iccid]),
        case(
            78,
            &["route", "explain", "--config", &bad_config, "--tenant", "other", "--iccid", iccid],
        ),
        case(78, &["serve", "--config", &bad_config]),
        case(78, &["serve", "--config", &sandbox_config]),
        case(75, &["serve", "--config", &config]),
        // A line for each line.
        case(0, &["script", "wrap"]).stdin("{}\n"),
        case(0, &["script", "unwrap"]).stdin("not json\n"),
        // Verbs that ask a node.
        case(0, &["order", "show", &own]).and(&sp),
        case(1, &["order", "show", &foreign]).and(&sp),
        case(77, &["order", "show", &own]).and(&unknown),
        case(69, &["order", "show", &own]).and(&nowhere),
        case(0, &["order", "list"]).and(&sp),
        case(0, &["order", "list", "--state", "Parked"]).and(&sp),
        case(1, &["order", "list", "--tenant", "other"]).and(&sp),
        case(77, &["order", "list"]).and(&enquiry),
        case(69, &["order", "list"]).and(&nowhere),
        case(4, &["order", "watch", &own, "--timeout-s", "1"]).and(&sp),
        case(1, &["order", "watch", &foreign]).and(&sp),
        case(69, &["order", "watch", &own]).and(&nowhere),
        case(2, &["order", "submit", &not_an_order]).and(&sp),
        case(1, &["order", "submit", "/nonexistent"]).and(&sp),
        case(77, &["order", "submit", &not_an_order]).and(&enquiry),
        case(69, &["order", "submit", &not_an_order]).and(&nowhere),
        case(0, &["enquiry", "show", OWN]).and(&enquiry),
        case(1, &["enquiry", "show", "NOBODY"]).and(&enquiry),
        case(69, &["enquiry", "show", OWN]).and(&nowhere),
    ];
    for case in cases {
        case.holds();
    }
    let show = case(0, &["config", "show", "--config", &config]).holds();
    let listed: Vec<&str> = show["settings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|setting| setting["key"].as_str())
        .collect();
    assert!(listed.contains(&"node.id") && listed.contains(&"engine.attempts_max"), "{listed:?}");
    desk.signal("-TERM");
    assert_eq!(desk.wait(), Some(0));
}

#[cfg(feature = "sandbox")]
#[test]
fn the_sandbox_keeps_the_law_too() {
    let dir = tempfile::tempdir().unwrap();
    let not_an_se = dir.path().join("file.se");
    std::fs::write(&not_an_se, "something else").unwrap();
    let path = not_an_se.display().to_string();
    let cases = [
        case(0, &["sandbox", "--list-scenarios"]),
        case(2, &["sandbox", "--scenario", "no-token"]),
        case(2, &["sandbox", "--once", "--scenario", "no-such"]),
        case(2, &["sandbox", "se", "serve"]),
        case(2, &["sandbox", "se", "serve", "--listen", "127.0.0.1:0", "--keys", "00"]),
        case(2, &["sandbox", "se", "serve", "--listen", "127.0.0.1:0", "--kvn", "+3"]),
        case(78, &["sandbox", "se", "serve", "--listen", "127.0.0.1:0", "--file", &path]),
        case(78, &["sandbox", "--once", "--keep", &dir.path().display().to_string()]),
        case(2, &["sandbox", "counter", "token"]),
        case(
            1,
            &[
                "sandbox",
                "counter",
                "token",
                "--terminal",
                "/nonexistent",
                "--details",
                "/nonexistent",
            ],
        ),
    ];
    for case in cases {
        case.holds();
    }
    assert_eq!(std::fs::read_to_string(not_an_se).unwrap(), "something else");
}

#[test]
fn script_wrap_answers_each_line_with_one_line_in_order() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/vectors/scp03_sessions.json")).unwrap();
    let entry = vectors
        .iter()
        .find(|entry| entry["host_challenge"].as_str().is_some_and(|it| it.len() == 16))
        .unwrap();
    let commands: Vec<&str> = entry["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["plain_capdu"].as_str())
        .collect();
    let keys = serde_json::json!({
        "enc": entry["keys"]["enc"], "mac": entry["keys"]["mac"], "dek": entry["keys"]["dek"],
    });
    let mut line = serde_json::json!({
        "keys": keys, "mode": "S8", "level": entry["security_level"],
        "host_challenge": entry["host_challenge"], "init_update_rsp": entry["init_update_rsp"],
        "commands": commands,
    });
    let good = line.to_string();
    line["mode"] = "S16".into();
    let stdin = format!("{good}\n{line}\nnothing\n{good}\n");
    let output =
        Case { stdin: Box::leak(stdin.into_boxed_str()), ..case(0, &["script", "wrap", "--json"]) }
            .run();
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], lines[3]);
    assert_eq!(lines[0]["ext_auth"], entry["ext_auth_apdu"]);
    assert!(lines[1]["error"].is_string() && lines[2]["error"].is_string());
}
