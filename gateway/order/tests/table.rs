//! Every state against every event: the pairs listed are legal and lead where the list says; every
//! other pair is refused.

use order::{
    Evidence, EvidenceClass, IllegalEvent, KeyWriteItem, OrderEvent, OrderState, Owner, ParkReason,
    PlannedWrite, WriteEvent, WriteKind, WriteState, transition, write_transition,
};

fn evidence(how: EvidenceClass) -> Evidence {
    Evidence { how, detail: "9000".into() }
}

fn write_states() -> Vec<WriteState> {
    let candidate = || "c1".to_owned();
    let (session, script_sha256) = ("5E".to_owned(), "AB".to_owned());
    let probe = || evidence(EvidenceClass::ProbeRMac);
    vec![
        WriteState::Planned,
        WriteState::Staged { candidate: candidate() },
        WriteState::ChannelOpen { candidate: candidate() },
        WriteState::Sent {
            candidate: candidate(),
            session: session.clone(),
            script_sha256: script_sha256.clone(),
        },
        WriteState::Unresolved { candidate: candidate(), session, script_sha256 },
        WriteState::Applied { candidate: candidate(), evidence: probe() },
        WriteState::NotApplied { candidate: candidate(), evidence: probe() },
        WriteState::Confirmed { candidate: candidate(), evidence: probe() },
        WriteState::Late { candidate: candidate(), appeared: "c0".into(), evidence: probe() },
        WriteState::Quarantined { from: Box::new(WriteState::Planned), reason: "why".into() },
    ]
}

fn write_events(how: EvidenceClass) -> Vec<WriteEvent> {
    vec![
        WriteEvent::Staged { candidate: "c1".into(), kvn: Some("31".into()), kcv: None },
        WriteEvent::ChannelOpened,
        WriteEvent::ChannelLost,
        WriteEvent::Sent { session: "5E".into(), script_sha256: "AB".into() },
        WriteEvent::Unresolved,
        WriteEvent::Applied { evidence: evidence(how) },
        WriteEvent::NotApplied { evidence: evidence(how) },
        WriteEvent::Confirmed { evidence: evidence(how) },
        WriteEvent::Retry,
        WriteEvent::Late { appeared: "c0".into(), evidence: evidence(how) },
        WriteEvent::Quarantined { reason: "why".into() },
    ]
}

/// State, event, state after; on a probe's evidence.
const WRITE_LEGAL_ON_PROBE: &[(&str, &str, &str)] = &[
    ("Planned", "Staged", "Staged"),
    ("Staged", "ChannelOpened", "ChannelOpen"),
    ("ChannelOpen", "ChannelLost", "Staged"),
    ("ChannelOpen", "Sent", "Sent"),
    ("Sent", "Unresolved", "Unresolved"),
    ("Unresolved", "Applied", "Applied"),
    ("Unresolved", "NotApplied", "NotApplied"),
    ("Applied", "Confirmed", "Confirmed"),
    ("NotApplied", "Retry", "Planned"),
    ("Confirmed", "Late", "Late"),
    ("Staged", "Quarantined", "Quarantined"),
    ("ChannelOpen", "Quarantined", "Quarantined"),
    ("Sent", "Quarantined", "Quarantined"),
    ("Unresolved", "Quarantined", "Quarantined"),
    ("Applied", "Quarantined", "Quarantined"),
    ("NotApplied", "Quarantined", "Quarantined"),
];

/// The same, on the evidence of the write's own answer.
const WRITE_LEGAL_ON_ANSWER: &[(&str, &str, &str)] = &[
    ("Planned", "Staged", "Staged"),
    ("Staged", "ChannelOpened", "ChannelOpen"),
    ("ChannelOpen", "ChannelLost", "Staged"),
    ("ChannelOpen", "Sent", "Sent"),
    ("Sent", "Applied", "Applied"),
    ("Sent", "Unresolved", "Unresolved"),
    ("Unresolved", "Applied", "Applied"),
    ("NotApplied", "Retry", "Planned"),
    ("Staged", "Quarantined", "Quarantined"),
    ("ChannelOpen", "Quarantined", "Quarantined"),
    ("Sent", "Quarantined", "Quarantined"),
    ("Unresolved", "Quarantined", "Quarantined"),
    ("Applied", "Quarantined", "Quarantined"),
    ("NotApplied", "Quarantined", "Quarantined"),
];

fn check_writes(how: EvidenceClass, legal: &[(&str, &str, &str)]) {
    for state in write_states() {
        for event in write_events(how) {
            let expected = legal
                .iter()
                .find(|(from, by, _)| *from == state.word() && *by == event.word())
                .map(|(_, _, to)| *to);
            let got = write_transition(&state, &event);
            assert_eq!(
                got.as_ref().ok().map(WriteState::word),
                expected,
                "{} on {}",
                event.word(),
                state.word()
            );
            if let Ok(next) = got
                && next != WriteState::Planned
                && state != WriteState::Planned
            {
                assert_eq!(next.candidate(), state.candidate(), "the candidate survives");
            }
        }
    }
}

#[test]
fn every_write_state_against_every_event() {
    check_writes(EvidenceClass::RMacAnswer, WRITE_LEGAL_ON_ANSWER);
    for how in [
        EvidenceClass::ProbeRMac,
        EvidenceClass::ProbeHigherCounter,
        EvidenceClass::KeyInformationTemplate,
        EvidenceClass::ApplicationProbe,
    ] {
        check_writes(how, WRITE_LEGAL_ON_PROBE);
    }
}

fn item(kind: WriteKind) -> KeyWriteItem {
    KeyWriteItem::planned(&PlannedWrite { kind, attempts_max: 2 }).unwrap()
}

fn two() -> Vec<KeyWriteItem> {
    vec![item(WriteKind::SdKeyset), item(WriteKind::AppKey)]
}

fn confirmed() -> Vec<KeyWriteItem> {
    two()
        .into_iter()
        .map(|write| KeyWriteItem {
            state: WriteState::Confirmed {
                candidate: "c1".into(),
                evidence: evidence(EvidenceClass::ProbeRMac),
            },
            ..write
        })
        .collect()
}

fn parked(from: OrderState) -> OrderState {
    OrderState::Parked {
        reason: ParkReason::Unreachable,
        owner: Owner::Carrier,
        from: Box::new(from),
    }
}

fn order_states() -> Vec<(&'static str, OrderState)> {
    vec![
        ("Accepted", OrderState::Accepted),
        ("Eligible", OrderState::Eligible),
        ("Prepared", OrderState::Prepared),
        ("AwaitingCounter", OrderState::AwaitingCounter),
        ("Authorized", OrderState::Authorized { writes: two() }),
        ("Writing", OrderState::Writing { writes: two() }),
        ("Confirmed", OrderState::Confirmed { writes: confirmed() }),
        ("Parked/Prepared", parked(OrderState::Prepared)),
        ("Parked/Writing", parked(OrderState::Writing { writes: two() })),
        ("Refused", OrderState::Refused { code: "S02".into() }),
        ("Cancelled", OrderState::Cancelled),
        ("Expired", OrderState::Expired),
    ]
}

fn order_events() -> Vec<(&'static str, OrderEvent)> {
    let staged = WriteEvent::Staged { candidate: "c1".into(), kvn: None, kcv: None };
    let late = WriteEvent::Late {
        appeared: "c0".into(),
        evidence: evidence(EvidenceClass::KeyInformationTemplate),
    };
    vec![
        ("FoundEligible", OrderEvent::FoundEligible),
        ("Prepared", OrderEvent::Prepared),
        ("CounterOpened", OrderEvent::CounterOpened),
        (
            "Authorized",
            OrderEvent::Authorized {
                writes: vec![PlannedWrite { kind: WriteKind::SdKeyset, attempts_max: 2 }],
            },
        ),
        ("Write Staged", OrderEvent::Write { index: 0, event: staged }),
        ("Write Late", OrderEvent::Write { index: 0, event: late }),
        ("Parked", OrderEvent::Parked { reason: ParkReason::Halted, owner: Owner::Operator }),
        ("Resumed", OrderEvent::Resumed),
        ("Refused", OrderEvent::Refused { code: "T13".into() }),
        ("Cancelled", OrderEvent::Cancelled),
        ("Expired", OrderEvent::Expired),
    ]
}

const ORDER_LEGAL: &[(&str, &str, &str)] = &[
    ("Accepted", "FoundEligible", "Eligible"),
    ("Eligible", "Prepared", "Prepared"),
    ("Prepared", "CounterOpened", "AwaitingCounter"),
    ("AwaitingCounter", "CounterOpened", "AwaitingCounter"),
    ("AwaitingCounter", "Authorized", "Authorized"),
    ("Authorized", "Write Staged", "Writing"),
    ("Writing", "Write Staged", "Writing"),
    ("Confirmed", "Write Late", "Confirmed"),
    ("Parked/Prepared", "Resumed", "Prepared"),
    ("Parked/Writing", "Resumed", "Writing"),
    ("Accepted", "Parked", "Parked"),
    ("Eligible", "Parked", "Parked"),
    ("Prepared", "Parked", "Parked"),
    ("AwaitingCounter", "Parked", "Parked"),
    ("Authorized", "Parked", "Parked"),
    ("Writing", "Parked", "Parked"),
    ("Accepted", "Refused", "Refused"),
    ("Eligible", "Refused", "Refused"),
    ("Prepared", "Refused", "Refused"),
    ("AwaitingCounter", "Refused", "Refused"),
    ("Authorized", "Refused", "Refused"),
    ("Parked/Prepared", "Refused", "Refused"),
    ("Accepted", "Cancelled", "Cancelled"),
    ("Eligible", "Cancelled", "Cancelled"),
    ("Prepared", "Cancelled", "Cancelled"),
    ("AwaitingCounter", "Cancelled", "Cancelled"),
    ("Authorized", "Cancelled", "Cancelled"),
    ("Parked/Prepared", "Cancelled", "Cancelled"),
    ("Accepted", "Expired", "Expired"),
    ("Eligible", "Expired", "Expired"),
    ("Prepared", "Expired", "Expired"),
    ("AwaitingCounter", "Expired", "Expired"),
    ("Authorized", "Expired", "Expired"),
    ("Parked/Prepared", "Expired", "Expired"),
];

#[test]
fn every_order_state_against_every_event() {
    for (from, state) in order_states() {
        for (by, event) in order_events() {
            let expected =
                ORDER_LEGAL.iter().find(|(f, b, _)| *f == from && *b == by).map(|(_, _, to)| *to);
            let got = transition(&state, &event);
            assert_eq!(got.as_ref().ok().map(OrderState::word), expected, "{by} on {from}");
        }
    }
}

#[test]
fn every_state_and_event_survives_json() {
    for (_, state) in order_states() {
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json["state"], state.word());
        assert_eq!(serde_json::from_value::<OrderState>(json).unwrap(), state);
    }
    for (_, event) in order_events() {
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["happened"], event.word());
        assert_eq!(serde_json::from_value::<OrderEvent>(json).unwrap(), event);
    }
    for state in write_states() {
        let json = serde_json::to_value(&state).unwrap();
        assert_eq!(json["state"], state.word());
        assert_eq!(serde_json::from_value::<WriteState>(json).unwrap(), state);
    }
}

#[test]
fn a_second_write_waits_for_the_first() {
    let staged = WriteEvent::Staged { candidate: "c2".into(), kvn: None, kcv: None };
    let authorized = OrderState::Authorized { writes: two() };
    let second = OrderEvent::Write { index: 1, event: staged.clone() };
    assert_eq!(transition(&authorized, &second), Err(IllegalEvent::OutOfTurn { index: 1 }));
    let third = OrderEvent::Write { index: 2, event: staged };
    assert_eq!(transition(&authorized, &third), Err(IllegalEvent::NoSuchWrite { index: 2 }));
}

#[test]
fn a_plan_has_limits() {
    let plan = |count: usize, attempts_max: u32| OrderEvent::Authorized {
        writes: vec![PlannedWrite { kind: WriteKind::SdKeyset, attempts_max }; count],
    };
    for event in [plan(0, 2), plan(order::WRITES_MOST + 1, 2), plan(1, 0)] {
        assert_eq!(transition(&OrderState::AwaitingCounter, &event), Err(IllegalEvent::Plan));
    }
    let most = plan(order::WRITES_MOST, order::ATTEMPTS_MOST);
    assert!(transition(&OrderState::AwaitingCounter, &most).is_ok());
    let more = plan(1, order::ATTEMPTS_MOST + 1);
    assert_eq!(transition(&OrderState::AwaitingCounter, &more), Err(IllegalEvent::Plan));
}
