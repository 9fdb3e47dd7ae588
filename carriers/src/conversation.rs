//! BeginConversation, SendScript, EndConversation: the window in which scripts reach a secure element.

use scp::aid::Aid;
use serde::{Deserialize, Serialize};

use crate::identifier::{CallId, SeId};

/// What a conversation is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Identifier of this call.
    pub call: CallId,
    /// The secure element to talk to.
    pub se: SeId,
    /// The service it is about.
    pub service: String,
    /// The application or Security Domain addressed (TargetIdentifier).
    pub target: Aid,
    /// EstimatedAPDUScriptSize, bytes.
    pub script_bytes_estimate: u32,
}

/// An open conversation. Not kept across a restart: a new process begins a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// ConversationID, as the carrier numbers it.
    pub id: u64,
    /// The secure element it is with.
    pub se: SeId,
}

/// The secure element's answers, as the carrier reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer {
    /// Response APDUs, data and status word, in the order of the commands; at most as many as the commands.
    pub responses: Vec<Vec<u8>>,
    /// FailedAPDUIndex: 1-based index of the command the carrier stopped at, within the script.
    pub failed_index: Option<u32>,
}
