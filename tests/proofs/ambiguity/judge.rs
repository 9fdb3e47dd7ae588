//! The oracle: what the gateway said of each key write, against the secure element's own tables and ledger.

use aws_lc_rs::digest;
use gateway::{
    audit::Record,
    custody::KeySetRow,
    store::{LiveKeySet, OrderRecord},
};
use order::{KeyWriteItem, OrderState, Verdict, WriteKind};
use se::SecureElement;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    desk::{Desk, SECURITY_DOMAIN, TENANT, security_domain},
    liar::Seat,
};

/// How one order came out.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) confirmed: bool,
    /// Why it was parked.
    pub(crate) parked: Option<String>,
    pub(crate) applied: u64,
    pub(crate) not_applied: u64,
    pub(crate) sent: u64,
    /// What must never be, each with its sentence.
    pub(crate) wrong: Vec<String>,
}

/// One `Sent`, with the verdict given for it.
struct Attempt {
    write: u64,
    wrapped_sha256: String,
    verdict: Option<Verdict>,
    /// Whether the SE had executed the script before everything was played again.
    executed: bool,
}

/// What the SE had executed when the order came to rest.
pub(crate) struct Executed(Vec<String>);

impl Executed {
    pub(crate) fn by(se: &SecureElement) -> Executed {
        let done = se.ledger().iter().filter(|entry| entry.executed && entry.sw == "9000");
        Executed(done.map(|entry| entry.sha256.clone()).collect())
    }

    /// Whether the last command of the script was executed: the SE writes with that one, all or nothing.
    fn whole(&self, script: &[Vec<u8>]) -> bool {
        script.last().is_some_and(|command| {
            let digest = hex::encode_upper(digest::digest(&digest::SHA256, command));
            self.0.contains(&digest)
        })
    }
}

/// Everything the gateway says about one order.
pub(crate) struct Account {
    order: OrderRecord,
    records: Vec<Record>,
    key_sets: Vec<KeySetRow>,
    live: Option<LiveKeySet>,
    key_sha256: String,
}

impl Account {
    /// Reads it, from the whole audit trail and the node's own files.
    pub(crate) async fn of(desk: &Desk, order: Uuid, trail: &[Record]) -> Account {
        let domain = security_domain();
        let order = desk.app.store.order(order).await.expect("the store").expect("the order");
        let se = desk.app.store.se(TENANT, &order.se).await.expect("the store");
        Account {
            records: trail
                .iter()
                .filter(|record| record.order == Some(order.id))
                .cloned()
                .collect(),
            key_sets: desk.app.custody.key_sets_of(&order.se, &domain).await.expect("custody"),
            live: se.and_then(|se| se.security_domain(&domain)?.live.clone()),
            key_sha256: desk.key_sha256(),
            order,
        }
    }

    /// The same with every Applied turned into NotApplied and back: an oracle that lets it pass sees nothing.
    pub(crate) fn turned_around(mut self) -> Account {
        for record in self.records.iter_mut().filter(|record| record.kind == "verdict") {
            let turned = match record.detail["verdict"].as_str() {
                Some("Applied") => "NotApplied",
                Some("NotApplied") => "Applied",
                _ => continue,
            };
            record.detail["verdict"] = turned.into();
        }
        self
    }

    /// The sequence of events, for whoever has to find out.
    pub(crate) fn tell(&self) -> String {
        let lines: Vec<String> = self
            .records
            .iter()
            .map(|record| format!("  {} {}", record.kind, record.detail))
            .collect();
        lines.join("\n")
    }
}

/// Judges an order at rest, after everything its carrier ever saw was played to the SE again.
pub(crate) fn judge(account: &Account, seat: &Seat, before: &Executed) -> Judgement {
    let after = Executed::by(&seat.se);
    let mut judgement = Judgement::default();
    let attempts = attempts(&account.records, seat, before, &mut judgement);
    check_attempts(&attempts, seat, &after, &mut judgement);
    check_sends(&account.records, seat, &mut judgement);
    check_custody(account, &seat.se, &mut judgement);
    if seat.authentications_refused > 0 {
        judgement.wrong.push("the SE refused an EXTERNAL AUTHENTICATE; it counts those".to_owned());
    }
    match &account.order.state {
        OrderState::Confirmed { .. } => judgement.confirmed = true,
        OrderState::Parked { reason, .. } => judgement.parked = Some(reason.as_str().to_owned()),
        other => judgement.wrong.push(format!("the order rests as {}", other.word())),
    }
    for (at, item) in account.order.state.writes().iter().enumerate() {
        check_tables(account, at, item, &seat.se, &mut judgement);
    }
    judgement
}

fn attempts(
    records: &[Record],
    seat: &Seat,
    before: &Executed,
    judgement: &mut Judgement,
) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for record in records {
        let write = record.detail["write"].as_u64().unwrap_or(u64::MAX);
        let last = attempts.iter_mut().rev().find(|attempt| attempt.write == write);
        match record.kind.as_str() {
            "sent" => {
                if last.is_some_and(|attempt| attempt.verdict != Some(Verdict::NotApplied)) {
                    judgement.wrong.push(format!(
                        "write {write} was sent again without the verdict NotApplied"
                    ));
                }
                let wrapped_sha256 = text(&record.detail["wrapped_sha256"]);
                let script = seat
                    .key_scripts()
                    .into_iter()
                    .find(|script| sha256_of(script) == wrapped_sha256);
                let executed = script.is_some_and(|script| before.whole(script));
                attempts.push(Attempt { write, wrapped_sha256, verdict: None, executed });
            }
            "verdict" => {
                let verdict: Option<Verdict> =
                    serde_json::from_value(record.detail["verdict"].clone()).ok();
                match last {
                    Some(attempt) => attempt.verdict = verdict,
                    None => judgement
                        .wrong
                        .push(format!("a verdict on write {write}, which was not sent")),
                }
            }
            _ => {}
        }
    }
    attempts
}

/// A verdict, once given, is true, whatever the carrier plays to the SE afterwards.
fn check_attempts(attempts: &[Attempt], seat: &Seat, after: &Executed, judgement: &mut Judgement) {
    for attempt in attempts {
        judgement.sent += 1;
        let script = seat
            .key_scripts()
            .into_iter()
            .find(|script| sha256_of(script) == attempt.wrapped_sha256);
        let later = script.is_some_and(|script| after.whole(script));
        match attempt.verdict {
            Some(Verdict::Applied) => {
                judgement.applied += 1;
                if !attempt.executed {
                    judgement.wrong.push(format!(
                        "write {}: Applied, and the SE did not execute it",
                        attempt.write
                    ));
                }
            }
            Some(Verdict::NotApplied) => {
                judgement.not_applied += 1;
                if attempt.executed || later {
                    let when = if attempt.executed { "executed it" } else { "executed it later" };
                    judgement
                        .wrong
                        .push(format!("write {}: NotApplied, and the SE {when}", attempt.write));
                }
            }
            Some(Verdict::Unresolved) | None => {}
        }
    }
}

/// No key script leaves without its `Sent` record, and none twice.
fn check_sends(records: &[Record], seat: &Seat, judgement: &mut Judgement) {
    let mut sent: Vec<String> = records
        .iter()
        .filter(|record| record.kind == "sent")
        .map(|record| text(&record.detail["wrapped_sha256"]))
        .collect();
    for script in seat.key_scripts() {
        let digest = sha256_of(script);
        match sent.iter().position(|recorded| *recorded == digest) {
            Some(at) => drop(sent.swap_remove(at)),
            None => {
                judgement.wrong.push("a key script came twice, or without its record".to_owned())
            }
        }
    }
}

/// Custody holds every key set the SE holds.
fn check_custody(account: &Account, se: &SecureElement, judgement: &mut Judgement) {
    for row in se.key_sets() {
        let known = account
            .key_sets
            .iter()
            .any(|set| set.kvn.to_string() == row.kvn && set.kcv.to_string() == row.kcv);
        if !known {
            judgement
                .wrong
                .push(format!("custody lacks key set {} {} the SE holds", row.kvn, row.kcv));
        }
    }
}

/// The last verdict on each write, against the SE's own tables.
fn check_tables(
    account: &Account,
    at: usize,
    item: &KeyWriteItem,
    se: &SecureElement,
    judgement: &mut Judgement,
) {
    let Some(last) = &item.last else { return };
    let has_set = |kvn: &str, kcv: Option<&str>| {
        se.key_sets().iter().any(|row| row.kvn == kvn && kcv.is_none_or(|kcv| row.kcv == kcv))
    };
    let kvn = last.kvn.clone().unwrap_or_default();
    let happened = match item.kind {
        WriteKind::SdKeyset => has_set(&kvn, last.kcv.as_deref()),
        WriteKind::SdKeysetDelete => !has_set(&kvn, None),
        WriteKind::AppKey => se.apps().iter().any(|app| {
            app.life_cycle == "0F" && app.key_sha256.as_deref() == Some(account.key_sha256.as_str())
        }),
    };
    let expected = match last.verdict {
        Some(Verdict::Applied) => true,
        Some(Verdict::NotApplied) => false,
        Some(Verdict::Unresolved) | None => return,
    };
    if happened != expected {
        judgement.wrong.push(format!(
            "write {at} ({:?}) is {:?}, and the SE's tables differ",
            item.kind, last.verdict
        ));
    }
    if item.kind == WriteKind::SdKeyset
        && !account.live.as_ref().is_some_and(|live| has_set(&live.kvn.to_string(), None))
    {
        judgement
            .wrong
            .push(format!("the key set on record for {SECURITY_DOMAIN} is not on the SE"));
    }
}

/// As `Sent` records it: each command after its length.
fn sha256_of(script: &[Vec<u8>]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for command in script {
        context.update(&u32::try_from(command.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(command);
    }
    hex::encode_upper(context.finish())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
