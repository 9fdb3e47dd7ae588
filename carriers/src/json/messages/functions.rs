//! The functions: their names and the fields each has of its own.

use scp::aid::Aid;
use serde::{Deserialize, Serialize};

use super::Hex;
use crate::identifier::SeId;

/// Functions by their names, as they appear in the path.
pub mod function {
    /// Asked before a service is deployed.
    pub const CHECK_GLOBAL_ELIGIBILITY: &str = "CheckGlobalEligibility";
    /// Opens a conversation.
    pub const BEGIN_CONVERSATION: &str = "BeginConversation";
    /// Sends one script within a conversation.
    pub const SEND_SCRIPT: &str = "SendScript";
    /// Closes a conversation.
    pub const END_CONVERSATION: &str = "EndConversation";
    /// Audits one application or executable load file.
    pub const GET_APPLICATION_OR_ELF_STATUS: &str = "GetApplicationOrELFStatus";
    /// Content management by the carrier (simple mode).
    pub const SE_COMMANDS: &str = "SECommandsGenerationAndRemoteExecution";
}

/// A response without fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// CheckGlobalEligibilityRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CheckGlobalEligibility {
    /// The secure element.
    pub secure_element: SeId,
    /// The service.
    pub service: String,
}

/// CheckGlobalEligibilityResponse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CheckedEligibility {
    /// Whether the service may be deployed.
    pub eligible: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub non_eligibility_reason: Vec<u32>,
}

/// How commands travel in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScriptFormat {
    /// Compact remote command format.
    Compact,
    /// Expanded remote command format: each command and each answer by itself.
    Expanded,
}

/// BeginConversationRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct BeginConversation {
    /// The secure element.
    pub secure_element: SeId,
    /// The service.
    pub service: String,
    /// AID of the application or Security Domain addressed.
    pub target_identifier: Aid,
    /// How commands will travel.
    pub requested_script_format: ScriptFormat,
    /// Bytes to expect.
    #[serde(rename = "EstimatedAPDUScriptSize")]
    pub estimated_apdu_script_size: u32,
}

/// BeginConversationResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunConversation {
    /// Number of the conversation.
    #[serde(rename = "ConversationID")]
    pub conversation_id: u64,
}

/// SendScriptRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendScript {
    /// Number of the conversation.
    #[serde(rename = "ConversationID")]
    pub conversation_id: u64,
    /// The commands, in order.
    #[serde(rename = "CommandAPDU")]
    pub command_apdu: Vec<Hex>,
}

/// SendScriptResponse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentScript {
    /// The answers, in order.
    #[serde(rename = "ResponseAPDU")]
    pub response_apdu: Vec<Hex>,
    /// 1-based index of the command the script stopped at.
    #[serde(rename = "FailedAPDUIndex", default, skip_serializing_if = "Option::is_none")]
    pub failed_apdu_index: Option<u64>,
}

/// EndConversationRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndConversation {
    /// Number of the conversation.
    #[serde(rename = "ConversationID")]
    pub conversation_id: u64,
}

/// GetApplicationOrELFStatusRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct GetApplicationOrElfStatus {
    /// The secure element.
    pub secure_element: SeId,
    /// The service.
    pub service: String,
    /// AID of the application or load file.
    pub target_identifier: Aid,
}

/// GetApplicationOrELFStatusResponse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct GotApplicationOrElfStatus {
    /// Life cycle state, one byte; absent when the object is not on the secure element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_cycle_state: Option<Hex>,
}

/// SECommandsGenerationAndRemoteExecutionRequest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeCommands {
    /// The secure element.
    #[serde(rename = "SecureElement")]
    pub secure_element: SeId,
    /// The service.
    #[serde(rename = "Service")]
    pub service: String,
    /// What to do.
    #[serde(rename = "SECommand")]
    pub se_command: SeCommand,
}

/// One content management command of simple mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SeCommand {
    /// Load an executable load file.
    #[serde(rename = "LoadELF")]
    LoadElf {
        /// AID of the load file.
        #[serde(rename = "ELFAID")]
        elf_aid: Aid,
        /// Security Domain it is associated with.
        #[serde(rename = "SDAID", default, skip_serializing_if = "Option::is_none")]
        sd_aid: Option<Aid>,
        /// Load File Data Block.
        #[serde(rename = "LoadFileDataBlock")]
        load_file_data_block: Hex,
    },
    /// Install an instance and make it selectable.
    InstantiateApplication {
        /// AID of the load file.
        #[serde(rename = "ELFAID")]
        elf_aid: Aid,
        /// AID of the module.
        #[serde(rename = "ModuleAID")]
        module_aid: Aid,
        /// AID of the instance.
        #[serde(rename = "ApplicationAID")]
        application_aid: Aid,
        /// Privileges, one or three bytes.
        #[serde(rename = "Privileges")]
        privileges: Hex,
        /// Content of tag C9.
        #[serde(rename = "Parameters")]
        parameters: Hex,
    },
    /// Associate an instance with another Security Domain.
    Extradite {
        /// AID of the instance.
        #[serde(rename = "ApplicationAID")]
        application_aid: Aid,
        /// AID of the Security Domain that takes it.
        #[serde(rename = "SDAID")]
        sd_aid: Aid,
    },
}
