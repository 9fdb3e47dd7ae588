//! CheckGlobalEligibility: asked before the citizen walks to the counter.

use crate::identifier::{CallId, SeId};

/// May `service` go to `se`?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EligibilityRequest {
    /// Identifier of this call.
    pub call: CallId,
    /// The secure element.
    pub se: SeId,
    /// The service asked for.
    pub service: String,
}

/// The carrier's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility {
    /// Whether the service may be deployed.
    pub eligible: bool,
    /// NonEligibilityReason codes, as the carrier numbers them; empty when eligible.
    pub reasons: Vec<u32>,
}
