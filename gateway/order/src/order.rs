//! An order: its states, its events and the function between them.

use serde::{Deserialize, Serialize};

use crate::{IllegalEvent, KeyWriteItem, Owner, ParkReason, PlannedWrite, WriteEvent, WriteState};

/// Most key writes one order may carry.
pub const WRITES_MOST: usize = 8;

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", deny_unknown_fields)]
pub enum OrderState {
    /// Taken in; nothing is known about the SE yet.
    Accepted,
    /// Routed, and the carrier says the SE can take it.
    Eligible,
    /// Applet and Security Domain are in place and were read back. No key was written.
    Prepared,
    /// A counter has opened the order and is to sign what it was shown.
    AwaitingCounter,
    /// A token was consumed; the list of key writes is fixed.
    Authorized {
        /// The key writes, in order.
        writes: Vec<KeyWriteItem>,
    },
    /// Key writes are under way.
    Writing {
        /// The key writes, in order.
        writes: Vec<KeyWriteItem>,
    },
    /// Every key write is `Confirmed`.
    Confirmed {
        /// The key writes, in order.
        writes: Vec<KeyWriteItem>,
    },
    /// Set aside; somebody named has to act.
    Parked {
        /// Why.
        reason: ParkReason,
        /// Who acts next.
        owner: Owner,
        /// Where it stood and will go on; never itself `Parked`.
        from: Box<OrderState>,
    },
    /// Refused for good; nothing was written.
    Refused {
        /// The public code.
        code: String,
    },
    /// Withdrawn before anything was written.
    Cancelled,
    /// Its time ran out before anything was written.
    Expired,
}

/// What can happen to an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "happened", deny_unknown_fields)]
pub enum OrderEvent {
    /// Routed, and the carrier says the SE can take it.
    FoundEligible,
    /// Applet and Security Domain are in place and were read back.
    Prepared,
    /// A counter opened the order, or opened it again.
    CounterOpened,
    /// A token was consumed for this list of key writes.
    Authorized {
        /// The key writes, in order; one to [`WRITES_MOST`].
        writes: Vec<PlannedWrite>,
    },
    /// Something happened to one key write. The first takes the order from `Authorized` to
    /// `Writing`: staging belongs to writing.
    Write {
        /// Which, counted from zero.
        index: usize,
        /// What happened.
        event: WriteEvent,
    },
    /// Set aside.
    Parked {
        /// Why.
        reason: ParkReason,
        /// Who acts next.
        owner: Owner,
    },
    /// Taken up again where it stood.
    Resumed,
    /// Refused for good.
    Refused {
        /// The public code.
        code: String,
    },
    /// Withdrawn.
    Cancelled,
    /// Its time ran out.
    Expired,
}

impl OrderState {
    /// The state's word, as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Eligible => "Eligible",
            Self::Prepared => "Prepared",
            Self::AwaitingCounter => "AwaitingCounter",
            Self::Authorized { .. } => "Authorized",
            Self::Writing { .. } => "Writing",
            Self::Confirmed { .. } => "Confirmed",
            Self::Parked { .. } => "Parked",
            Self::Refused { .. } => "Refused",
            Self::Cancelled => "Cancelled",
            Self::Expired => "Expired",
        }
    }

    /// Whether the order has ended. A parked order has not: it waits for its owner.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Confirmed { .. } | Self::Refused { .. } | Self::Cancelled | Self::Expired => true,
            Self::Accepted
            | Self::Eligible
            | Self::Prepared
            | Self::AwaitingCounter
            | Self::Authorized { .. }
            | Self::Writing { .. }
            | Self::Parked { .. } => false,
        }
    }

    /// The order's key writes; empty before it was authorized. A parked order's are those of the
    /// state it will resume.
    pub fn writes(&self) -> &[KeyWriteItem] {
        match self {
            Self::Authorized { writes } | Self::Writing { writes } | Self::Confirmed { writes } => {
                writes
            }
            Self::Parked { from, .. } => from.writes(),
            Self::Accepted
            | Self::Eligible
            | Self::Prepared
            | Self::AwaitingCounter
            | Self::Refused { .. }
            | Self::Cancelled
            | Self::Expired => &[],
        }
    }

    /// The public code that goes with the state, where there is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code } => Some(code),
            Self::Parked { reason, .. } => reason.code(),
            Self::Accepted
            | Self::Eligible
            | Self::Prepared
            | Self::AwaitingCounter
            | Self::Authorized { .. }
            | Self::Writing { .. }
            | Self::Confirmed { .. }
            | Self::Cancelled
            | Self::Expired => None,
        }
    }
}

impl OrderEvent {
    /// The event's word, as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::FoundEligible => "FoundEligible",
            Self::Prepared => "Prepared",
            Self::CounterOpened => "CounterOpened",
            Self::Authorized { .. } => "Authorized",
            Self::Write { .. } => "Write",
            Self::Parked { .. } => "Parked",
            Self::Resumed => "Resumed",
            Self::Refused { .. } => "Refused",
            Self::Cancelled => "Cancelled",
            Self::Expired => "Expired",
        }
    }
}

/// The state one event leads to.
///
/// # Errors
/// [`IllegalEvent`] where the state does not take the event; the state then stays as it is.
pub fn transition(state: &OrderState, event: &OrderEvent) -> Result<OrderState, IllegalEvent> {
    use OrderEvent as E;
    let illegal = || Err(IllegalEvent::Order { state: state.word(), event: event.word() });
    match state {
        OrderState::Accepted => match event {
            E::FoundEligible => Ok(OrderState::Eligible),
            E::Parked { .. } | E::Refused { .. } | E::Cancelled | E::Expired => leave(state, event),
            E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Resumed => illegal(),
        },
        OrderState::Eligible => match event {
            E::Prepared => Ok(OrderState::Prepared),
            E::Parked { .. } | E::Refused { .. } | E::Cancelled | E::Expired => leave(state, event),
            E::FoundEligible
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Resumed => illegal(),
        },
        OrderState::Prepared => match event {
            E::CounterOpened => Ok(OrderState::AwaitingCounter),
            E::Parked { .. } | E::Refused { .. } | E::Cancelled | E::Expired => leave(state, event),
            E::FoundEligible
            | E::Prepared
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Resumed => illegal(),
        },
        OrderState::AwaitingCounter => match event {
            E::CounterOpened => Ok(OrderState::AwaitingCounter),
            E::Authorized { writes } => Ok(OrderState::Authorized { writes: planned(writes)? }),
            E::Parked { .. } | E::Refused { .. } | E::Cancelled | E::Expired => leave(state, event),
            E::FoundEligible | E::Prepared | E::Write { .. } | E::Resumed => illegal(),
        },
        OrderState::Authorized { writes } => match event {
            E::Write { index, event } => written(writes, *index, event),
            E::Parked { .. } | E::Refused { .. } | E::Cancelled | E::Expired => leave(state, event),
            E::FoundEligible
            | E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Resumed => illegal(),
        },
        OrderState::Writing { writes } => match event {
            E::Write { index, event } => written(writes, *index, event),
            E::Parked { .. } => leave(state, event),
            E::FoundEligible
            | E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Resumed
            | E::Refused { .. }
            | E::Cancelled
            | E::Expired => illegal(),
        },
        OrderState::Confirmed { writes } => match event {
            // The order keeps its word; the list shows what appeared.
            E::Write { index, event: event @ WriteEvent::Late { .. } } => {
                Ok(OrderState::Confirmed { writes: with_write(writes, *index, event)? })
            }
            E::FoundEligible
            | E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Parked { .. }
            | E::Resumed
            | E::Refused { .. }
            | E::Cancelled
            | E::Expired => illegal(),
        },
        OrderState::Parked { from, .. } => match event {
            E::Resumed => Ok((**from).clone()),
            // As legal as it was where the order stood: never once writing has begun.
            E::Refused { .. } | E::Cancelled | E::Expired => transition(from, event),
            E::FoundEligible
            | E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Parked { .. } => illegal(),
        },
        OrderState::Refused { .. } | OrderState::Cancelled | OrderState::Expired => match event {
            E::FoundEligible
            | E::Prepared
            | E::CounterOpened
            | E::Authorized { .. }
            | E::Write { .. }
            | E::Parked { .. }
            | E::Resumed
            | E::Refused { .. }
            | E::Cancelled
            | E::Expired => illegal(),
        },
    }
}

/// The four ways off the main road, as far as the caller's state allows them.
fn leave(state: &OrderState, event: &OrderEvent) -> Result<OrderState, IllegalEvent> {
    use OrderEvent as E;
    match event {
        E::Parked { reason, owner } => {
            Ok(OrderState::Parked { reason: *reason, owner: *owner, from: Box::new(state.clone()) })
        }
        E::Refused { code } => Ok(OrderState::Refused { code: code.clone() }),
        E::Cancelled => Ok(OrderState::Cancelled),
        E::Expired => Ok(OrderState::Expired),
        E::FoundEligible
        | E::Prepared
        | E::CounterOpened
        | E::Authorized { .. }
        | E::Write { .. }
        | E::Resumed => Err(IllegalEvent::Order { state: state.word(), event: event.word() }),
    }
}

fn planned(plan: &[PlannedWrite]) -> Result<Vec<KeyWriteItem>, IllegalEvent> {
    if plan.is_empty() || plan.len() > WRITES_MOST {
        return Err(IllegalEvent::Plan);
    }
    plan.iter().map(KeyWriteItem::planned).collect()
}

fn written(
    writes: &[KeyWriteItem],
    index: usize,
    event: &WriteEvent,
) -> Result<OrderState, IllegalEvent> {
    let writes = with_write(writes, index, event)?;
    // Each began only after the one before was confirmed, so the last speaks for all.
    let done = writes.last().is_some_and(|write| is_confirmed(&write.state));
    Ok(if done { OrderState::Confirmed { writes } } else { OrderState::Writing { writes } })
}

/// The list after an event to one of its writes. A write whose predecessor is not `Confirmed` takes
/// no event at all, so it never leaves `Planned` before its turn.
fn with_write(
    writes: &[KeyWriteItem],
    index: usize,
    event: &WriteEvent,
) -> Result<Vec<KeyWriteItem>, IllegalEvent> {
    let (before, rest) =
        writes.split_at_checked(index).ok_or(IllegalEvent::NoSuchWrite { index })?;
    let (write, after) = rest.split_first().ok_or(IllegalEvent::NoSuchWrite { index })?;
    if before.last().is_some_and(|earlier| !is_confirmed(&earlier.state))
        && matches!(write.state, WriteState::Planned)
    {
        return Err(IllegalEvent::OutOfTurn { index });
    }
    let mut next = before.to_vec();
    next.push(write.after(event)?);
    next.extend_from_slice(after);
    Ok(next)
}

fn is_confirmed(state: &WriteState) -> bool {
    matches!(state, WriteState::Confirmed { .. })
}
