//! Random walks over the real functions: whatever events arrive, the promises hold.

use order::{
    Evidence, EvidenceClass, KeyWriteItem, OrderEvent, OrderState, Owner, ParkReason, PlannedWrite,
    Verdict, WriteEvent, WriteKind, WriteState, transition,
};
use proptest::prelude::*;

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        Just(EvidenceClass::RMacAnswer),
        Just(EvidenceClass::ProbeRMac),
        Just(EvidenceClass::ProbeHigherCounter),
        Just(EvidenceClass::KeyInformationTemplate),
        Just(EvidenceClass::ApplicationProbe),
    ]
    .prop_map(|how| Evidence { how, detail: String::new() })
}

fn write_event() -> impl Strategy<Value = WriteEvent> {
    prop_oneof![
        3 => "[a-z]{8}".prop_map(|candidate| WriteEvent::Staged {
            candidate, kvn: Some("31".into()), kcv: None
        }),
        3 => Just(WriteEvent::ChannelOpened),
        1 => Just(WriteEvent::ChannelLost),
        3 => Just(WriteEvent::Sent { session: "5E".into(), script_sha256: "AB".into() }),
        2 => Just(WriteEvent::Unresolved),
        2 => evidence().prop_map(|evidence| WriteEvent::Applied { evidence }),
        2 => evidence().prop_map(|evidence| WriteEvent::NotApplied { evidence }),
        3 => evidence().prop_map(|evidence| WriteEvent::Confirmed { evidence }),
        3 => Just(WriteEvent::Retry),
        1 => evidence().prop_map(|evidence| WriteEvent::Late { appeared: "c0".into(), evidence }),
        1 => Just(WriteEvent::Quarantined { reason: "why".into() }),
    ]
}

fn order_event() -> impl Strategy<Value = OrderEvent> {
    prop_oneof![
        40 => (0..4usize, write_event()).prop_map(|(i, event)| OrderEvent::Write { index: i, event }),
        1 => Just(OrderEvent::FoundEligible),
        1 => Just(OrderEvent::Prepared),
        1 => Just(OrderEvent::CounterOpened),
        1 => Just(OrderEvent::Authorized {
            writes: vec![PlannedWrite { kind: WriteKind::SdKeyset, attempts_max: 1 }]
        }),
        1 => Just(OrderEvent::Parked { reason: ParkReason::Unreachable, owner: Owner::Carrier }),
        4 => Just(OrderEvent::Resumed),
        1 => Just(OrderEvent::Refused { code: "T13".into() }),
        1 => Just(OrderEvent::Cancelled),
        1 => Just(OrderEvent::Expired),
    ]
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

fn walk(start: OrderState, events: &[OrderEvent]) -> OrderState {
    let mut state = start;
    let mut seen = vec![Seen::default(); state.writes().len()];
    for event in events {
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
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_on_any_walk(events in prop::collection::vec(order_event(), 0..400)) {
        walk(authorized(), &events);
    }

    #[test]
    fn whatever_is_parked_goes_on_where_it_stood(
        events in prop::collection::vec(order_event(), 0..60)
    ) {
        let state = walk(authorized(), &events);
        let park = OrderEvent::Parked { reason: ParkReason::Halted, owner: Owner::Operator };
        if let Ok(parked) = transition(&state, &park) {
            prop_assert_eq!(parked.writes(), state.writes());
            prop_assert_eq!(transition(&parked, &OrderEvent::Resumed).unwrap(), state);
        }
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
