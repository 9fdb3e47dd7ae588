//! Which carrier an order goes to: by tenant, number range and kind of secure element.
//!
//! Within a tenant the longest matching prefix wins, then the rule that names the kind of SE. Two rules that could tie are refused
//! when the table is loaded, so a route never depends on the order of the rules. A tenant never reaches another tenant's rule.

use std::collections::{HashMap, HashSet};

use scp::aid::Aid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identifier::SeId;

/// Kind of secure element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeType {
    /// Removable SIM.
    Uicc,
    /// Embedded SIM with remotely managed profiles.
    Euicc,
    /// Embedded secure element of a device.
    Ese,
    /// Secure element integrated in the device's processor.
    Ise,
}

/// One rule of the routing table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// Unique name, shown by `route explain`.
    pub name: String,
    /// The subscriber base it belongs to.
    pub tenant: String,
    /// The carrier it leads to.
    pub carrier: String,
    /// Leading digits of the ICCIDs it takes (issuer identification number and range).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iccid_prefix: Option<String>,
    /// Leading digits of the EIDs it takes. With neither prefix a rule takes every SE of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid_prefix: Option<String>,
    /// The kind of SE it takes; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se_type: Option<SeType>,
    /// Name of the SE profile.
    pub profile: String,
    /// AID of our Security Domain on these SEs.
    pub security_domain: Aid,
}
