//! The messaging functions as a carrier's platform performs them, faults included.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use carriers::{
    Mode, SeId,
    json::messages::{
        BeginConversation, BegunConversation, Call, CheckGlobalEligibility, CheckedEligibility,
        EndConversation, ExecutionStatus, GetApplicationOrElfStatus, GotApplicationOrElfStatus,
        Hex, Nothing, Reply, SeCommands, SendScript, SentScript, Status, function,
    },
};
use se::SecureElement;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;

use super::{
    content::Managed,
    fault::{Fault, Faults},
    script_log::{ScriptLog, instruction},
    seat::Seat,
    terminal,
};

/// INITIALIZE UPDATE, and where `i` stands in its answer (Amendment D 1.1.1, Table 7-2).
const INITIALIZE_UPDATE: u8 = 0x50;
const PLACE_OF_I: usize = 12;
/// NonEligibilityReason of an SE this platform does not know.
const UNKNOWN_SE: u32 = 1;

/// StatusCodeData: what a failure is about, and why.
mod code {
    pub(super) const SECURE_ELEMENT: &str = "8.1";
    pub(super) const CONVERSATION: &str = "8.2";
    pub(super) const FUNCTION: &str = "8.3";
    pub(super) const UNSUPPORTED: &str = "3.1";
    pub(super) const UNKNOWN: &str = "3.9";
    pub(super) const EXECUTION_ERROR: &str = "4.2";
    pub(super) const DELIVERED_WITHOUT_ANSWER: &str = "5.4";
}

/// What becomes of one request.
pub(super) enum Outcome {
    /// A body with status 200.
    Answer(Vec<u8>),
    /// A request that is none.
    Malformed,
    /// Status 503.
    Unavailable,
    /// The connection closes.
    Cut,
    /// Whoever waits is told, and nothing is ever answered.
    Hold(Arc<Notify>),
}

/// A carrier's platform: its SEs, conversations, faults and log.
pub(super) struct Platform {
    mode: Mode,
    seats: HashMap<String, Mutex<Seat>>,
    conversations: Mutex<HashMap<u64, String>>,
    last_conversation: AtomicU64,
    pub(super) faults: Mutex<Faults>,
    pub(super) log: Mutex<ScriptLog>,
}

impl Platform {
    pub(super) fn new(mode: Mode, seats: Vec<Seat>, log: ScriptLog) -> Platform {
        let seats = seats.into_iter().map(|seat| (seat.iccid.clone(), Mutex::new(seat)));
        Platform {
            mode,
            seats: seats.collect(),
            conversations: Mutex::default(),
            last_conversation: AtomicU64::new(0),
            faults: Mutex::default(),
            log: Mutex::new(log),
        }
    }

    /// Performs one function.
    pub(super) fn perform(&self, function: &str, body: &[u8]) -> Outcome {
        match function {
            function::CHECK_GLOBAL_ELIGIBILITY => self.with(body, Self::check_eligibility),
            function::BEGIN_CONVERSATION => self.with(body, Self::begin),
            function::SEND_SCRIPT => self.with(body, Self::send_script),
            function::END_CONVERSATION => self.with(body, Self::end),
            function::GET_APPLICATION_OR_ELF_STATUS => self.with(body, Self::application_status),
            function::SE_COMMANDS => self.with(body, Self::manage),
            _ => Outcome::Malformed,
        }
    }

    /// Every ICCID of the fleet.
    pub(super) fn iccids(&self) -> impl Iterator<Item = &str> {
        self.seats.keys().map(String::as_str)
    }

    /// The seat of exactly this ICCID.
    pub(super) fn seat(&self, iccid: &str) -> Option<MutexGuard<'_, Seat>> {
        self.seats.get(iccid).map(lock)
    }

    fn with<Q: DeserializeOwned>(
        &self,
        body: &[u8],
        function: impl FnOnce(&Self, Call<Q>) -> Outcome,
    ) -> Outcome {
        match Call::decode(body) {
            Ok(call) if call.validity_s == Some(0) => answer::<Nothing>(
                ExecutionStatus { status: Status::Expired, status_code_data: None },
                None,
            ),
            Ok(call) => function(self, call),
            Err(_) => Outcome::Malformed,
        }
    }

    /// The seat that requests about this ICCID reach: another's, when they were swapped.
    fn reached(&self, iccid: &str) -> Result<MutexGuard<'_, Seat>, Outcome> {
        if lock(&self.faults).is_unavailable(iccid) {
            return Err(Outcome::Unavailable);
        }
        let stand_in = lock(&self.faults).stand_in(iccid);
        let failed =
            || failed(code::SECURE_ELEMENT, code::UNKNOWN, "this SE is not of this platform");
        self.seat(stand_in.as_deref().unwrap_or(iccid)).ok_or_else(failed)
    }

    fn check_eligibility(&self, call: Call<CheckGlobalEligibility>) -> Outcome {
        let iccid = digits(&call.body.secure_element);
        if lock(&self.faults).is_unavailable(iccid) {
            return Outcome::Unavailable;
        }
        let eligible = self.seats.contains_key(iccid);
        let non_eligibility_reason = if eligible { Vec::new() } else { vec![UNKNOWN_SE] };
        success(CheckedEligibility { eligible, non_eligibility_reason })
    }

    /// One conversation for each SE: a new one ends the one before, and the SE is reset, so nothing of it lives on.
    fn begin(&self, call: Call<BeginConversation>) -> Outcome {
        let iccid = digits(&call.body.secure_element);
        let mut seat = match self.reached(iccid) {
            Ok(seat) => seat,
            Err(outcome) => return outcome,
        };
        let conversation_id = self.last_conversation.fetch_add(1, Ordering::SeqCst) + 1;
        let mut conversations = lock(&self.conversations);
        if let Some(ended) = seat.conversation.replace(conversation_id) {
            conversations.remove(&ended);
        }
        conversations.insert(conversation_id, iccid.to_owned());
        seat.se.reset();
        success(BegunConversation { conversation_id })
    }

    fn end(&self, call: Call<EndConversation>) -> Outcome {
        let conversation_id = call.body.conversation_id;
        let Some(iccid) = lock(&self.conversations).remove(&conversation_id) else {
            return failed(code::CONVERSATION, code::UNKNOWN, "no such conversation");
        };
        match self.reached(&iccid) {
            Ok(mut seat) => {
                seat.conversation.take_if(|open| *open == conversation_id);
                success(Nothing {})
            }
            Err(outcome) => outcome,
        }
    }

    fn send_script(&self, call: Call<SendScript>) -> Outcome {
        let SendScript { conversation_id, command_apdu } = call.body;
        let commands: Vec<Vec<u8>> = command_apdu.into_iter().map(|hex| hex.0).collect();
        let open = lock(&self.conversations).get(&conversation_id).cloned();
        let Some(iccid) = open else {
            return failed(code::CONVERSATION, code::UNKNOWN, "no such conversation");
        };
        let received =
            lock(&self.log).receive(&iccid, conversation_id, call.identifier.as_str(), &commands);
        if received.is_err() {
            // A script that cannot be logged would be missing from the proof.
            return Outcome::Unavailable;
        }
        let mut seat = match self.reached(&iccid) {
            Ok(seat) => seat,
            Err(outcome) => return outcome,
        };
        if seat.conversation != Some(conversation_id) {
            return failed(code::CONVERSATION, code::UNKNOWN, "the conversation was ended");
        }
        let fault = lock(&self.faults).strike(&iccid, &commands);
        let rewritten_i = lock(&self.faults).rewritten_i(&iccid);
        deliver(&mut seat.se, &commands, fault, rewritten_i)
    }

    fn application_status(&self, call: Call<GetApplicationOrElfStatus>) -> Outcome {
        let mut seat = match self.reached(digits(&call.body.secure_element)) {
            Ok(seat) => seat,
            Err(outcome) => return outcome,
        };
        match seat.life_cycle(&call.body.target_identifier) {
            Ok(state) => success(GotApplicationOrElfStatus {
                life_cycle_state: state.map(|state| Hex(vec![state])),
            }),
            Err(error) => failed(code::SECURE_ELEMENT, code::EXECUTION_ERROR, &error.to_string()),
        }
    }

    fn manage(&self, call: Call<SeCommands>) -> Outcome {
        if self.mode != Mode::Simple {
            return failed(
                code::FUNCTION,
                code::UNSUPPORTED,
                "this platform leaves content to you",
            );
        }
        let mut seat = match self.reached(digits(&call.body.secure_element)) {
            Ok(seat) => seat,
            Err(outcome) => return outcome,
        };
        match seat.manage(&call.body.se_command) {
            Ok(Managed::Done) => success(Nothing {}),
            Ok(Managed::AlreadyThere) => {
                let warning = Status::ExecutedWithWarning;
                let status =
                    ExecutionStatus::because(warning, code::SECURE_ELEMENT, "4.3", "already there");
                answer(status, Some(Nothing {}))
            }
            Err(error) => failed(code::SECURE_ELEMENT, code::EXECUTION_ERROR, &error.to_string()),
        }
    }
}

/// A script's way into the SE and its answers' way back, bent by a fault.
fn deliver(
    se: &mut SecureElement,
    commands: &[Vec<u8>],
    fault: Option<Fault>,
    rewritten_i: Option<u8>,
) -> Outcome {
    let mut run = || run(se, commands, rewritten_i);
    match fault {
        None => script_outcome(run(), commands.len()),
        Some(Fault::LoseAnswer { applied, .. }) => {
            if applied {
                run();
            }
            Outcome::Cut
        }
        Some(Fault::ForgeSuccess { data, .. }) => {
            let mut forged = vec![vec![0x90, 0x00]; commands.len()];
            if let Some(last) = forged.last_mut() {
                last.splice(0..0, data);
            }
            script_outcome(forged, commands.len())
        }
        Some(Fault::ForgeRefusal { status, applied, .. }) => {
            if applied {
                run();
            }
            script_outcome(vec![status.to_be_bytes().to_vec()], commands.len())
        }
        Some(Fault::HoldAnswer { reached, .. }) => {
            run();
            Outcome::Hold(reached)
        }
        Some(Fault::Truncate { at, .. }) => match script_outcome(run(), commands.len()) {
            Outcome::Answer(mut body) => {
                body.truncate(at);
                Outcome::Answer(body)
            }
            other => other,
        },
        // These bend something else than a script.
        Some(Fault::Unavailable503 { .. } | Fault::SwapSe { .. } | Fault::RewriteI { .. }) => {
            script_outcome(run(), commands.len())
        }
    }
}

/// Commands in order, up to the first error.
fn run(se: &mut SecureElement, commands: &[Vec<u8>], rewritten_i: Option<u8>) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for command in commands {
        let mut answer = terminal::exchange(se, command);
        let place =
            answer.get_mut(PLACE_OF_I).filter(|_| instruction(command) == INITIALIZE_UPDATE);
        if let (Some(place), Some(i)) = (place, rewritten_i) {
            *place = i;
        }
        let went_on = terminal::went_on(&answer);
        answers.push(answer);
        if !went_on {
            break;
        }
    }
    answers
}

fn script_outcome(mut answers: Vec<Vec<u8>>, commands: usize) -> Outcome {
    if answers.last().is_some_and(Vec::is_empty) {
        return failed(code::SECURE_ELEMENT, code::DELIVERED_WITHOUT_ANSWER, "the SE fell silent");
    }
    answers.truncate(commands);
    let stopped = answers.last().is_some_and(|answer| !terminal::went_on(answer));
    let failed_apdu_index = stopped.then_some(answers.len() as u64);
    success(SentScript { response_apdu: answers.into_iter().map(Hex).collect(), failed_apdu_index })
}

fn success<T: Serialize>(body: T) -> Outcome {
    answer(ExecutionStatus::success(), Some(body))
}

fn failed(subject: &str, reason: &str, message: &str) -> Outcome {
    answer::<Nothing>(ExecutionStatus::because(Status::Failed, subject, reason, message), None)
}

fn answer<T: Serialize>(status: ExecutionStatus, body: Option<T>) -> Outcome {
    let reply = Reply {
        processing_end: Some(jiff::Timestamp::now().to_string()),
        ..Reply::new(status, body)
    };
    reply.encode().map_or(Outcome::Unavailable, Outcome::Answer)
}

fn digits(se: &SeId) -> &str {
    se.as_str()
}

/// A panic elsewhere does not make the platform's state unreadable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
