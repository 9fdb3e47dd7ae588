//! How a verb ends, and how that is printed.

use std::{io::Write, process::ExitCode};

use serde::Serialize;
use serde_json::{Value, json};

use crate::code::{Code, Word};

/// A verb that answered.
#[derive(Debug)]
pub(super) struct Outcome {
    document: Option<Value>,
    text: String,
    exit: u8,
}

impl Outcome {
    /// Done: the same answer as a document and as text.
    pub(super) fn new(document: Value, text: impl Into<String>) -> Outcome {
        Outcome { document: Some(document), text: text.into(), exit: 0 }
    }

    /// Done, with the document printed in full as the text.
    pub(super) fn shown(document: impl Serialize) -> Result<Outcome, Failure> {
        let document = serde_json::to_value(document).map_err(Failure::internal)?;
        let text = serde_json::to_string_pretty(&document).map_err(Failure::internal)?;
        Ok(Outcome::new(document, text))
    }

    /// A stream that printed its lines itself.
    pub(super) fn streamed() -> Outcome {
        Outcome { document: None, text: String::new(), exit: 0 }
    }

    /// With another exit code than 0.
    pub(super) fn exit(self, exit: u8) -> Outcome {
        Outcome { exit, ..self }
    }
}

/// A verb that could not answer, with its code from the catalogue.
#[derive(Debug)]
pub(super) struct Failure {
    code: String,
    exit: u8,
    message: String,
    next: String,
}

impl Failure {
    /// What went wrong in one sentence; the catalogue says what to do next.
    pub(super) fn new(code: impl Into<Code>, message: impl Into<String>) -> Failure {
        let entry = code.into().entry();
        Failure {
            code: entry.id.to_owned(),
            exit: entry.exit,
            message: message.into(),
            next: entry.next.to_owned(),
        }
    }

    /// A bug of ours.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Failure {
        Failure::new(Word::Internal, cause.to_string())
    }

    fn document(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message, "next": self.next } })
    }
}

/// Prints how a verb ended and answers the exit code. A closed stdout is nobody's fault.
pub(super) fn print(ended: Result<Outcome, Failure>, json: bool) -> ExitCode {
    let exit = match &ended {
        Ok(outcome) => outcome.exit,
        Err(failure) => failure.exit,
    };
    match ended {
        Ok(Outcome { document: Some(document), .. }) if json => line(&document.to_string()),
        Ok(Outcome { text, .. }) if json || text.is_empty() => {}
        Ok(Outcome { text, .. }) => line(&text),
        Err(failure) if json => line(&failure.document().to_string()),
        Err(failure) => {
            eprintln!("{}: {}", failure.code, failure.message);
            eprintln!("Next: {}", failure.next);
        }
    }
    ExitCode::from(exit)
}

/// One line on stdout.
pub(super) fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
