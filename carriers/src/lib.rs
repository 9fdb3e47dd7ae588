//! The legs to carriers' trusted service managers (TSMs).
//!
//! One trait, [`Carrier`], with the conversation semantics of the GlobalPlatform System Messaging Specification for Management of
//! Mobile-NFC Services; one room for each protocol that speaks it ([`json`] is JSON over mutually authenticated TLS 1.3).
//!
//! Promised:
//! * a script travels as [`scp::outbound::Outbound`], by value: one script, one send. Nothing in this crate sends the body of a
//!   request again once its first byte was given to the transport;
//! * every error says how far the request may have come ([`CarrierError::may_have_reached_card`]) and whether another try can help
//!   ([`CarrierError::retry`]); unknown reach is never [`Retry::Now`];
//! * a carrier can neither exhaust memory nor hold a caller beyond its deadlines ([`limits`], [`json::JsonCarrierSettings`]).
//!
//! Not promised: that an answer is true. What a carrier says about a secure element is its word; only an R-MAC is proof, and that is
//! judged elsewhere.
#![forbid(unsafe_code)]

use std::{future::Future, pin::Pin};

use scp::outbound::Outbound;
use serde::{Deserialize, Serialize};

pub mod content;
pub mod conversation;
pub mod eligibility;
pub mod identifier;
pub mod json;
pub mod limits;
pub mod notification;
pub mod reach;
pub mod route;

pub use content::{ApplicationStatus, SimpleCommand, SimpleRequest, StatusRequest};
pub use conversation::{Begin, Conversation, ScriptAnswer};
pub use eligibility::{Eligibility, EligibilityRequest};
pub use identifier::{CallId, IdentifierError, SeId};
pub use reach::{CarrierError, Misbehaviour, Reach, Retry};

/// What every method of [`Carrier`] returns: native async methods would make the trait impossible to use as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who manages card content on a route (management modes of the messaging specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The carrier loads, installs and extradites; we personalize.
    Simple,
    /// We manage content through our Security Domain with the carrier's tokens.
    Delegated,
    /// We manage content through our Security Domain, which has Authorized Management.
    Authorised,
}

/// A leg to one carrier's TSM.
///
/// Implementations keep no order state: whatever must survive a restart is the caller's.
///
/// Takes what custody's channel wrapped, never what was wrapped with keys somebody typed:
/// ```compile_fail,E0308
/// use carriers::{CallId, Carrier, Conversation};
/// fn send(carrier: &dyn Carrier, conversation: &Conversation, call: &CallId, script: scp::TypedScript) {
///     let _ = carrier.send_script(conversation, call, script, 1_000);
/// }
/// ```
/// ```
/// use carriers::{CallId, Carrier, Conversation};
/// fn send(carrier: &dyn Carrier, conversation: &Conversation, call: &CallId, script: scp::Outbound) {
///     let _ = carrier.send_script(conversation, call, script, 1_000);
/// }
/// ```
pub trait Carrier: Send + Sync {
    /// Name of the carrier in routes, logs and audit records.
    fn id(&self) -> &str;

    /// Who manages card content there.
    fn mode(&self) -> Mode;

    /// CheckGlobalEligibility: may this service go to this secure element?
    fn check_eligibility<'a>(
        &'a self,
        request: &'a EligibilityRequest,
    ) -> BoxFuture<'a, Result<Eligibility, CarrierError>>;

    /// BeginConversation: opens the window in which scripts may be sent.
    fn begin<'a>(&'a self, begin: &'a Begin) -> BoxFuture<'a, Result<Conversation, CarrierError>>;

    /// SendScript: hands one script over, once, and returns the secure element's answers as the carrier reports them.
    ///
    /// `validity_ms` becomes the ValidityPeriod: past it the carrier must answer `Expired` and not deliver.
    fn send_script<'a>(
        &'a self,
        conversation: &'a Conversation,
        call: &'a CallId,
        script: Outbound,
        validity_ms: u64,
    ) -> BoxFuture<'a, Result<ScriptAnswer, CarrierError>>;

    /// EndConversation.
    fn end<'a>(
        &'a self,
        conversation: Conversation,
        call: &'a CallId,
    ) -> BoxFuture<'a, Result<(), CarrierError>>;

    /// GetApplicationOrELFStatus: what the carrier believes about an application or load file.
    fn application_status<'a>(
        &'a self,
        request: &'a StatusRequest,
    ) -> BoxFuture<'a, Result<ApplicationStatus, CarrierError>>;

    /// SECommandsGenerationAndRemoteExecution: content management done by the carrier. Content only, never a key.
    fn simple<'a>(&'a self, request: &'a SimpleRequest) -> BoxFuture<'a, Result<(), CarrierError>>;
}
