//! `script wrap`, `unwrap` and `explain`: SCP03 offline, on keys the caller types. The one command that shows session keys.
//!
//! Nothing here reaches a carrier: what is wrapped with typed keys is a [`scp::TypedScript`], which no carrier takes.

mod annotate;
mod replay;

use std::io::BufRead;

use clap::Subcommand;
use serde_json::{Value, json};

use self::replay::Session;
use super::outcome::{Failure, Outcome, line};
use crate::code::Word;

/// Longest line read.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;

const FORM: &str = "\
Each line of stdin is one session, a JSON object:
  {\"keys\":{\"enc\",\"mac\",\"dek\"},\"mode\":\"S8\",\"level\":\"33\",\"host_challenge\",\"init_update_rsp\",
   \"sd_aid\"?,\"commands\":[hex…],\"responses\":[hex…]?}
init_update_rsp is without status word; responses are as long as commands, \"\" where there is none. With --json every
line is answered by one line, in order; a line that cannot be answered by {\"error\":…}.";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Wrap commands of sessions given on stdin, and unwrap their responses
    #[command(after_help = FORM)]
    Wrap,
    /// Unwrap the responses of sessions given on stdin
    #[command(after_help = FORM)]
    Unwrap,
    /// A command or an answer, field by field
    #[command(after_help = "Example:\n  madoguchi script explain 80E60C00… 6A88")]
    Explain {
        /// APDUs or status words in hexadecimal
        #[arg(required = true, num_args = 1..=1024)]
        apdus: Vec<String>,
    },
}

impl Verb {
    pub(super) fn run(self, json: bool) -> Result<Outcome, Failure> {
        match self {
            Verb::Wrap => sessions(json, Session::wrapped),
            Verb::Unwrap => sessions(json, Session::unwrapped),
            Verb::Explain { apdus } => explain(&apdus),
        }
    }
}

/// Answers every line of stdin.
fn sessions(json: bool, answer: fn(&Session) -> Result<Value, String>) -> Result<Outcome, Failure> {
    let mut stdin = std::io::stdin().lock();
    let mut text = String::new();
    loop {
        text.clear();
        let read = std::io::Read::take(&mut stdin, LINE_MAX_BYTES).read_line(&mut text);
        match read {
            Ok(0) => return Ok(Outcome::streamed()),
            Ok(_) if text.trim().is_empty() => {}
            Ok(_) => {
                let session =
                    serde_json::from_str::<Session>(&text).map_err(|cause| cause.to_string());
                let answer = session.and_then(|session| answer(&session));
                show(json, &answer.unwrap_or_else(|error| json!({ "error": error })));
            }
            Err(cause) => return Err(Failure::new(Word::BadInput, format!("stdin: {cause}"))),
        }
    }
}

fn show(json: bool, answer: &Value) {
    if json {
        return line(&answer.to_string());
    }
    line(&serde_json::to_string_pretty(answer).unwrap_or_default());
}

fn explain(apdus: &[String]) -> Result<Outcome, Failure> {
    let mut explained = Vec::new();
    let mut text = Vec::new();
    for apdu in apdus {
        let bytes = hex::decode(apdu)
            .map_err(|_| Failure::new(Word::BadInput, format!("{apdu}: not hexadecimal")))?;
        let lines = annotate::apdu(&bytes)
            .map_err(|why| Failure::new(Word::BadInput, format!("{apdu}: {why}")))?;
        text.push(apdu.to_ascii_uppercase());
        text.extend(
            lines
                .iter()
                .map(|line| format!("  {:12} {:24} {}", line.field, line.hex, line.meaning)),
        );
        explained.push(json!({ "apdu": apdu.to_ascii_uppercase(), "lines": lines }));
    }
    Ok(Outcome::new(json!({ "apdus": explained }), text.join("\n")))
}
