//! A carrier that lies, and the secure elements (SEs) it stands in front of.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use carriers::{
    ApplicationStatus, Begin, BoxFuture, CallId, Carrier, CarrierError, Conversation, Eligibility,
    EligibilityRequest, Mode, Reach, ScriptAnswer, SimpleRequest, StatusRequest,
};
use scp::Outbound;
use se::SecureElement;

use crate::lie::{Dice, Lie, PROBES_LIED_ABOUT, ProbeLie};

/// The carrier's name.
pub(crate) const CARRIER: &str = "carrier-a";

const SELECT: u8 = 0xA4;
const EXTERNAL_AUTHENTICATE: u8 = 0x82;
const PUT_KEY: u8 = 0xD8;
const STORE_DATA: u8 = 0xE2;
const DELETE: u8 = 0xE4;

const SUCCESS: [u8; 2] = [0x90, 0x00];

type Script = Vec<Vec<u8>>;

/// Which key write is lied about, by an INS in its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    PutKey,
    Delete,
    StoreData,
}

impl Target {
    fn instruction(self) -> u8 {
        match self {
            Target::PutKey => PUT_KEY,
            Target::Delete => DELETE,
            Target::StoreData => STORE_DATA,
        }
    }
}

/// What is lied about.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// The scripts of one key write: the first, or each.
    Write { target: Target, lie: Lie, each: bool },
    /// Any script once the order is authorized, by a seed.
    Storm { dice: Dice },
}

/// One SE, and what its carrier has seen of it.
pub(crate) struct Seat {
    pub(crate) se: SecureElement,
    /// Another SE of the same product, under other keys.
    twin: SecureElement,
    plan: Plan,
    /// Storms begin with the authorization.
    pub(crate) authorized: bool,
    /// Everything the gateway sent, in order.
    received: Vec<Script>,
    /// Everything this SE answered, in order.
    answered: Vec<Script>,
    /// Delivered once so many more APDUs reached the SE.
    held: Option<(usize, Script)>,
    probes: Option<(ProbeLie, u32)>,
    /// Whether the SE ever got what the gateway did not send, or twice: it may then refuse what follows.
    interfered: bool,
    /// EXTERNAL AUTHENTICATE commands of the gateway the SE refused although the carrier did not interfere.
    pub(crate) authentications_refused: u32,
    /// What happened, in order.
    pub(crate) log: Vec<String>,
}

impl Seat {
    pub(crate) fn new(se: SecureElement, twin: SecureElement, plan: Plan) -> Seat {
        Seat {
            se,
            twin,
            plan,
            authorized: false,
            received: Vec::new(),
            answered: Vec::new(),
            held: None,
            probes: None,
            interfered: false,
            authentications_refused: 0,
            log: Vec::new(),
        }
    }

    /// The scripts the gateway sent that can change keys.
    pub(crate) fn key_scripts(&self) -> Vec<&Script> {
        self.received.iter().filter(|script| is_key_script(script)).collect()
    }

    /// Plays everything ever received again, in order; then each key script alone.
    pub(crate) fn play_everything_again(&mut self) {
        self.held = None;
        self.interfered = true;
        let everything = self.received.clone();
        for script in &everything {
            self.deliver(script);
        }
        for script in everything.iter().filter(|script| is_key_script(script)) {
            self.deliver(script);
        }
    }

    fn receive(&mut self, script: Script) -> Result<Script, CarrierError> {
        let lie = self.lie_about(&script);
        let probe = self.probe_lie();
        self.log.push(format!("{} -> {}", instructions(&script), told(lie, probe)));
        self.received.push(script.clone());
        let answer = match probe {
            Some(probe) => self.lie_to_probe(probe, &script),
            None => self.tell(lie, &script),
        };
        if let Ok(answers) = &answer {
            self.log.push(format!("   answered {}", status_words(answers)));
        }
        answer
    }

    fn lie_about(&mut self, script: &Script) -> Lie {
        let key_script = is_key_script(script);
        match &mut self.plan {
            Plan::Write { target, lie, each } => {
                if !script.iter().any(|command| instruction(command) == target.instruction()) {
                    return Lie::None;
                }
                let told = *lie;
                if !*each {
                    *lie = Lie::None;
                }
                told
            }
            Plan::Storm { dice } if self.authorized => dice.lie(if key_script { 20 } else { 90 }),
            Plan::Storm { .. } => Lie::None,
        }
    }

    fn probe_lie(&mut self) -> Option<ProbeLie> {
        let (probe, left) = self.probes.take()?;
        if left > 1 {
            self.probes = Some((probe, left - 1));
        }
        Some(probe)
    }

    fn tell(&mut self, lie: Lie, script: &Script) -> Result<Script, CarrierError> {
        match lie {
            Lie::None => Ok(self.deliver(script)),
            Lie::Silence { applied } => {
                self.deliver_if(applied, script);
                Err(silence())
            }
            Lie::ServerError { applied } => {
                self.deliver_if(applied, script);
                Err(server_error())
            }
            Lie::Refused { applied } => {
                self.deliver_if(applied, script);
                let (subject, reason) = ("8.1".to_owned(), "3.8".to_owned());
                Err(CarrierError::Refused { subject, reason, message: None })
            }
            Lie::Expired { applied } => {
                self.deliver_if(applied, script);
                Err(CarrierError::Expired)
            }
            Lie::Duplicate { applied, second } => {
                self.interfered = true;
                let first =
                    if applied { self.deliver(script) } else { self.deliver(&damaged(script)) };
                let again = self.deliver(script);
                Ok(if second { again } else { first })
            }
            Lie::Truncated { applied, at } => {
                let answers = match self.deliver_if(applied, script) {
                    Some(answers) => answers,
                    None => forged(script, true),
                };
                Ok(cut(&answers, at))
            }
            Lie::ForgedSuccess { applied, data } => {
                self.deliver_if(applied, script);
                Ok(forged(script, data))
            }
            Lie::ForgedRefusal { applied, status } => {
                self.deliver_if(applied, script);
                Ok(vec![status.to_be_bytes().to_vec()])
            }
            Lie::Stale { applied } => {
                let stale = self.stale(script);
                self.deliver_if(applied, script);
                Ok(stale)
            }
            Lie::OtherSe { applied } => {
                self.deliver_if(applied, script);
                Ok(deliver(&mut self.twin, script))
            }
            Lie::Late { after } => {
                self.held = Some((after, script.clone()));
                Err(silence())
            }
            Lie::Replayed { applied, after } => {
                self.deliver_if(applied, script);
                self.held = Some((after, self.conversation()));
                Err(silence())
            }
            Lie::ThenProbes { applied, probe } => {
                self.deliver_if(applied, script);
                self.probes = Some((probe, PROBES_LIED_ABOUT));
                Err(silence())
            }
        }
    }

    fn lie_to_probe(&mut self, probe: ProbeLie, script: &Script) -> Result<Script, CarrierError> {
        match probe {
            ProbeLie::Silence => Err(silence()),
            ProbeLie::Refusal(status) => {
                let mut answers = vec![vec![0x90, 0x00]; script.len().saturating_sub(1)];
                answers.push(status.to_be_bytes().to_vec());
                Ok(answers)
            }
            ProbeLie::Garbage => Ok(forged(script, true)),
            ProbeLie::Stale => Ok(self.stale(script)),
            ProbeLie::OtherSe => Ok(deliver(&mut self.twin, script)),
        }
    }

    fn deliver_if(&mut self, applied: bool, script: &Script) -> Option<Script> {
        applied.then(|| self.deliver(script))
    }

    /// Gives a script to the SE as a TSM does: it stops at an error. What is held slips in between.
    fn deliver(&mut self, script: &Script) -> Script {
        let mut answers = Vec::new();
        for command in script {
            self.let_slip();
            let answer = self.se.transmit(command);
            if instruction(command) == EXTERNAL_AUTHENTICATE
                && answer != SUCCESS
                && !self.interfered
            {
                self.authentications_refused += 1;
            }
            let stops = !is_success(&answer);
            answers.push(answer);
            if stops {
                break;
            }
        }
        self.answered.push(answers.clone());
        answers
    }

    fn let_slip(&mut self) {
        match self.held.take() {
            Some((0, script)) => {
                self.interfered = true;
                self.log.push(format!("   {} APDUs held back reach the SE", script.len()));
                for command in &script {
                    self.se.transmit(command);
                }
            }
            Some((more, script)) => self.held = Some((more - 1, script)),
            None => {}
        }
    }

    /// The latest answers to as many commands, or else the latest.
    fn stale(&self, script: &Script) -> Script {
        let of_this_length =
            self.answered.iter().rev().find(|answers| answers.len() == script.len());
        of_this_length.or(self.answered.last()).cloned().unwrap_or_default()
    }

    /// Everything from the last SELECT on.
    fn conversation(&self) -> Script {
        let opens =
            |script: &Script| script.first().is_some_and(|command| instruction(command) == SELECT);
        let from = self.received.iter().rposition(opens).unwrap_or(0);
        self.received[from..].concat()
    }
}

/// The carrier: one seat an SE, by ICCID.
pub(crate) struct Liar {
    seats: HashMap<String, Mutex<Seat>>,
}

impl Liar {
    pub(crate) fn new(seats: impl IntoIterator<Item = (String, Seat)>) -> Liar {
        Liar { seats: seats.into_iter().map(|(se, seat)| (se, Mutex::new(seat))).collect() }
    }

    pub(crate) fn seat(&self, se: &str) -> MutexGuard<'_, Seat> {
        self.seats[se].lock().expect("no test thread panicked with a seat in hand")
    }
}

impl Carrier for Liar {
    fn id(&self) -> &str {
        CARRIER
    }

    fn mode(&self) -> Mode {
        Mode::Authorised
    }

    fn check_eligibility<'a>(
        &'a self,
        _request: &'a EligibilityRequest,
    ) -> BoxFuture<'a, Result<Eligibility, CarrierError>> {
        Box::pin(async { Ok(Eligibility { eligible: true, reasons: Vec::new() }) })
    }

    fn begin<'a>(&'a self, begin: &'a Begin) -> BoxFuture<'a, Result<Conversation, CarrierError>> {
        Box::pin(async { Ok(Conversation { id: 1, se: begin.se.clone() }) })
    }

    fn send_script<'a>(
        &'a self,
        conversation: &'a Conversation,
        _call: &'a CallId,
        script: Outbound,
        _validity_ms: u64,
    ) -> BoxFuture<'a, Result<ScriptAnswer, CarrierError>> {
        let responses = self.seat(conversation.se.as_str()).receive(script.commands().to_vec());
        Box::pin(async { Ok(ScriptAnswer { responses: responses?, failed_index: None }) })
    }

    fn end<'a>(
        &'a self,
        _conversation: Conversation,
        _call: &'a CallId,
    ) -> BoxFuture<'a, Result<(), CarrierError>> {
        Box::pin(async { Ok(()) })
    }

    fn application_status<'a>(
        &'a self,
        _request: &'a StatusRequest,
    ) -> BoxFuture<'a, Result<ApplicationStatus, CarrierError>> {
        Box::pin(async { Err(server_error()) })
    }

    fn simple<'a>(
        &'a self,
        _request: &'a SimpleRequest,
    ) -> BoxFuture<'a, Result<(), CarrierError>> {
        Box::pin(async { Err(server_error()) })
    }
}

fn silence() -> CarrierError {
    let cause = "no answer in time".to_owned();
    CarrierError::Unavailable { reach: Reach::Unknown, cause, retry_after_ms: None }
}

fn server_error() -> CarrierError {
    let cause = "HTTP status 503".to_owned();
    // Without Retry-After the engine would wait its default of seconds.
    CarrierError::Unavailable { reach: Reach::Answered, cause, retry_after_ms: Some(0) }
}

fn deliver(se: &mut SecureElement, script: &Script) -> Script {
    let mut answers = Vec::new();
    for command in script {
        answers.push(se.transmit(command));
        if !answers.last().is_some_and(|answer| is_success(answer)) {
            break;
        }
    }
    answers
}

/// The script with one bit of its first command's last byte but one turned: its MAC is wrong.
fn damaged(script: &Script) -> Script {
    let mut script = script.clone();
    if let Some(byte) = script.first_mut().and_then(|command| command.iter_mut().rev().nth(1)) {
        *byte ^= 1;
    }
    script
}

/// 9000 to every command; with data, as many bytes as an encrypted block and a MAC would have.
fn forged(script: &Script, data: bool) -> Script {
    let answer = if data { [vec![0x5A; 24], vec![0x90, 0x00]].concat() } else { vec![0x90, 0x00] };
    vec![answer; script.len()]
}

/// The first bytes of the answers laid end to end.
fn cut(answers: &Script, at: usize) -> Script {
    let length: usize = answers.iter().map(Vec::len).sum();
    let mut left = at % length.max(1);
    let mut kept = Vec::new();
    for answer in answers {
        if left == 0 {
            break;
        }
        let take = left.min(answer.len());
        kept.push(answer[..take].to_vec());
        left -= take;
    }
    kept
}

pub(crate) fn is_key_script(script: &Script) -> bool {
    script.iter().any(|command| matches!(instruction(command), PUT_KEY | STORE_DATA | DELETE))
}

fn told(lie: Lie, probe: Option<ProbeLie>) -> String {
    probe.map_or(format!("{lie:?}"), |probe| format!("probe: {probe:?}"))
}

fn instructions(script: &Script) -> String {
    let all: Vec<String> =
        script.iter().map(|command| format!("{:02X}", instruction(command))).collect();
    all.join(" ")
}

fn status_words(answers: &Script) -> String {
    let word = |answer: &Vec<u8>| {
        hex::encode_upper(answer.last_chunk::<2>().map_or(answer.as_slice(), |word| word))
    };
    let all: Vec<String> = answers.iter().map(word).collect();
    all.join(" ")
}

fn instruction(command: &[u8]) -> u8 {
    command.get(1).copied().unwrap_or(0)
}

fn is_success(answer: &[u8]) -> bool {
    answer.last_chunk::<2>().is_some_and(|[high, _]| matches!(high, 0x90 | 0x62 | 0x63))
}
