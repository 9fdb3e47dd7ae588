//! The store as its callers see it, on real files.

use std::{collections::HashSet, fs, path::Path};

use order::{KeyWriteItem, OrderState, PlannedWrite, WriteKind};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::audit::{Entry, Fault, Kind, VerifyError, verify_store};

const NODE: &str = "node-1";

fn open(dir: &Path) -> Store {
    Store::open(dir, NODE).unwrap()
}

fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

pub(super) fn order(caller_id: &str) -> OrderRecord {
    let id = Uuid::now_v7();
    OrderRecord {
        id,
        caller_id: caller_id.to_owned(),
        tenant: "carrier-a".to_owned(),
        body_sha256: Digest::of(&[caller_id.as_bytes()]),
        request: "{}".to_owned(),
        service: "jpki-user-authentication".to_owned(),
        operation: "issue".to_owned(),
        se: format!("8981{caller_id}"),
        carrier: None,
        profile: None,
        security_domain: None,
        state: OrderState::Accepted,
        code: None,
        authorization: None,
        payload: None,
        enquiry_id: id.to_string(),
        receipt: None,
        counter_receipt: None,
        opened: None,
        failures: 0,
        probes: 0,
        permits: 0,
        app_key_sha256: None,
        due_ms: None,
        created_ms: 1_000,
        updated_ms: 1_000,
        version: 0,
    }
}

pub(super) fn entry(order: &OrderRecord) -> Entry {
    Entry::new(Kind::OrderAccepted, 1_000).order(order.id).se(&order.se).detail(json!({"n": 1}))
}

async fn insert(store: &Store, order: &OrderRecord) -> OrderRecord {
    store.commit(vec![Change::InsertOrder(order.clone())], vec![entry(order)]).await.unwrap();
    store.order(order.id).await.unwrap().unwrap()
}

async fn commit(store: &Store, change: Change) -> Result<Committed, CommitError> {
    store.commit(vec![change], Vec::new()).await
}

fn conflict<T>(what: Conflict) -> Result<T, CommitError> {
    Err(CommitError::Conflict { what })
}

/// A copy of the directory as a crash would leave it: the files while the store is open.
fn crashed_copy(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_answered_survives_a_crash_and_a_restart() {
    let (dir, store) = fresh();
    let stored = insert(&store, &order("a")).await;
    assert_eq!(stored.version, 1);
    let copy = crashed_copy(dir.path());
    let after_crash = open(copy.path());
    assert_eq!(after_crash.order(stored.id).await.unwrap(), Some(stored.clone()));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.order_by_caller_id("carrier-a", "a").await.unwrap(), Some(stored.clone()));
    assert_eq!(store.order_by_enquiry(&stored.enquiry_id).await.unwrap(), Some(stored));
    assert_eq!(store.audit_head().await.unwrap().index, 1);
}

#[tokio::test]
async fn an_update_must_name_the_version_it_read() {
    let (_dir, store) = fresh();
    let first = insert(&store, &order("a")).await;
    commit(&store, Change::UpdateOrder(first.clone())).await.unwrap();
    let stale = commit(&store, Change::UpdateOrder(first.clone())).await;
    assert_eq!(stale, conflict(Conflict::OrderChanged { order: first.id }));
    let moved = OrderRecord { version: 2, tenant: "carrier-b".to_owned(), ..first.clone() };
    let moved = commit(&store, Change::UpdateOrder(moved)).await;
    assert_eq!(moved, conflict(Conflict::OrderChanged { order: first.id }));
    assert_eq!(store.order(first.id).await.unwrap().unwrap().version, 2);
}

#[tokio::test]
async fn a_caller_id_is_one_order_of_its_tenant() {
    let (_dir, store) = fresh();
    insert(&store, &order("a")).await;
    let again = commit(&store, Change::InsertOrder(order("a"))).await;
    assert_eq!(again, conflict(Conflict::OrderExists));
    let elsewhere = OrderRecord { tenant: "mvno".to_owned(), ..order("a") };
    commit(&store, Change::InsertOrder(elsewhere)).await.unwrap();
}

#[tokio::test]
async fn a_conflict_takes_back_the_whole_commit_and_nothing_else() {
    let (dir, store) = fresh();
    let known = insert(&store, &order("known")).await;
    let before = store.audit_head().await.unwrap();
    let new = order("new");
    let stale = OrderRecord { version: 7, ..known.clone() };
    let changes = vec![Change::InsertOrder(new.clone()), Change::UpdateOrder(stale)];
    let outcome = store.commit(changes, vec![entry(&new)]).await;
    assert_eq!(outcome, conflict(Conflict::OrderChanged { order: known.id }));
    assert_eq!(store.order(new.id).await.unwrap(), None);
    assert_eq!(store.audit_head().await.unwrap(), before);
    insert(&store, &new).await;
    drop(store);
    assert_eq!(verify_store(&dir.path().join(STORE_FILE)).unwrap().records, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_share_a_flush_and_conflicts_stay_alone() {
    let (dir, store) = fresh();
    let tasks: Vec<_> = (0..512_u32)
        .map(|task| {
            let store = store.clone();
            // Every second caller id is taken by the task before.
            let order = order(&format!("c{}", task / 2));
            tokio::spawn(async move {
                store.commit(vec![Change::InsertOrder(order.clone())], vec![entry(&order)]).await
            })
        })
        .collect();
    let mut heads = HashSet::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(committed) => assert!(heads.insert(committed.audit_index)),
            Err(error) => assert_eq!(Err(error), conflict::<()>(Conflict::OrderExists)),
        }
    }
    assert_eq!(heads, (1..=256).collect());
    drop(store);
    assert_eq!(verify_store(&dir.path().join(STORE_FILE)).unwrap().records, 256);
}

#[tokio::test]
async fn an_attempt_a_notification_and_a_token_are_taken_once() {
    let (_dir, store) = fresh();
    let attempt = Change::ReserveAttempt { order: Uuid::nil(), write: 0, attempt: 1 };
    let notification = Change::NoteNotification {
        carrier: "a".to_owned(),
        call_id: "1".to_owned(),
        function: "HandleSERenewalNotification".to_owned(),
    };
    let burn = Change::BurnToken { jti: "j".to_owned(), token_sha256: Digest::ZERO };
    for (change, what) in [
        (attempt, Conflict::AttemptReserved),
        (notification, Conflict::NotificationKnown),
        (burn, Conflict::TokenSpent),
    ] {
        commit(&store, change.clone()).await.unwrap();
        assert_eq!(commit(&store, change).await, conflict(what));
    }
    let burned = TokenUse { token_sha256: Digest::ZERO, order: None };
    assert_eq!(store.jti("j").await.unwrap(), Some(burned));
    let failure = || Change::AccessCodeFailure { jti: "k".to_owned() };
    for count in 1..=3 {
        commit(&store, failure()).await.unwrap();
        assert_eq!(store.access_code_failures("k").await.unwrap(), count);
    }
}

#[tokio::test]
async fn a_lost_epoch_commits_nothing() {
    let (_dir, store) = fresh();
    let lease = |epoch| Some(Lease { holder: NODE.to_owned(), epoch, until_ms: 0 });
    let se = SeRecord { lease: lease(1), ..SeRecord::unknown("carrier-a", "8981") };
    let require = |epoch| Change::RequireEpoch {
        tenant: "carrier-a".to_owned(),
        se: "8981".to_owned(),
        epoch,
    };
    assert_eq!(commit(&store, require(1)).await, conflict(Conflict::EpochLost));
    commit(&store, Change::PutSe(se.clone())).await.unwrap();
    assert_eq!(commit(&store, Change::PutSe(se.clone())).await, conflict(Conflict::SeChanged));
    commit(&store, require(1)).await.unwrap();
    let taken = SeRecord { version: 1, lease: lease(2), ..se.clone() };
    commit(&store, Change::PutSe(taken)).await.unwrap();
    assert_eq!(commit(&store, require(1)).await, conflict(Conflict::EpochLost));
    let fallen = SeRecord { version: 2, lease: lease(1), ..se };
    assert_eq!(commit(&store, Change::PutSe(fallen)).await, conflict(Conflict::SeChanged));
    let stored = store.se("carrier-a", "8981").await.unwrap().unwrap();
    assert_eq!((stored.version, stored.lease), (2, lease(2)));
}

#[tokio::test]
async fn lists_answer_what_is_asked_in_order_of_age() {
    let (_dir, store) = fresh();
    let mut ids = Vec::new();
    for number in 0..5_i64 {
        let order = OrderRecord { due_ms: Some(10 - number), ..order(&format!("c{number}")) };
        ids.push(insert(&store, &order).await.id);
    }
    let all =
        OrderFilter { tenants: vec!["carrier-a".to_owned()], limit: 100, ..Default::default() };
    let listed = async |filter: OrderFilter| -> Vec<Uuid> {
        store.orders(filter).await.unwrap().iter().map(|order| order.id).collect()
    };
    assert_eq!(listed(all.clone()).await, ids);
    assert_eq!(listed(OrderFilter { after: Some(ids[2]), ..all.clone() }).await, ids[3..]);
    assert_eq!(listed(OrderFilter { limit: 2, ..all.clone() }).await, ids[..2]);
    let one = OrderFilter { caller_id: Some("c1".to_owned()), ..all.clone() };
    assert_eq!(listed(one).await, ids[1..2]);
    let accepted = OrderFilter { state: Some("Accepted".to_owned()), ..all.clone() };
    assert_eq!(listed(accepted).await, ids);
    assert!(listed(OrderFilter { tenants: Vec::new(), ..all.clone() }).await.is_empty());
    let of_another = OrderFilter { tenants: vec!["mvno".to_owned()], ..all };
    assert!(listed(of_another).await.is_empty());
    assert_eq!(store.due_orders(7, 100).await.unwrap(), [ids[4], ids[3]]);
    assert_eq!(store.open_orders_of_se("carrier-a", "8981c1").await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_that_ended_is_not_open() {
    let (_dir, store) = fresh();
    let order = insert(&store, &order("a")).await;
    let ended = OrderRecord { state: OrderState::Cancelled, ..order };
    commit(&store, Change::UpdateOrder(ended)).await.unwrap();
    assert!(store.open_orders_of_se("carrier-a", "8981a").await.unwrap().is_empty());
}

#[tokio::test]
async fn subscribers_hear_of_every_change() {
    let (_dir, store) = fresh();
    let mut changes = store.subscribe();
    let order = insert(&store, &order("a")).await;
    assert_eq!(changes.recv().await.unwrap(), order.id);
    commit(&store, Change::UpdateOrder(order.clone())).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), order.id);
    let _conflict = commit(&store, Change::UpdateOrder(order)).await;
    assert!(changes.try_recv().is_err());
}

#[tokio::test]
async fn files_that_are_not_ours_stay_as_they_are() {
    let (dir, store) = fresh();
    insert(&store, &order("a")).await;
    let second = Store::open(dir.path(), NODE).map(drop);
    assert_eq!(second, Err(StoreError::Locked));
    drop(store);

    let path = dir.path().join(STORE_FILE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(raw);
    let refused = |expected: StoreError| {
        let before = fs::read(&path).unwrap();
        assert_eq!(Store::open(dir.path(), NODE).map(drop), Err(expected));
        assert_eq!(fs::read(&path).unwrap(), before);
    };
    refused(StoreError::NewerVersion { found: 99, known: 1 });
    let not_a_store = StoreError::NotAStore { path: path.display().to_string() };
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA application_id = 1; PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(raw);
    refused(not_a_store.clone());
    fs::write(&path, "a text of somebody's that is no database, and is long enough to be taken for a header if one is careless with it").unwrap();
    refused(not_a_store.clone());
    fs::write(&path, "short").unwrap();
    refused(not_a_store);
}

#[tokio::test]
async fn a_tampered_trail_is_found_in_the_file() {
    let (dir, store) = fresh();
    for name in ["a", "b", "c"] {
        insert(&store, &order(name)).await;
    }
    let path = dir.path().join(STORE_FILE);
    assert_eq!(verify_store(&path).unwrap().records, 3, "also while a node uses it");
    drop(store);
    let tampered = |sql: &str| {
        let copy = crashed_copy(dir.path());
        let path = copy.path().join(STORE_FILE);
        let raw = rusqlite::Connection::open(&path).unwrap();
        assert!(raw.execute(sql, []).unwrap() > 0);
        drop(raw);
        match verify_store(&path) {
            Err(VerifyError::Broken(broken)) => Some((broken.index, broken.why)),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        }
    };
    let altered = r#"UPDATE audit SET record = replace(record, '"n":1', '"n":2') WHERE idx = 2"#;
    assert_eq!(tampered(altered), Some((2, Fault::Hash)));
    assert_eq!(tampered("DELETE FROM audit WHERE idx = 2"), Some((2, Fault::Index)));
    assert_eq!(tampered("DELETE FROM audit WHERE idx = 1"), Some((1, Fault::Index)));
    assert_eq!(tampered("UPDATE audit SET idx = 9 WHERE idx = 3"), Some((3, Fault::Index)));
    assert_eq!(
        tampered("UPDATE audit SET record = '{}' WHERE idx = 3"),
        Some((3, Fault::Unreadable))
    );
    // The end cut off: the trail itself holds, its head is another.
    assert_eq!(tampered("DELETE FROM audit WHERE idx = 3"), None);
}

/// An order about to be authorized, and what for.
pub(super) async fn awaiting(store: &Store, name: &str) -> (OrderRecord, Vec<GrantedWrite>) {
    let plan = PlannedWrite { kind: WriteKind::SdKeyset, attempts_max: 2 };
    let awaiting = OrderRecord { state: OrderState::AwaitingCounter, ..order(name) };
    let awaiting = insert(store, &awaiting).await;
    let state = OrderState::Authorized { writes: vec![KeyWriteItem::planned(&plan).unwrap()] };
    let granted = GrantedWrite {
        kind: plan.kind,
        se: awaiting.se.clone(),
        security_domain: "A000000151535001".parse().unwrap(),
        applet: None,
        prior: "30".parse().ok(),
        fresh: "31".parse().ok(),
        attempts_max: plan.attempts_max,
    };
    (OrderRecord { state, ..awaiting }, vec![granted])
}
