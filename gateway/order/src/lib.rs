//! The states of an order and of each key write in it, and the two pure functions that move them.
//!
//! The same [`transition`] runs live, in recovery and in the model checker: it reads no clock, holds
//! no handle and draws no randomness. What it promises, whatever events arrive in whatever order:
//!
//! * a script that may change keys is `Sent` at most once for each candidate, and a new candidate
//!   is staged only after the one before was proven `NotApplied`, within `attempts_max`;
//! * a verdict `Applied` or `NotApplied` is only reached on evidence of a class that can carry it;
//! * a write leaves `Planned` only when the write before it is `Confirmed`;
//! * an order that has begun to write can be parked, but not cancelled, expired or refused.
//!
//! What it does not promise: that the evidence handed in is true, or that a state was stored before
//! its effect was released. Both are the caller's.

#![forbid(unsafe_code)]

mod evidence;
mod illegal;
mod item;
mod order;
mod reason;
mod write;

pub use evidence::{Evidence, EvidenceClass};
pub use illegal::IllegalEvent;
pub use item::{ATTEMPTS_MOST, KeyWriteItem, LastAttempt, PlannedWrite, Verdict, WriteKind};
pub use order::{OrderEvent, OrderState, WRITES_MOST, transition};
pub use reason::{Owner, ParkReason};
pub use write::{WriteEvent, WriteState, write_transition};
