//! Every verdict on a key write is true of the secure element (SE), whatever its carrier does and says.
//!
//! {really applied, not} × {what the carrier tells} × {key set replaced, added, deleted, personalization} × products, and seeded
//! storms in which any script may be lied about. The SE's own tables and ledger judge.

#[path = "ambiguity/desk.rs"]
mod desk;
#[path = "ambiguity/judge.rs"]
mod judge;
#[path = "ambiguity/liar.rs"]
mod liar;
#[path = "ambiguity/lie.rs"]
mod lie;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use gateway::{audit::Record, store::OrderRecord};
use order::OrderState;
use se::{Factory, SecureElement};
use serde_json::json;
use tests::figures;
use uuid::Uuid;

use crate::{
    desk::{Desk, FIRST_KVN, PRODUCTS, Product, iccid},
    judge::{Account, Executed, Judgement, judge},
    liar::{Liar, Plan, Seat, Target},
    lie::{Dice, Lie},
};

/// Storms without `--seeds`.
const STORMS: u64 = 64;
/// Where an answer is cut: every byte of a short one by `--full`, a sample otherwise.
const CUTS: [usize; 6] = [0, 1, 8, 17, 25, 41];
const CUTS_FULL: usize = 64;
/// No order takes longer to come to rest.
const PATIENCE: Duration = Duration::from_secs(240);
/// Columns of the table: kinds of key write.
const COLUMNS: [&str; 6] = ["replace", "add", "delete", "personalize", "put, no R-MAC", "storm"];
/// Records read from the audit trail at a time.
const PAGE: u32 = 1_000;

/// One order of the proof.
struct Cell {
    product: usize,
    column: &'static str,
    row: &'static str,
    name: String,
    plan: Plan,
    se: String,
    keys: [Vec<u8>; 3],
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verdict_is_true_of_the_secure_element() {
    let cells = cells();
    let liar = Arc::new(Liar::new(cells.iter().map(|cell| (cell.se.clone(), seat(cell)))));
    let mut desk = Desk::new(Arc::clone(&liar) as _).await;
    let mut orders = Vec::new();
    for cell in &cells {
        let product = &PRODUCTS[cell.product];
        desk.hand_over(product, &cell.se, &cell.keys).await;
        let order = desk.submit(&cell.se).await;
        if !product.has_r_mac() {
            desk.say_prepared(product, order).await;
        }
        orders.push(order);
    }
    let (stop, engine) = desk.start_engine();
    for (cell, order) in cells.iter().zip(&orders) {
        until(&desk, *order, |record| {
            matches!(record.state, OrderState::Prepared) || rests(record)
        })
        .await;
        liar.seat(&cell.se).authorized = true;
        desk.authorize(*order, &cell.se).await;
    }
    for order in &orders {
        until(&desk, *order, rests).await;
    }
    stop.send(true).expect("the engine listens");
    engine.await.expect("the engine ended in good order");
    let judgements = judge_all(&desk, &liar, &cells, &orders).await;
    report(&cells, &judgements);
}

/// The whole matrix, then the storms.
fn cells() -> Vec<Cell> {
    let storms =
        std::env::var("TESTS_SEEDS").ok().and_then(|value| value.parse().ok()).unwrap_or(STORMS);
    let cuts: Vec<usize> = if figures::full() { (0..CUTS_FULL).collect() } else { CUTS.to_vec() };
    let mut cells = Vec::new();
    for (at, product) in PRODUCTS.iter().enumerate() {
        for target in targets(product) {
            for lie in Lie::all(&cuts) {
                cells.push(cell(at, Plan::Write { target, lie, each: false }, cells.len()));
            }
            for lie in persistent() {
                cells.push(cell(at, Plan::Write { target, lie, each: true }, cells.len()));
            }
        }
    }
    for seed in 0..storms {
        let product = usize::try_from(seed).unwrap_or(0) % PRODUCTS.len();
        cells.push(cell(product, Plan::Storm { dice: Dice(seed) }, cells.len()));
    }
    cells
}

/// The key writes of an order for the product. Without R-MAC no personalization can be proven, so none is prepared.
fn targets(product: &Product) -> Vec<Target> {
    let mut targets = vec![Target::PutKey];
    targets.extend((product.adds && product.has_r_mac()).then_some(Target::Delete));
    targets.extend(product.has_r_mac().then_some(Target::StoreData));
    targets
}

/// Lies told about every attempt.
fn persistent() -> [Lie; 5] {
    [
        Lie::Silence { applied: false },
        Lie::ForgedSuccess { applied: false, data: true },
        Lie::ForgedRefusal { applied: false, status: 0x6A80 },
        Lie::Stale { applied: false },
        Lie::Late { after: 1 },
    ]
}

fn cell(product: usize, plan: Plan, number: usize) -> Cell {
    let name = PRODUCTS[product].name;
    let (column, row, what) = match &plan {
        Plan::Write { target, lie, each } => {
            let often = if *each { ", every attempt" } else { "" };
            (column(&PRODUCTS[product], *target), lie.row(), format!("{lie:?}{often}"))
        }
        Plan::Storm { dice } => ("storm", "any script", format!("seed {}", dice.0)),
    };
    Cell {
        product,
        name: format!("{name}, {column}: {what}"),
        column,
        row,
        plan,
        se: iccid(product, number),
        keys: std::array::from_fn(|_| random_key()),
    }
}

fn column(product: &Product, target: Target) -> &'static str {
    match target {
        Target::PutKey if !product.has_r_mac() => "put, no R-MAC",
        Target::PutKey if product.adds => "add",
        Target::PutKey => "replace",
        Target::Delete => "delete",
        Target::StoreData => "personalize",
    }
}

fn random_key() -> Vec<u8> {
    let mut key = vec![0; 16];
    rand::fill(&mut key).expect("random numbers");
    key
}

fn seat(cell: &Cell) -> Seat {
    let product = &PRODUCTS[cell.product];
    let made = |isd_keys| {
        let factory = Factory { isd_keys, kvn: FIRST_KVN, i: product.i, ..Factory::default() };
        SecureElement::new(factory).expect("a secure element")
    };
    let mut se = made(cell.keys.clone());
    se.hand_over();
    Seat::new(se, made(std::array::from_fn(|_| random_key())), cell.plan.clone())
}

fn rests(order: &OrderRecord) -> bool {
    match order.state {
        OrderState::Confirmed { .. } => order.due_ms.is_none(),
        OrderState::Parked { .. } | OrderState::Refused { .. } => true,
        _ => false,
    }
}

async fn until(desk: &Desk, order: Uuid, reached: impl Fn(&OrderRecord) -> bool) {
    let begun = Instant::now();
    // Subscribed first, so that no change is missed between a look and a wait.
    let mut changes = desk.app.store.subscribe();
    loop {
        let record = desk.app.store.order(order).await.expect("the store").expect("the order");
        if reached(&record) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{} stays {}", record.se, record.state.word());
        // Whatever changed, or that changes were missed: look again.
        let _ = tokio::time::timeout(PATIENCE, changes.recv()).await;
    }
}

async fn judge_all(desk: &Desk, liar: &Liar, cells: &[Cell], orders: &[Uuid]) -> Vec<Judgement> {
    let records = records(desk).await;
    let mut judgements = Vec::new();
    for (cell, id) in cells.iter().zip(orders) {
        let account = Account::of(desk, *id, &records).await;
        let seat = &mut *liar.seat(&cell.se);
        let before = Executed::by(&seat.se);
        seat.play_everything_again();
        let judgement = judge(&account, seat, &before);
        if !judgement.wrong.is_empty() {
            println!("WRONG {}: {}", cell.name, judgement.wrong.join("; "));
            println!("  {}\n{}", seat.log.join("\n  "), account.tell());
        }
        if judgement.applied + judgement.not_applied > 0 {
            let turned = judge(&account.turned_around(), seat, &before);
            assert!(
                !turned.wrong.is_empty(),
                "{}: the oracle lets a false verdict pass",
                cell.name
            );
        }
        judgements.push(judgement);
    }
    judgements
}

async fn records(desk: &Desk) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let from = records.last().map_or(1, |record: &Record| record.index + 1);
        let page = desk.app.store.audit(from, PAGE).await.expect("the audit trail");
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

/// Prints the table: to each lie about each write, how many orders, how many of them Confirmed, their verdicts, and what was wrong.
fn print_table(cells: &[Cell], judgements: &[Judgement]) {
    let mut table: BTreeMap<&str, BTreeMap<&str, [u64; 5]>> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (cell, judgement) in cells.iter().zip(judgements) {
        let counts = table.entry(cell.row).or_default().entry(cell.column).or_default();
        counts[0] += 1;
        counts[1] += u64::from(judgement.confirmed);
        counts[2] += judgement.applied;
        counts[3] += judgement.not_applied;
        counts[4] += judgement.wrong.len() as u64;
        if let Some(reason) = &judgement.parked {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    println!(
        "orders, Confirmed, verdicts Applied/NotApplied, wrong; the others are parked with a reason"
    );
    println!("{:<22}{}", "", COLUMNS.map(|column| format!("{column:>18}")).concat());
    for (row, columns) in &table {
        let text = |column: &str| {
            columns.get(column).map_or(
                String::new(),
                |[orders, confirmed, applied, not_applied, wrong]| {
                    format!("{orders} {confirmed} {applied}/{not_applied} {wrong}")
                },
            )
        };
        println!("{row:<22}{}", COLUMNS.map(|column| format!("{:>18}", text(column))).concat());
    }
    println!("parked: {reasons:?}");
}

/// Prints table and figures, writes them down, and fails on anything wrong.
fn report(cells: &[Cell], judgements: &[Judgement]) {
    print_table(cells, judgements);
    let sum = |count: fn(&Judgement) -> u64| judgements.iter().map(count).sum::<u64>();
    let confirmed = sum(|it| u64::from(it.confirmed));
    let wrong = sum(|it| it.wrong.len() as u64);
    let (orders, sent) = (cells.len(), sum(|it| it.sent));
    let (applied, not_applied) = (sum(|it| it.applied), sum(|it| it.not_applied));
    let storms = cells.iter().filter(|cell| matches!(cell.plan, Plan::Storm { .. })).count();
    let measured = json!({
        "orders": orders, "storms": storms, "key_scripts_sent": sent, "applied": applied,
        "not_applied": not_applied, "confirmed": confirmed, "parked": orders as u64 - confirmed, "wrong": wrong,
    });
    figures::publish("ambiguity", None, &measured);
    assert_eq!(wrong, 0, "see WRONG above");
    for (cell, judgement) in cells.iter().zip(judgements) {
        // Otherwise a gateway that parks everything would pass.
        if cell.row == "none" && PRODUCTS[cell.product].has_r_mac() {
            assert!(
                judgement.confirmed,
                "{} told the truth and is parked: {:?}",
                cell.name, judgement.parked
            );
        }
    }
}
