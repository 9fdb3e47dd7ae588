//! Content management the carrier does for us (simple mode), and its view of what is on a secure element.

use scp::aid::Aid;

use crate::identifier::{CallId, SeId};

/// One SECommandsGenerationAndRemoteExecution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimpleRequest {
    /// Identifier of this call.
    pub call: CallId,
    /// The secure element.
    pub se: SeId,
    /// The service it is about.
    pub service: String,
    /// What the carrier is to do.
    pub command: SimpleCommand,
}

/// Content management by the carrier's own Security Domain.
///
/// The functions of the standard that create or load keys are left out: none of these may write a key, and [`Extradite`] is for an
/// instance that is not personalized yet.
///
/// [`Extradite`]: SimpleCommand::Extradite
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimpleCommand {
    /// LoadELF: load an executable load file.
    LoadElf {
        /// AID of the load file.
        load_file: Aid,
        /// Security Domain it is associated with; the carrier's own when absent.
        security_domain: Option<Aid>,
        /// The Load File Data Block (Card Specification 2.3.1, 11.6.2.3), without its C4 header.
        data: Vec<u8>,
    },
    /// InstantiateApplication: install an instance and make it selectable.
    InstantiateApplication {
        /// AID of the load file.
        load_file: Aid,
        /// AID of the module within it.
        module: Aid,
        /// AID of the instance.
        instance: Aid,
        /// Privileges, one or three bytes (Card Specification 2.3.1, 11.1.2).
        privileges: Vec<u8>,
        /// Application specific parameters (content of tag C9); public values only.
        parameters: Vec<u8>,
    },
    /// Extradite: associate an instance with another Security Domain.
    Extradite {
        /// AID of the instance.
        applet: Aid,
        /// AID of the Security Domain that takes it.
        security_domain: Aid,
    },
}

/// One GetApplicationOrELFStatus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    /// Identifier of this call.
    pub call: CallId,
    /// The secure element.
    pub se: SeId,
    /// The service it is about.
    pub service: String,
    /// The application, Security Domain or load file asked after.
    pub target: Aid,
}

/// What the carrier believes about an application or load file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationStatus {
    /// Not on the secure element.
    Absent,
    /// Present, with the life cycle state byte of Card Specification 2.3.1, 11.1.1.
    Present {
        /// Life cycle state.
        life_cycle: u8,
    },
}
