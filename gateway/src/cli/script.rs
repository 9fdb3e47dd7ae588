//! `script wrap`, `unwrap` and `explain`: SCP03 offline, on keys the caller types. The one command that shows session keys.
//!
//! Nothing here reaches a carrier: what is wrapped with typed keys is a [`scp::TypedScript`], which no carrier takes.

mod replay;

use std::io::BufRead;

use clap::Subcommand;
use scp::{CommandApdu, StatusWord, explain::Line};
use serde_json::{Value, json};

use self::replay::Session;
use super::outcome::{Failure, Outcome, line};
use crate::code::Word;

/// Longest line read.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;

const FORM: &str = "\
Each line of stdin is one session, a JSON object:
  {\"keys\":{\"enc\",\"mac\",\"dek\"},\"mode\":\"S8\"|\"S16\",\"level\":\"33\",\"host_challenge\",\"init_update_rsp\",
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

/// A command field by field; two bytes are a status word.
fn explain(apdus: &[String]) -> Result<Outcome, Failure> {
    let mut explained = Vec::new();
    let mut text = Vec::new();
    for apdu in apdus {
        let unfit = |why: &str| Failure::new(Word::BadInput, format!("{apdu}: {why}"));
        let bytes = hex::decode(apdu).map_err(|_| unfit("not hexadecimal"))?;
        let lines = match *bytes.as_slice() {
            [sw1, sw2] => vec![status_word(StatusWord(u16::from_be_bytes([sw1, sw2])))],
            _ => {
                let command =
                    CommandApdu::parse(&bytes).map_err(|cause| unfit(&cause.to_string()))?;
                scp::explain::command(&command)
            }
        };
        text.push(apdu.to_ascii_uppercase());
        text.extend(lines.iter().map(|line| format!("  {line}")));
        let lines: Vec<Value> = lines
            .into_iter()
            .map(|line| json!({ "field": line.field, "hex": line.bytes, "meaning": line.meaning }))
            .collect();
        explained.push(json!({ "apdu": apdu.to_ascii_uppercase(), "lines": lines }));
    }
    Ok(Outcome::new(json!({ "apdus": explained }), text.join("\n")))
}

fn status_word(status: StatusWord) -> Line {
    Line { field: "SW", bytes: status.to_string(), meaning: status.meaning().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_status_words_are_explained() {
        let explained = |apdu: &str| explain(&[apdu.to_owned()]);
        for good in ["8050300008000102030405060700", "80CA00E000", "6A88", "6a88"] {
            assert!(explained(good).is_ok(), "{good}");
        }
        for bad in ["", "80", "8050", "zz", "80503000FF00"] {
            assert_eq!(explained(bad).is_ok(), bad == "8050", "{bad}");
        }
    }
}
