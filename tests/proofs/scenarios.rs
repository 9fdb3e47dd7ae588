//! What must be refused is refused with its code and without a key write; what was lost is resolved to what the SE holds.

use serde_json::Value;
use tests::{document, run};

/// Scenario, code, and whether it brings another order to Confirmed first.
const REFUSED: [(&str, &str, bool); 17] = [
    ("no-token", "T00", false),
    ("expired-token", "T06", false),
    ("replayed-token", "T09", true),
    ("stale-sequence", "T10", true),
    ("wrong-se", "T11", false),
    ("wrong-applet", "T11", false),
    ("wrong-kvn", "T11", false),
    ("wrong-audience", "T05", false),
    ("foreign-key", "T03", false),
    ("alg-none", "T02", false),
    ("unknown-crit", "T02", false),
    ("wrong-client-certificate", "T07", false),
    ("revoked-terminal", "T08", false),
    ("wrong-access-code", "T12", false),
    ("swapped-sim", "S01", false),
    ("shared-key-set", "S02", false),
    ("downgraded-i", "S03", false),
];

const RESOLVED: [&str; 5] =
    ["lost-answer", "lost-personalization", "forged-success", "forged-refusal", "restart"];

fn scenario(name: &str) -> Value {
    let output = run(&["sandbox", "--once", "--scenario", name, "--json"]);
    assert!(
        output.status.success(),
        "{name}: exit {:?}\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stderr)
    );
    document(&output)
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn every_scenario_of_the_list_is_here() {
    let output = run(&["sandbox", "--list-scenarios", "--json"]);
    let document = document(&output);
    let mut listed: Vec<&str> = rows(&document, "scenarios")
        .iter()
        .map(|row| row.as_str().or(row["name"].as_str()).expect("a name"))
        .collect();
    let mut known: Vec<&str> = REFUSED.iter().map(|(name, _, _)| *name).chain(RESOLVED).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[test]
fn what_must_be_refused_ends_with_its_code_and_without_a_key_write() {
    for (name, code, brings_another) in REFUSED {
        let document = scenario(name);
        let orders = rows(&document, "orders");
        let refused: Vec<&Value> = orders.iter().filter(|order| order["code"] == code).collect();
        let [order] = refused.as_slice() else {
            panic!("{name}: one order with {code}: {orders:?}")
        };
        let parked = code == "S01" || code == "S03";
        assert_eq!(order["state"] == "Parked", parked, "{name}: {}", order["state"]);
        for write in rows(order, "writes") {
            assert_eq!(write["attempts"], 0, "{name}: no attempt");
        }
        let confirmed: Vec<&Value> =
            orders.iter().filter(|order| order["state"] == "Confirmed").collect();
        assert_eq!(confirmed.len(), usize::from(brings_another), "{name}");
        for (se, ledger) in document["ledger"].as_object().expect("ledger") {
            let written = confirmed.iter().any(|order| order["se"] == se.as_str());
            assert_eq!(ledger["key_write"] == 0, !written, "{name}: {se} {ledger}");
            assert!(!written || order["se"] != se.as_str(), "{name}: on another SE");
        }
        // The order brought to Confirmed has two key writes, each sent once; any other script would be for another SE.
        let tsms = document["tsm"].as_object().expect("tsm").values();
        let scripts: u64 =
            tsms.map(|counts| counts["key_write_scripts"].as_u64().expect("a count")).sum();
        assert_eq!(scripts, 2 * u64::from(brings_another), "{name}: {}", document["tsm"]);
    }
}

#[test]
fn what_was_lost_is_resolved_to_what_the_se_holds() {
    for name in RESOLVED {
        let document = scenario(name);
        for counts in document["tsm"].as_object().expect("tsm").values() {
            assert_eq!(counts["duplicates"], 0, "{name}: nothing is handed over twice");
        }
        let orders = rows(&document, "orders");
        assert!(!orders.is_empty());
        for order in orders {
            assert_order_agrees_with_its_se(name, &document, order);
        }
    }
}

fn assert_order_agrees_with_its_se(name: &str, document: &Value, order: &Value) {
    let ledger = &document["ledger"][order["se"].as_str().expect("se")];
    let mut attempted = 0;
    for write in rows(order, "writes") {
        if write["attempts"] == 0 {
            continue;
        }
        attempted += 1;
        let there = match write["kind"].as_str() {
            Some("sd_keyset") => rows(ledger, "key_sets").iter().any(|row| {
                row["sd"] == write["sd"] && row["kvn"] == write["kvn"] && row["kcv"] == write["kcv"]
            }),
            Some("app_key") => rows(ledger, "apps").iter().any(|app| {
                app["key_sha256"].is_string() && app["key_sha256"] == write["key_sha256"]
            }),
            other => panic!("{name}: {other:?}"),
        };
        match write["verdict"].as_str() {
            Some("Applied") => assert!(there, "{name}: {write} {ledger}"),
            Some("NotApplied") => assert!(!there, "{name}: {write} {ledger}"),
            other => panic!("{name}: no verdict but {other:?}"),
        }
    }
    assert!(attempted > 0, "{name}: a write was attempted");
}
