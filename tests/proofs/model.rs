//! The key write's protocol, model-checked: the production functions that move an order, between two executors that crash anywhere, a
//! carrier that repeats, reorders and loses, and one SE.
//!
//! Checked in every state within the bounds: S1 to S5 of the project's promises; and that every end of an order can be reached. Then
//! each seeded fault has to be caught. Cryptography is abstract: a session is the numbers that make it, and only its two ends know it.

#[path = "model/carrier.rs"]
mod carrier;
#[path = "model/executor.rs"]
mod executor;
#[path = "model/fault.rs"]
mod fault;
#[path = "model/se.rs"]
mod se;

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use carrier::{Answer, Carrier, Command};
use executor::{Executor, Move, Step, number, write};
use fault::Fault;
use order::{OrderEvent, OrderState, PlannedWrite, WriteKind, WriteState, transition};
use se::SecureElement;
use serde_json::{Value, json};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use tests::figures;

/// Attempts the authorization allows.
const ATTEMPTS_MAX: u32 = 2;
/// The checker's threads.
const THREADS: usize = 2;

/// A key set staged for writing, by its number.
pub(crate) type Candidate = u8;

/// The key set a session is opened under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KeySet {
    /// The first one.
    Prior,
    /// One of ours.
    Fresh(Candidate),
}

/// What makes a session's keys: both challenges and the key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Session {
    host: u8,
    card: u8,
    key_set: KeySet,
}

/// How SEs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trait {
    /// The new key set stands beside the prior one instead of replacing it.
    Additive,
    /// The card challenge is derived from the sequence counter (`i` bit 10: Amendment D, section 5.1).
    PredictableChallenge,
    /// Opening a session leaves the ones before it open, as logical channels may.
    OlderSessionsStayOpen,
}

/// An SE's traits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant(&'static [Trait]);

impl Variant {
    pub(crate) fn has(&self, named: Trait) -> bool {
        self.0.contains(&named)
    }
}

/// What keeps the model finite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Sessions the executors may ask for.
    pub(crate) hosts: u8,
    /// Sessions the SE may open, repetitions by the carrier included.
    pub(crate) openings: u8,
    /// Key sets custody may make, those of executors that were overtaken included.
    pub(crate) candidates: u8,
}

/// The model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    variant: Variant,
    fault: Option<Fault>,
    bounds: Bounds,
}

/// The world: what is durable, what is in memory, what is on the way, what is true.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The store's record of the order.
    order: Arc<OrderState>,
    /// Key sets custody holds durably.
    custody: BTreeSet<Candidate>,
    /// Key sets made so far.
    candidates: u8,
    /// Host challenges used so far.
    hosts: u8,
    executors: [Executor; 2],
    carrier: Carrier,
    se: SecureElement,
    ledger: Ledger,
}

/// What really happened, for the properties alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Ledger {
    /// Every `Sent` ever committed.
    sent: BTreeSet<(Session, Candidate)>,
    /// Every script handed to the carrier, in ascending order.
    released: Vec<Candidate>,
    /// Every candidate ever found `NotApplied`.
    denied: BTreeSet<Candidate>,
}

impl State {
    /// The record as it is from now on; every other copy of it is out of date.
    pub(crate) fn store(&mut self, next: Arc<OrderState>) {
        self.order = next;
        for executor in &mut self.executors {
            if let Executor::Working { current, .. } = executor {
                *current = false;
            }
        }
    }
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A token is consumed for the order's one key write.
    Consume,
    /// Somebody takes the order off the road, or up again.
    Leave(usize),
    /// An executor reads the record.
    Take(usize),
    /// An executor loses its memory, and starts again.
    Crash(usize),
    /// An executor goes on.
    Make(usize, Move),
    /// The carrier delivers something, not for the first time perhaps.
    Deliver(Command),
}

/// What people do to orders.
fn leavings() -> [OrderEvent; 4] {
    let refused = OrderEvent::Refused { code: String::from("T13") };
    [OrderEvent::Resumed, refused, OrderEvent::Cancelled, OrderEvent::Expired]
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            order: Arc::new(OrderState::AwaitingCounter),
            custody: BTreeSet::new(),
            candidates: 0,
            hosts: 0,
            executors: [Executor::Idle, Executor::Idle],
            carrier: Carrier::default(),
            se: SecureElement::new(),
            ledger: Ledger::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Consume);
        actions.extend((0..leavings().len()).map(Action::Leave));
        for (index, executor) in state.executors.iter().enumerate() {
            match executor {
                Executor::Idle => actions.push(Action::Take(index)),
                Executor::Working { .. } => actions.push(Action::Crash(index)),
            }
            let mut moves = Vec::new();
            executor::moves(state, index, &mut moves);
            actions.extend(moves.into_iter().map(|what| Action::Make(index, what)));
        }
        actions.extend(state.carrier.commands.iter().map(|command| Action::Deliver(*command)));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = match action {
            Action::Consume => {
                let plan = PlannedWrite { kind: WriteKind::SdKeyset, attempts_max: ATTEMPTS_MAX };
                move_order(state, &OrderEvent::Authorized { writes: vec![plan] })?
            }
            Action::Leave(which) => move_order(state, leavings().get(which)?)?,
            Action::Take(executor) => take(state, executor)?,
            Action::Crash(executor) => {
                let mut next = state.clone();
                next.executors[executor] = Executor::Idle;
                next
            }
            Action::Make(executor, what) => executor::make(self, state, executor, what)?,
            Action::Deliver(command) => self.deliver(state, command)?,
        };
        // The executors are alike: states that differ in which is which are one.
        Some(in_order(next)).filter(|next| next != state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("S1 nothing leaves without a durable Sent", sent_before_released),
            Property::always("S2 nothing is sent twice", sent_once),
            Property::always("S3 custody holds what may be on the SE", custody_first),
            Property::always("S4 a verdict is true", verdicts_are_true),
            Property::always("S5 no commit is lost", no_commit_is_lost),
            Property::always("an honest SE is not quarantined", never_quarantined),
            Property::sometimes("Confirmed at the first attempt", |_, state| {
                confirmed_at(state, 1)
            }),
            Property::sometimes("Confirmed at the second", |_, state| confirmed_at(state, 2)),
            Property::sometimes("Parked, unresolved", |_, state| parked(state, "unresolved")),
            Property::sometimes("Parked, attempts spent", |_, state| {
                parked(state, "attempts_spent")
            }),
            Property::sometimes("Refused", |_, state| ended(state, "Refused")),
            Property::sometimes("Cancelled", |_, state| ended(state, "Cancelled")),
            Property::sometimes("Expired", |_, state| ended(state, "Expired")),
        ]
    }
}

impl Protocol {
    fn deliver(&self, state: &State, command: Command) -> Option<State> {
        let mut next = state.clone();
        match command {
            Command::Initialize { host, fresh } => {
                let session = next.se.initialize(&self.variant, host, fresh)?;
                if session.card > self.bounds.openings {
                    return None;
                }
                next.carrier.answers.insert(Answer::Challenge(session));
            }
            Command::Authenticate(session) => next.se.authenticate(&self.variant, session),
            Command::Write(session, candidate) => {
                if next.se.write(&self.variant, session, candidate) {
                    next.carrier.answers.insert(Answer::Written(session));
                }
            }
            Command::Read(session) => {
                let report = next.se.read(session)?;
                next.carrier.answers.insert(Answer::Report(session, report));
            }
            Command::Look => {
                next.carrier.answers.insert(Answer::Looked(next.se.report()));
            }
        }
        Some(next)
    }
}

fn move_order(state: &State, event: &OrderEvent) -> Option<State> {
    let order = transition(&state.order, event).ok()?;
    let mut next = state.clone();
    next.store(Arc::new(order));
    Some(next)
}

fn take(state: &State, executor: usize) -> Option<State> {
    let wanted = matches!(*state.order, OrderState::Authorized { .. } | OrderState::Writing { .. });
    let mut next = state.clone();
    let order = Arc::clone(&state.order);
    next.executors[executor] = Executor::Working { order, current: true, step: Step::Fetched };
    wanted.then_some(next)
}

fn in_order(mut state: State) -> State {
    let rank = |executor: &Executor| {
        let mut hasher = DefaultHasher::new();
        executor.hash(&mut hasher);
        hasher.finish()
    };
    if rank(&state.executors[0]) > rank(&state.executors[1]) {
        state.executors.reverse();
    }
    state
}

fn sent_before_released(_: &Protocol, state: &State) -> bool {
    state.carrier.commands.iter().all(|command| match command {
        Command::Write(session, candidate) => state.ledger.sent.contains(&(*session, *candidate)),
        _ => true,
    })
}

/// Each candidate leaves once, a further one only when those before were found `NotApplied`, and no more than allowed.
fn sent_once(_: &Protocol, state: &State) -> bool {
    let released = &state.ledger.released;
    let open = released.iter().filter(|candidate| !state.ledger.denied.contains(candidate));
    released.windows(2).all(|pair| pair[0] != pair[1])
        && open.count() <= 1
        && released.len() <= ATTEMPTS_MAX as usize
}

fn custody_first(_: &Protocol, state: &State) -> bool {
    let on_its_way = state.carrier.commands.iter().filter_map(|command| match command {
        Command::Write(_, candidate) => Some(*candidate),
        _ => None,
    });
    on_its_way.chain(state.se.fresh).all(|candidate| state.custody.contains(&candidate))
}

fn verdicts_are_true(protocol: &Protocol, state: &State) -> bool {
    let held = state.se.fresh;
    if held.is_some_and(|held| state.ledger.denied.contains(&held)) {
        return false;
    }
    state.order.writes().iter().all(|item| match &item.state {
        WriteState::Applied { candidate, .. } | WriteState::Confirmed { candidate, .. } => {
            held == Some(number(candidate))
                && state.se.prior == protocol.variant.has(Trait::Additive)
        }
        _ => true,
    })
}

/// Every `Sent` ever committed is counted in the record: none was overwritten by a copy that did not know of it.
fn no_commit_is_lost(_: &Protocol, state: &State) -> bool {
    let counted: u32 = state.order.writes().iter().map(|item| item.attempts).sum();
    counted as usize == state.ledger.sent.len()
}

fn never_quarantined(_: &Protocol, state: &State) -> bool {
    state
        .order
        .writes()
        .iter()
        .all(|item| !matches!(item.state, WriteState::Quarantined { .. } | WriteState::Late { .. }))
}

fn confirmed_at(state: &State, attempt: u32) -> bool {
    matches!(*state.order, OrderState::Confirmed { .. }) && write(&state.order).attempts == attempt
}

fn ended(state: &State, word: &str) -> bool {
    state.order.word() == word
}

fn parked(state: &State, why: &str) -> bool {
    matches!(&*state.order, OrderState::Parked { reason, .. } if reason.as_str() == why)
}

/// What is checked, and how far.
struct Run {
    name: &'static str,
    variant: Variant,
    /// Within a minute.
    brief: Bounds,
    /// However long it takes.
    full: Bounds,
}

const fn bounds(hosts: u8, openings: u8) -> Bounds {
    Bounds { hosts, openings, candidates: 2 }
}

const RUNS: [Run; 3] = [
    Run {
        name: "replaced, random challenge",
        variant: Variant(&[]),
        brief: bounds(3, 3),
        full: bounds(4, 4),
    },
    Run {
        name: "replaced, predictable challenge",
        variant: Variant(&[Trait::PredictableChallenge]),
        brief: bounds(2, 2),
        full: bounds(3, 2),
    },
    Run {
        name: "beside, random challenge",
        variant: Variant(&[Trait::Additive]),
        brief: bounds(3, 3),
        full: bounds(4, 4),
    },
];

/// Enough for two attempts, each with its probe, and the session that confirms.
const FOR_EVERY_END: Bounds = bounds(4, 4);

fn names(protocol: &Protocol, wanted: Expectation) -> BTreeSet<&'static str> {
    let properties = protocol.properties().into_iter();
    properties.filter(|one| one.expectation == wanted).map(|one| one.name).collect()
}

/// Looks at every state within the bounds.
fn hold(run: &Run, full: bool) -> Value {
    let bounds = if full { run.full } else { run.brief };
    let protocol = Protocol { variant: run.variant, fault: None, bounds };
    let began = Instant::now();
    let checker = protocol.checker().threads(THREADS).spawn_bfs().join();
    for broken in names(&protocol, Expectation::Always) {
        checker.assert_no_discovery(broken);
    }
    json!({
        "model": run.name,
        "unique_states": checker.unique_state_count(),
        "states": checker.state_count(),
        "depth": checker.max_depth(),
        "seconds": began.elapsed().as_secs(),
    })
}

/// Every end of an order can be reached; stops when all were.
fn reach(run: &Run) -> usize {
    let protocol = Protocol { variant: run.variant, fault: None, bounds: FOR_EVERY_END };
    let ends = names(&protocol, Expectation::Sometimes);
    let wanted = HasDiscoveries::AllOf(ends.clone());
    let checker = protocol.checker().threads(THREADS).finish_when(wanted).spawn_dfs().join();
    ends.iter().for_each(|end| drop(checker.assert_any_discovery(end)));
    ends.len()
}

/// The property a fault breaks, and in how many steps.
fn caught(fault: Fault, traits: &'static [Trait]) -> Option<(&'static str, usize)> {
    let bounds = bounds(fault.sessions(), fault.sessions());
    let protocol = Protocol { variant: Variant(traits), fault: Some(fault), bounds };
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    // The shortest way there, unless it is too far to look at everything nearer.
    let discoveries = match fault {
        Fault::StaleReport => checker.spawn_dfs().join().discoveries(),
        _ => checker.spawn_bfs().join().discoveries(),
    };
    let broken = names(&protocol, Expectation::Always);
    let mut found = discoveries.into_iter();
    let (name, path) = found.find(|(name, _)| broken.contains(name))?;
    Some((name, path.into_actions().len()))
}

#[test]
fn the_protocol_keeps_its_promises_and_every_fault_is_caught() {
    let full = figures::full();
    let held: Vec<Value> = RUNS.iter().map(|run| hold(run, full)).collect();
    let ends = reach(&RUNS[0]);
    let mut faults = Vec::new();
    for (fault, traits) in Fault::ALL {
        let Some((broken, steps)) = caught(fault, traits) else {
            panic!("{fault:?} was not caught")
        };
        println!("{fault:?}: breaks \"{broken}\" in {steps} steps");
        faults.push(json!({ "fault": format!("{fault:?}"), "breaks": broken, "steps": steps }));
    }
    let unique: u64 = held.iter().filter_map(|one| one["unique_states"].as_u64()).sum();
    if full {
        assert!(unique >= 1_000_000, "only {unique} states");
    }
    let summary = json!({
        "unique_states": unique, "ends_reached": ends, "faults_caught": faults.len(),
        "models": held, "faults": faults,
    });
    figures::publish("model", None, &summary);
}
