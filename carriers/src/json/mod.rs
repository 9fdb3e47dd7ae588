//! JSON over mutually authenticated TLS 1.3, with the messaging specification's function and field names.
//!
//! Each function is `POST {base_url}/gp/{FunctionName}`; it answers 200 with a BasicResponse, whatever its outcome. A ValidityPeriod
//! is in seconds.

mod exchange;
mod latch;
pub mod messages;
mod settings;
pub mod strict;
mod tls;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use self::{
    exchange::Exchange,
    messages::{
        BeginConversation, BegunConversation, Call, CheckGlobalEligibility, CheckedEligibility,
        EndConversation, ExecutionStatus, GetApplicationOrElfStatus, GotApplicationOrElfStatus,
        Hex, Nothing, Reply, ScriptFormat, SeCommand, SeCommands, SendScript, SentScript, Status,
        function,
    },
};
use crate::{
    ApplicationStatus, Begin, BoxFuture, CallId, Carrier, CarrierError, Conversation, Eligibility,
    EligibilityRequest, Misbehaviour, Mode, Outbound, Reach, ScriptAnswer, SimpleCommand,
    SimpleRequest, StatusRequest,
    limits::{MESSAGE_MAX, REASONS_MAX, RESPONSE_APDU_MAX},
};

pub use settings::{JsonCarrierSettings, SettingsError};
pub use tls::TlsError;

/// A leg that cannot be set up.
#[derive(Debug, Error)]
pub enum SetUpError {
    /// A setting out of bounds.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// TLS material that cannot be used.
    #[error("carrier {id}: {source}")]
    Tls {
        /// The carrier.
        id: String,
        /// Why.
        source: TlsError,
    },
}

/// The client side of the binding.
pub struct JsonCarrier {
    id: String,
    mode: Mode,
    endpoint: String,
    exchange: Exchange,
}

impl JsonCarrier {
    /// Reads the TLS material and sets the leg up; nothing is connected yet.
    ///
    /// # Errors
    /// A setting out of bounds, or TLS material that cannot be used.
    pub fn new(settings: JsonCarrierSettings) -> Result<JsonCarrier, SetUpError> {
        settings.check()?;
        let JsonCarrierSettings { ca_file, certificate_file, key_file, .. } = &settings;
        let tls = tls::client_config(ca_file, certificate_file, key_file)
            .map_err(|source| SetUpError::Tls { id: settings.id.clone(), source })?;
        Ok(JsonCarrier {
            endpoint: settings.endpoint()?,
            exchange: Exchange::new(&settings, tls),
            id: settings.id,
            mode: settings.mode,
        })
    }

    /// Calls one function and returns its own fields, once it says it was executed.
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        function: &str,
        call: Call<Q>,
    ) -> Result<A, CarrierError> {
        // Nothing was sent yet, so a request that cannot be written is as if never made.
        let body = call.encode().map_err(|error| CarrierError::Unavailable {
            reach: Reach::Never,
            cause: error.to_string(),
            retry_after_ms: None,
        })?;
        let url = format!("{}/gp/{function}", self.endpoint);
        let answer = self.exchange.post(&url, body).await?;
        let reply: Reply<A> = Reply::decode(&answer).map_err(|error| form(&error))?;
        let Some(body) = reply.body else {
            tracing::info!(carrier = %self.id, function, call = %call.identifier, "not executed");
            return Err(not_executed(reply.status));
        };
        Ok(body)
    }
}

impl Carrier for JsonCarrier {
    fn id(&self) -> &str {
        &self.id
    }

    fn mode(&self) -> Mode {
        self.mode
    }

    fn check_eligibility<'a>(
        &'a self,
        request: &'a EligibilityRequest,
    ) -> BoxFuture<'a, Result<Eligibility, CarrierError>> {
        let body = CheckGlobalEligibility {
            secure_element: request.se.clone(),
            service: request.service.clone(),
        };
        let call = Call::new(request.call.clone(), body);
        Box::pin(async move {
            let answer: CheckedEligibility =
                self.call(function::CHECK_GLOBAL_ELIGIBILITY, call).await?;
            let reasons = answer.non_eligibility_reason.into_iter().take(REASONS_MAX).collect();
            Ok(Eligibility { eligible: answer.eligible, reasons })
        })
    }

    fn begin<'a>(&'a self, begin: &'a Begin) -> BoxFuture<'a, Result<Conversation, CarrierError>> {
        let body = BeginConversation {
            secure_element: begin.se.clone(),
            service: begin.service.clone(),
            target_identifier: begin.target,
            requested_script_format: ScriptFormat::Expanded,
            estimated_apdu_script_size: begin.script_bytes_estimate,
        };
        let call = Call::new(begin.call.clone(), body);
        Box::pin(async move {
            let answer: BegunConversation = self.call(function::BEGIN_CONVERSATION, call).await?;
            Ok(Conversation { id: answer.conversation_id, se: begin.se.clone() })
        })
    }

    fn send_script<'a>(
        &'a self,
        conversation: &'a Conversation,
        call: &'a CallId,
        script: Outbound,
        validity_ms: u64,
    ) -> BoxFuture<'a, Result<ScriptAnswer, CarrierError>> {
        let command_apdu: Vec<Hex> = script.commands().iter().cloned().map(Hex).collect();
        let commands = command_apdu.len();
        let body = SendScript { conversation_id: conversation.id, command_apdu };
        // Rounded down: the carrier may be told less than the caller's patience, never more.
        let validity_s = Some((validity_ms / 1_000).max(1));
        let call = Call { validity_s, ..Call::new(call.clone(), body) };
        Box::pin(async move {
            let answer: SentScript = self.call(function::SEND_SCRIPT, call).await?;
            script_answer(answer, commands)
        })
    }

    fn end<'a>(
        &'a self,
        conversation: Conversation,
        call: &'a CallId,
    ) -> BoxFuture<'a, Result<(), CarrierError>> {
        let body = EndConversation { conversation_id: conversation.id };
        let call = Call::new(call.clone(), body);
        Box::pin(async move {
            let Nothing {} = self.call(function::END_CONVERSATION, call).await?;
            Ok(())
        })
    }

    fn application_status<'a>(
        &'a self,
        request: &'a StatusRequest,
    ) -> BoxFuture<'a, Result<ApplicationStatus, CarrierError>> {
        let body = GetApplicationOrElfStatus {
            secure_element: request.se.clone(),
            service: request.service.clone(),
            target_identifier: request.target,
        };
        let call = Call::new(request.call.clone(), body);
        Box::pin(async move {
            let answer: GotApplicationOrElfStatus =
                self.call(function::GET_APPLICATION_OR_ELF_STATUS, call).await?;
            match answer.life_cycle_state.as_ref().map(|state| state.0.as_slice()) {
                None => Ok(ApplicationStatus::Absent),
                Some(&[life_cycle]) => Ok(ApplicationStatus::Present { life_cycle }),
                Some(_) => Err(misbehaved(Misbehaviour::Form("LifeCycleState is one byte".into()))),
            }
        })
    }

    fn simple<'a>(&'a self, request: &'a SimpleRequest) -> BoxFuture<'a, Result<(), CarrierError>> {
        let body = SeCommands {
            secure_element: request.se.clone(),
            service: request.service.clone(),
            se_command: se_command(&request.command),
        };
        let call = Call::new(request.call.clone(), body);
        Box::pin(async move {
            let Nothing {} = self.call(function::SE_COMMANDS, call).await?;
            Ok(())
        })
    }
}

fn se_command(command: &SimpleCommand) -> SeCommand {
    match command {
        SimpleCommand::LoadElf { load_file, security_domain, data } => SeCommand::LoadElf {
            elf_aid: *load_file,
            sd_aid: *security_domain,
            load_file_data_block: Hex(data.clone()),
        },
        SimpleCommand::InstantiateApplication {
            load_file,
            module,
            instance,
            privileges,
            parameters,
        } => SeCommand::InstantiateApplication {
            elf_aid: *load_file,
            module_aid: *module,
            application_aid: *instance,
            privileges: Hex(privileges.clone()),
            parameters: Hex(parameters.clone()),
        },
        SimpleCommand::Extradite { applet, security_domain } => {
            SeCommand::Extradite { application_aid: *applet, sd_aid: *security_domain }
        }
    }
}

/// Accepts no more answers than commands, each a response APDU, and a failed index within the script.
fn script_answer(answer: SentScript, commands: usize) -> Result<ScriptAnswer, CarrierError> {
    let answers = answer.response_apdu.len();
    if answers > commands {
        return Err(misbehaved(Misbehaviour::TooManyAnswers { answers, commands }));
    }
    let responses: Vec<Vec<u8>> = answer.response_apdu.into_iter().map(|apdu| apdu.0).collect();
    let is_response = |apdu: &Vec<u8>| (2..=RESPONSE_APDU_MAX).contains(&apdu.len());
    if let Some(position) = responses.iter().position(|apdu| !is_response(apdu)) {
        return Err(misbehaved(Misbehaviour::ResponseApdu { index: position.saturating_add(1) }));
    }
    let failed_index = answer.failed_apdu_index.map(|index| failed_index(index, commands));
    Ok(ScriptAnswer { responses, failed_index: failed_index.transpose()? })
}

fn failed_index(index: u64, commands: usize) -> Result<u32, CarrierError> {
    u32::try_from(index)
        .ok()
        .filter(|&index| (1..=commands).contains(&(index as usize)))
        .ok_or_else(|| misbehaved(Misbehaviour::FailedIndex { index, commands }))
}

/// What a status other than executed means.
fn not_executed(status: ExecutionStatus) -> CarrierError {
    match (status.status, status.status_code_data) {
        (Status::Expired, _) => CarrierError::Expired,
        (_, Some(data)) => CarrierError::Refused {
            subject: printable(&data.subject),
            reason: printable(&data.reason),
            message: data.message.as_deref().map(printable),
        },
        (_, None) => misbehaved(Misbehaviour::Form("Failed without StatusCodeData".into())),
    }
}

/// A carrier's free text, cut and without control characters: it goes to logs and enquiry desks.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MESSAGE_MAX).collect()
}

/// serde's text may quote the input; its position and kind do not.
fn form(error: &serde_json::Error) -> CarrierError {
    let (line, column) = (error.line(), error.column());
    let kind = error.classify();
    misbehaved(Misbehaviour::Form(format!("{kind:?} error at line {line} column {column}")))
}

fn misbehaved(fault: Misbehaviour) -> CarrierError {
    CarrierError::Misbehaved { fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(response_apdu: Vec<Vec<u8>>, failed_apdu_index: Option<u64>) -> SentScript {
        SentScript {
            response_apdu: response_apdu.into_iter().map(Hex).collect(),
            failed_apdu_index,
        }
    }

    #[test]
    fn answers_are_counted_against_commands() {
        assert!(script_answer(sent(vec![vec![0x90, 0]; 2], None), 2).is_ok());
        assert!(script_answer(sent(vec![vec![0x90, 0]], Some(1)), 2).is_ok());
        let many = script_answer(sent(vec![vec![0x90, 0]; 3], None), 2);
        let fault = Misbehaviour::TooManyAnswers { answers: 3, commands: 2 };
        assert_eq!(many, Err(misbehaved(fault)));
    }

    #[test]
    fn a_failed_index_lies_within_the_script() {
        for index in [0, 3, u64::MAX] {
            let answer = script_answer(sent(vec![vec![0x6A, 0x80]], Some(index)), 2);
            let fault = Misbehaviour::FailedIndex { index, commands: 2 };
            assert_eq!(answer, Err(misbehaved(fault)));
        }
    }

    #[test]
    fn an_answer_has_a_status_word_and_a_bound() {
        for apdu in [vec![], vec![0x90], vec![0; RESPONSE_APDU_MAX + 1]] {
            let answer = script_answer(sent(vec![vec![0x90, 0], apdu], None), 2);
            assert_eq!(answer, Err(misbehaved(Misbehaviour::ResponseApdu { index: 2 })));
        }
    }

    #[test]
    fn a_carrier_s_words_are_cut_and_cleaned() {
        let message = format!("no\r\nInjected: yes{}", "x".repeat(10_000));
        let status = ExecutionStatus::because(Status::Failed, "8.1", "3.8", &message);
        let CarrierError::Refused { message: Some(message), .. } = not_executed(status) else {
            panic!("refused expected");
        };
        assert!(message.starts_with("noInjected"));
        assert_eq!(message.chars().count(), MESSAGE_MAX);
        let bare = ExecutionStatus { status: Status::Failed, status_code_data: None };
        assert!(matches!(not_executed(bare), CarrierError::Misbehaved { .. }));
        let expired = ExecutionStatus { status: Status::Expired, status_code_data: None };
        assert_eq!(not_executed(expired), CarrierError::Expired);
    }
}
