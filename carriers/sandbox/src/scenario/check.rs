//! The judgement of a scenario: what the SEs and the TSMs recorded, against what the gateway says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde::Deserialize;

use super::Expected;
use crate::{
    api::Write,
    document::{Document, OrderLine, SeLedger},
    error::SandboxError,
    platform::Platform,
};

/// Life cycle of a personalized instance.
const PERSONALIZED: &str = "0F";

/// How many key-write scripts each SE's TSM received for it, by ICCID.
pub(super) type KeyWriteScripts = BTreeMap<String, u64>;

/// What others than the gateway's order answers have seen.
pub(super) struct Seen {
    /// Key-write scripts that reached a TSM.
    pub(super) scripts: KeyWriteScripts,
    /// SEs on which a write was Unresolved for a time, by the audit chain.
    pub(super) doubted: BTreeSet<String>,
}

/// A line of a TSM's log; the rest of it is of no interest here.
#[derive(Deserialize)]
struct ScriptLine {
    se: String,
    key_write: bool,
}

pub(super) fn key_write_scripts(platform: &Platform) -> Result<KeyWriteScripts, SandboxError> {
    let carriers: BTreeSet<&str> =
        platform.subscribers.iter().map(|subscriber| subscriber.carrier.as_str()).collect();
    let mut scripts = KeyWriteScripts::new();
    for carrier in carriers {
        let path = platform.tsm_log(carrier);
        let log = fs::read_to_string(&path).map_err(SandboxError::file(&path))?;
        for line in log.lines() {
            let line: ScriptLine = serde_json::from_str(line)
                .map_err(|error| SandboxError::proof(&path.display().to_string(), error))?;
            *scripts.entry(line.se).or_default() += u64::from(line.key_write);
        }
    }
    Ok(scripts)
}

/// Everything that is not as it should be, each a sentence.
pub(super) fn faults(
    document: &Document,
    code: Option<&str>,
    expected: &Expected,
    seen: &Seen,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (carrier, counts) in &document.tsm {
        if counts.duplicates > 0 {
            faults.push(format!("{carrier} received {} scripts twice", counts.duplicates));
        }
    }
    match expected {
        Expected::NoAttempt { code: wanted, parked, except } => {
            if code != Some(wanted) {
                faults.push(format!("it ended with {code:?}, not {wanted}"));
            }
            faults.extend(refused_orders(document, wanted, *parked, except));
            faults.extend(written_ses(document, &seen.scripts, except));
        }
        Expected::TrueVerdicts { doubted } => {
            faults.extend(document.orders.iter().flat_map(|order| untrue(order, document)));
            let unstruck = doubted.iter().filter(|se| !seen.doubted.contains(*se));
            faults.extend(unstruck.map(|se| format!("there never was a doubt about {se}")));
        }
    }
    faults
}

fn refused_orders(document: &Document, code: &str, parked: bool, except: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for order in &document.orders {
        let OrderLine { se, state, .. } = order;
        if except.contains(se) {
            faults.extend(untrue(order, document));
            continue;
        }
        if order.code.as_deref() != Some(code) {
            faults.push(format!("the order of {se} carries {:?}, not {code}", order.code));
        }
        if parked && state != "Parked" {
            faults.push(format!("the order of {se} is {state}, not Parked"));
        }
        if state == "Confirmed" {
            faults.push(format!("the order of {se} is Confirmed"));
        }
        if order.writes.iter().any(|write| write.attempts > 0) {
            faults.push(format!("an attempt was made on {se}"));
        }
    }
    faults
}

fn written_ses(document: &Document, scripts: &KeyWriteScripts, except: &[String]) -> Vec<String> {
    let untouchable = |se: &&String| !except.contains(se);
    let mut faults = Vec::new();
    for (se, ledger) in document.ledger.iter().filter(|(se, _)| untouchable(se)) {
        if ledger.key_write + ledger.destroy > 0 {
            let SeLedger { key_write, destroy, .. } = ledger;
            faults.push(format!("{se} received {key_write} key writes and {destroy} destructions"));
        }
    }
    for (se, count) in scripts.iter().filter(|(se, count)| untouchable(se) && **count > 0) {
        faults.push(format!("a TSM received {count} key-write scripts for {se}"));
    }
    faults
}

/// What an order says that its SE does not bear out.
fn untrue(order: &OrderLine, document: &Document) -> Vec<String> {
    let se = &order.se;
    let mut faults = Vec::new();
    if order.state != "Confirmed" {
        faults.push(format!("the order of {se} is {} ({:?})", order.state, order.code));
    }
    if order.writes.is_empty() {
        faults.push(format!("the order of {se} lists no key write"));
    }
    let Some(ledger) = document.ledger.get(se) else {
        faults.push(format!("{se} left no account"));
        return faults;
    };
    for write in order.writes.iter().filter(|write| write.attempts > 0) {
        match write.verdict.as_deref() {
            Some("Applied") if is_on(write, ledger) => {}
            Some("NotApplied") if !is_on(write, ledger) => {}
            verdict => {
                faults.push(format!("{} of {se} is called {verdict:?}, untruly", write.kind));
            }
        }
    }
    faults
}

/// Whether the SE shows what the write was to bring about.
fn is_on(write: &Write, ledger: &SeLedger) -> bool {
    let mut sets = ledger.key_sets.iter().filter(|set| set.sd == write.sd);
    match write.kind.as_str() {
        "sd_keyset" => sets.any(|set| {
            Some(&set.kvn) == write.kvn.as_ref() && Some(&set.kcv) == write.kcv.as_ref()
        }),
        "sd_keyset_delete" => sets.all(|set| Some(&set.kvn) != write.kvn.as_ref()),
        "app_key" => ledger.apps.iter().any(|app| {
            app.life_cycle == PERSONALIZED
                && app.key_sha256.is_some()
                && app.key_sha256 == write.key_sha256
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{AppLine, KeySetLine, TsmCounts};

    const SE: &str = "8981100000000000018";

    fn write(kind: &str, verdict: &str) -> Write {
        Write {
            kind: kind.into(),
            attempts: 1,
            verdict: Some(verdict.into()),
            sd: "A000000151535001".into(),
            kvn: Some("31".into()),
            kcv: Some("AABBCC".repeat(3)),
            key_sha256: Some("11".repeat(32)),
        }
    }

    fn document(state: &str, code: Option<&str>, writes: Vec<Write>) -> Document {
        let order = OrderLine {
            id: "u".into(),
            tenant: "carrier-a".into(),
            carrier: Some("carrier-a".into()),
            se: SE.into(),
            state: state.into(),
            code: code.map(str::to_owned),
            writes,
            receipt: None,
        };
        let set =
            KeySetLine { sd: "A000000151535001".into(), kvn: "31".into(), kcv: "AABBCC".repeat(3) };
        let app = AppLine {
            aid: "F04D41444F4755434849010102".into(),
            life_cycle: "0F".into(),
            key_sha256: Some("11".repeat(32)),
        };
        let ledger = SeLedger { key_sets: vec![set], apps: vec![app], ..SeLedger::default() };
        Document {
            orders: vec![order],
            ledger: BTreeMap::from([(SE.to_owned(), ledger)]),
            ..Document::default()
        }
    }

    fn seen(scripts: u64) -> Seen {
        let scripts = KeyWriteScripts::from([(SE.to_owned(), scripts)]);
        Seen { scripts, doubted: BTreeSet::from([SE.to_owned()]) }
    }

    fn no_attempt(except: &[&str]) -> Expected {
        let except = except.iter().map(|se| (*se).to_owned()).collect();
        Expected::NoAttempt { code: "T06", parked: false, except }
    }

    #[test]
    fn a_refusal_without_a_trace_is_as_it_should_be() {
        let document = document("AwaitingCounter", Some("T06"), vec![]);
        let none = faults(&document, Some("T06"), &no_attempt(&[]), &seen(0));
        assert_eq!(none, Vec::<String>::new());
    }

    #[test]
    fn every_trace_of_a_write_is_found() {
        let expected = no_attempt(&[]);
        let sound = document("AwaitingCounter", Some("T06"), vec![]);
        assert_eq!(faults(&sound, Some("T06"), &expected, &seen(1)).len(), 1);
        assert_eq!(faults(&sound, Some("T05"), &expected, &seen(0)).len(), 1);
        let mut written = sound.clone();
        written.ledger.get_mut(SE).unwrap().key_write = 1;
        assert_eq!(faults(&written, Some("T06"), &expected, &seen(0)).len(), 1);
        let attempted = document("Writing", Some("T06"), vec![write("sd_keyset", "Applied")]);
        assert_eq!(faults(&attempted, Some("T06"), &expected, &seen(0)).len(), 1);
        let mut twice = sound;
        let counts = TsmCounts { scripts: 2, key_write_scripts: 2, duplicates: 1 };
        twice.tsm.insert("carrier-a".into(), counts);
        assert_eq!(faults(&twice, Some("T06"), &expected, &seen(0)).len(), 1);
    }

    #[test]
    fn an_excepted_order_must_be_true_all_the_same() {
        let sound = document("Confirmed", None, vec![write("app_key", "Applied")]);
        assert!(faults(&sound, Some("T06"), &no_attempt(&[SE]), &seen(2)).is_empty());
        let untrue = document("Confirmed", None, vec![write("app_key", "NotApplied")]);
        assert_eq!(faults(&untrue, Some("T06"), &no_attempt(&[SE]), &seen(2)).len(), 1);
    }

    #[test]
    fn a_verdict_is_held_against_the_se() {
        let judged = |writes| {
            let document = document("Confirmed", None, writes);
            let expected = Expected::TrueVerdicts { doubted: vec![SE.to_owned()] };
            faults(&document, None, &expected, &seen(2)).len()
        };
        let both = vec![write("sd_keyset", "Applied"), write("app_key", "Applied")];
        assert_eq!(judged(both), 0);
        assert_eq!(judged(vec![write("sd_keyset", "Unresolved")]), 1);
        assert_eq!(judged(vec![write("sd_keyset", "NotApplied")]), 1);
        assert_eq!(judged(vec![]), 1);
        let mut other = write("sd_keyset", "Applied");
        other.kcv = Some("000000".repeat(3));
        assert_eq!(judged(vec![other]), 1);
        let mut gone = write("sd_keyset_delete", "Applied");
        gone.kvn = Some("30".into());
        assert_eq!(judged(vec![gone]), 0);
    }

    #[test]
    fn a_fault_that_never_struck_shows_nothing() {
        let document = document("Confirmed", None, vec![write("app_key", "Applied")]);
        let expected = Expected::TrueVerdicts { doubted: vec!["another SE".to_owned()] };
        assert_eq!(faults(&document, None, &expected, &seen(2)).len(), 1);
    }
}
