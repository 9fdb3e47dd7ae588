//! Random walks over the real functions: whatever events arrive, the promises hold.

use std::collections::BTreeMap;

use order::{
    Evidence, EvidenceClass, KeyWriteItem, OrderEvent, OrderState, Owner, ParkReason, PlannedWrite,
    Verdict, WriteEvent, WriteKind, WriteState, transition,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const CLASSES: [EvidenceClass; 5] = [
    EvidenceClass::RMacAnswer,
    EvidenceClass::ProbeRMac,
    EvidenceClass::ProbeHigherCounter,
    EvidenceClass::KeyInformationTemplate,
    EvidenceClass::ApplicationProbe,
];

/// Everything that can be tried, legal or not, on three writes and one that is not there.
fn menu() -> Vec<OrderEvent> {
    let mut writes = vec![
        WriteEvent::Staged { candidate: "c1".into(), kvn: Some("31".into()), kcv: None },
        WriteEvent::ChannelOpened,
        WriteEvent::ChannelLost,
        WriteEvent::Sent { session: "5E".into(), script_sha256: "AB".into() },
        WriteEvent::Unresolved,
        WriteEvent::Retry,
        WriteEvent::Quarantined { reason: "why".into() },
    ];
    for evidence in CLASSES.map(probe) {
        writes.push(WriteEvent::Applied { evidence: evidence.clone() });
        writes.push(WriteEvent::NotApplied { evidence: evidence.clone() });
        writes.push(WriteEvent::Confirmed { evidence: evidence.clone() });
        writes.push(WriteEvent::Late { appeared: "c0".into(), evidence });
    }
    let plan = vec![PlannedWrite { kind: WriteKind::SdKeyset, attempts_max: 1 }];
    let mut menu = vec![
        OrderEvent::FoundEligible,
        OrderEvent::Prepared,
        OrderEvent::CounterOpened,
        OrderEvent::Authorized { writes: plan },
        OrderEvent::Parked { reason: ParkReason::Unreachable, owner: Owner::Carrier },
        OrderEvent::Resumed,
        OrderEvent::Refused { code: "T13".into() },
        OrderEvent::Cancelled,
        OrderEvent::Expired,
    ];
    for index in 0..4 {
        menu.extend(writes.iter().map(|event| OrderEvent::Write { index, event: event.clone() }));
    }
    menu
}

/// One step of a walk: anything at all, or, mostly, one of the events that are legal now.
#[derive(Debug, Clone)]
enum Step {
    Any(prop::sample::Index),
    Legal(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<prop::sample::Index>().prop_map(Step::Any),
        3 => any::<prop::sample::Index>().prop_map(Step::Legal),
    ]
}

fn choose<'a>(menu: &'a [OrderEvent], state: &OrderState, step: &Step) -> Option<&'a OrderEvent> {
    match step {
        Step::Any(index) => Some(index.get(menu)),
        Step::Legal(index) => {
            // Ending the walk early teaches nothing: quarantine and the exits come by `Any` alone.
            let legal: Vec<_> = menu
                .iter()
                .filter(|event| transition(state, event).is_ok_and(|next| goes_on(&next)))
                .collect();
            (!legal.is_empty()).then(|| *index.get(&legal))
        }
    }
}

fn goes_on(state: &OrderState) -> bool {
    let stuck = |write: &KeyWriteItem| matches!(write.state, WriteState::Quarantined { .. });
    !["Refused", "Cancelled", "Expired"].contains(&state.word())
        && !state.writes().iter().any(stuck)
}

fn authorized() -> OrderState {
    let kinds = [WriteKind::SdKeyset, WriteKind::SdKeysetDelete, WriteKind::AppKey];
    let writes = kinds
        .map(|kind| KeyWriteItem::planned(&PlannedWrite { kind, attempts_max: 2 }).unwrap())
        .to_vec();
    OrderState::Authorized { writes }
}

/// What an observer of one write has seen so far.
#[derive(Default, Clone)]
struct Seen {
    sent: u32,
    in_flight: bool,
    applied: bool,
}

fn observe(seen: &mut Seen, before: &WriteState, after: &WriteState) {
    if before == after {
        return;
    }
    match after {
        WriteState::Sent { .. } => {
            assert!(!seen.in_flight, "sent twice without NotApplied between");
            assert!(!seen.applied, "sent again after Applied");
            seen.sent += 1;
            seen.in_flight = true;
        }
        WriteState::NotApplied { evidence, .. } => {
            assert_ne!(evidence.how, EvidenceClass::RMacAnswer);
            seen.in_flight = false;
        }
        WriteState::Applied { .. } => seen.applied = true,
        WriteState::Confirmed { .. } => assert!(seen.applied, "confirmed before applied"),
        WriteState::Planned
        | WriteState::Staged { .. }
        | WriteState::ChannelOpen { .. }
        | WriteState::Unresolved { .. }
        | WriteState::Late { .. }
        | WriteState::Quarantined { .. } => {}
    }
}

fn check(state: &OrderState) {
    for pair in state.writes().windows(2) {
        let [first, second] = pair else { continue };
        if !matches!(second.state, WriteState::Planned) || second.attempts > 0 {
            assert!(
                matches!(first.state, WriteState::Confirmed { .. } | WriteState::Late { .. }),
                "a write began before the one before was confirmed"
            );
        }
    }
    if let OrderState::Confirmed { writes } = state {
        assert!(writes.iter().all(|write| {
            matches!(write.state, WriteState::Confirmed { .. } | WriteState::Late { .. })
                && write.last.as_ref().and_then(|last| last.verdict) == Some(Verdict::Applied)
        }));
    }
    if let OrderState::Parked { from, .. } = state {
        assert_ne!(from.word(), "Parked");
    }
}

fn walk(start: OrderState, steps: &[Step]) -> OrderState {
    let menu = menu();
    let mut state = start;
    let mut seen = vec![Seen::default(); state.writes().len()];
    for step in steps {
        let Some(event) = choose(&menu, &state, step) else { continue };
        let Ok(next) = transition(&state, event) else { continue };
        if state.is_terminal() {
            assert_eq!(state.word(), next.word(), "a terminal state was left");
        }
        if state.word() == "Writing" {
            assert!(["Writing", "Confirmed", "Parked"].contains(&next.word()));
        }
        for (index, write) in next.writes().iter().enumerate() {
            assert!(write.attempts <= write.attempts_max);
            observe(&mut seen[index], &state.writes()[index].state, &write.state);
            assert_eq!(write.attempts, seen[index].sent);
        }
        check(&next);
        state = next;
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_on_any_walk(steps in prop::collection::vec(step(), 0..120)) {
        walk(authorized(), &steps);
    }

    #[test]
    fn whatever_is_parked_goes_on_where_it_stood(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        let state = walk(authorized(), &steps);
        let park = OrderEvent::Parked { reason: ParkReason::Halted, owner: Owner::Operator };
        if let Ok(parked) = transition(&state, &park) {
            prop_assert_eq!(parked.writes(), state.writes());
            prop_assert_eq!(transition(&parked, &OrderEvent::Resumed).unwrap(), state);
        }
    }
}

#[test]
fn walks_reach_every_end() {
    let mut runner = TestRunner::deterministic();
    let mut ends = BTreeMap::<&str, u32>::new();
    for _ in 0..1000 {
        let steps = prop::collection::vec(step(), 100).new_tree(&mut runner).unwrap().current();
        *ends.entry(walk(authorized(), &steps).word()).or_default() += 1;
    }
    for end in ["Confirmed", "Writing", "Parked", "Refused", "Cancelled", "Expired"] {
        assert!(ends.contains_key(end), "no walk ended {end}: {ends:?}");
    }
}

fn probe(how: EvidenceClass) -> Evidence {
    Evidence { how, detail: String::new() }
}

/// One attempt that ends in `judged`.
fn attempt(index: usize, candidate: &str, judged: Vec<WriteEvent>) -> Vec<OrderEvent> {
    let start = [
        WriteEvent::Staged { candidate: candidate.into(), kvn: Some("31".into()), kcv: None },
        WriteEvent::ChannelOpened,
        WriteEvent::ChannelLost,
        WriteEvent::ChannelOpened,
        WriteEvent::Sent { session: "5E".into(), script_sha256: "AB".into() },
    ];
    start.into_iter().chain(judged).map(|event| OrderEvent::Write { index, event }).collect()
}

#[test]
fn an_issue_reaches_confirmed() {
    use EvidenceClass::*;
    let [keyset, _, app] = authorized().writes().to_vec().try_into().unwrap();
    let start = OrderState::Authorized { writes: vec![keyset, app] };
    let failed = vec![
        WriteEvent::Unresolved,
        WriteEvent::NotApplied { evidence: probe(ProbeRMac) },
        WriteEvent::Retry,
    ];
    let applied = vec![
        WriteEvent::Applied { evidence: probe(RMacAnswer) },
        WriteEvent::Confirmed { evidence: probe(KeyInformationTemplate) },
    ];
    let probed = vec![
        WriteEvent::Unresolved,
        WriteEvent::Applied { evidence: probe(ApplicationProbe) },
        WriteEvent::Confirmed { evidence: probe(ApplicationProbe) },
    ];
    let events =
        [attempt(0, "c1", failed), attempt(0, "c2", applied), attempt(1, "c3", probed)].concat();
    let mut state = start;
    for event in &events {
        state = transition(&state, event).unwrap();
    }
    assert_eq!(state.word(), "Confirmed");
    assert!(state.is_terminal());
    assert_eq!(state.writes()[0].attempts, 2);
    assert_eq!(state.writes()[0].state.candidate(), Some("c2"));
}

#[test]
fn attempts_end() {
    let failed = vec![
        WriteEvent::Unresolved,
        WriteEvent::NotApplied { evidence: probe(EvidenceClass::ProbeHigherCounter) },
        WriteEvent::Retry,
    ];
    let mut events = [attempt(0, "c1", failed.clone()), attempt(0, "c2", failed)].concat();
    let last = events.pop().unwrap();
    let mut state = authorized();
    for event in &events {
        state = transition(&state, event).unwrap();
    }
    assert_eq!(
        transition(&state, &last),
        Err(order::IllegalEvent::AttemptsSpent { attempts_max: 2 })
    );
}
