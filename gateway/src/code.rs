//! One catalogue of everything a node or the command can answer: codes, reasons and words, with what to do next.
//!
//! `explain`, the texts under `/problems/` and every problem answer read it, so they cannot differ. What is not in it cannot be
//! emitted: [`Code`] is built from closed enums only.

mod token;
mod words;

use std::fmt;

use order::ParkReason;
use scp::status::StatusWord;
use serde::Serialize;

pub use self::words::Word;

/// Anything that can be the `code` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A counter token was refused: T00 to T13.
    Token(authority::Code),
    /// Everything else that ends a request or a command.
    Word(Word),
    /// Why an order is parked.
    Reason(ParkReason),
}

impl From<authority::Code> for Code {
    fn from(code: authority::Code) -> Code {
        Code::Token(code)
    }
}

impl From<Word> for Code {
    fn from(word: Word) -> Code {
        Code::Word(word)
    }
}

impl From<ParkReason> for Code {
    fn from(reason: ParkReason) -> Code {
        Code::Reason(reason)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// The code as it is written in JSON and in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Token(code) => code.as_str(),
            Code::Word(word) => word.entry().id,
            Code::Reason(reason) => reason.as_str(),
        }
    }

    /// The code written so; status words are not codes.
    pub fn find(id: &str) -> Option<Code> {
        Code::all().find(|code| code.as_str() == id)
    }

    /// Every code there is.
    pub fn all() -> impl Iterator<Item = Code> {
        let tokens = authority::Code::ALL.into_iter().map(Code::Token);
        let words = Word::ALL.iter().copied().map(Code::Word);
        tokens.chain(words).chain(ParkReason::ALL.into_iter().map(Code::Reason))
    }

    /// What the catalogue says of it.
    pub fn entry(self) -> Entry {
        match self {
            Code::Token(code) => token::entry(code),
            Code::Word(word) => *word.entry(),
            Code::Reason(reason) => of_reason(reason),
        }
    }
}

/// What the catalogue says of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The code.
    pub id: &'static str,
    /// HTTP status of an answer with it.
    pub http_status: u16,
    /// Exit code of a command that ends with it.
    pub exit: u8,
    /// Meaning, Japanese.
    pub ja: &'static str,
    /// Meaning, English.
    pub en: &'static str,
    /// Whose turn it is to mend something.
    pub fault: Fault,
    /// Whether something may have reached the SE before this was answered.
    pub reached_se: Reached,
    /// What to do next.
    pub next: &'static str,
    /// Whether the same request, sent again later, may succeed.
    pub retry: bool,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Whoever sent the request or typed the command.
    Caller,
    /// The municipal counter: terminal, clerk or token issuer.
    Counter,
    /// The service provider.
    ServiceProvider,
    /// The carrier, its TSM, or the SE it supplied.
    Carrier,
    /// Whoever runs the node.
    Operator,
    /// Two security officers together.
    Officers,
    /// A bug of ours.
    Ours,
}

/// Whether something may have reached the SE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Nothing was sent to it.
    No,
    /// Something was, but no key write.
    NoKeyWrite,
    /// A key write may have reached it; the record says which, and a probe tells.
    Maybe,
}

/// What `explain` answers: an entry of the catalogue, or a status word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Explained {
    /// A code.
    Code(Entry),
    /// A status word of an SE, by its range.
    Status {
        /// Four hexadecimal digits.
        id: String,
        /// Meaning, Japanese.
        ja: &'static str,
        /// Meaning, English.
        en: &'static str,
        /// What to do next.
        next: &'static str,
    },
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explained::Code(entry) => write!(f, "{entry}"),
            Explained::Status { id, ja, en, next } => {
                write!(f, "{id} (status word of an SE)\n  {ja}\n  {en}\n  Next: {next}")
            }
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turn = match self.fault {
            Fault::Caller => "the caller's",
            Fault::Counter => "the counter's",
            Fault::ServiceProvider => "the service provider's",
            Fault::Carrier => "the carrier's",
            Fault::Operator => "the operator's",
            Fault::Officers => "two security officers'",
            Fault::Ours => "ours: it is a bug",
        };
        let reached = match self.reached_se {
            Reached::No => "nothing was sent to it",
            Reached::NoKeyWrite => "perhaps, but no key write",
            Reached::Maybe => "a key write may have reached it",
        };
        let retry = if self.retry { "may help" } else { "does not help" };
        writeln!(f, "{} (HTTP {}, exit {})", self.id, self.http_status, self.exit)?;
        writeln!(f, "  {}\n  {}", self.ja, self.en)?;
        writeln!(f, "  Whose turn: {turn}. The SE: {reached}. Trying again: {retry}.")?;
        write!(f, "  Next: {}", self.next)
    }
}

/// Explains a code, a reason, a word or a status word; `None` for what nothing here emits.
pub fn explain(id: &str) -> Option<Explained> {
    if let Some(code) = Code::find(id) {
        return Some(Explained::Code(code.entry()));
    }
    let folded = id.to_ascii_uppercase();
    if let Some(code) = Code::find(&folded) {
        return Some(Explained::Code(code.entry()));
    }
    of_status(folded.parse().ok()?)
}

/// A status word by its range (ISO/IEC 7816-4 §5.6: 61xx, 62xx to 6Fxx, 90xx to 9Fxx).
fn of_status(status: StatusWord) -> Option<Explained> {
    let (ja, next) = match status.0 >> 8 {
        0x90 if status.is_success() => ("正常終了。", "Nothing: the command was carried out."),
        0x61 => ("応答データの続きがあります。", "Fetch the rest with GET RESPONSE."),
        0x62 | 0x63 => ("警告。", "Read the answer; with R-MAC it is authenticated."),
        0x64..=0x66 => (
            "実行エラー。",
            "Without R-MAC this is hearsay: for a key write, wait for the probe's verdict.",
        ),
        0x67..=0x6F => (
            "検査エラー。コマンドは受け付けられませんでした。",
            "Without R-MAC this is hearsay: for a key write, wait for the probe's verdict.",
        ),
        0x91..=0x9F => {
            ("アプリケーション固有の状態。", "Look it up in the application's specification.")
        }
        _ => return None,
    };
    Some(Explained::Status { id: status.to_string(), ja, en: status.meaning(), next })
}

fn of_reason(reason: ParkReason) -> Entry {
    let fault = match reason.owner() {
        order::Owner::ServiceProvider => Fault::ServiceProvider,
        order::Owner::Counter => Fault::Counter,
        order::Owner::Carrier => Fault::Carrier,
        order::Owner::Operator => Fault::Operator,
        order::Owner::Officers => Fault::Officers,
    };
    let (reached_se, next) = match reason {
        ParkReason::Unresolved | ParkReason::Quarantined | ParkReason::LateKeySet => {
            (Reached::Maybe, "Do not place the order again: a key write may have taken effect.")
        }
        ParkReason::AttemptsSpent | ParkReason::PastExecuteBy => {
            (Reached::Maybe, "Authorize the order again at a counter.")
        }
        ParkReason::SecureElementNotOnRecord => (
            Reached::NoKeyWrite,
            "Put the SIM on record back, or cancel and order for the new one.",
        ),
        ParkReason::ProfileMismatch | ParkReason::Misbehaved => {
            (Reached::Maybe, "Give the carrier the enquiry id.")
        }
        ParkReason::Unreachable => {
            (Reached::Maybe, "Wait: the order goes on by itself when the SE is reachable.")
        }
        ParkReason::ContentInDoubt => {
            (Reached::NoKeyWrite, "Have the carrier read the SE back, then resume.")
        }
        ParkReason::Policy | ParkReason::Halted => {
            (Reached::NoKeyWrite, "Ask whoever runs the node; nothing is lost meanwhile.")
        }
        ParkReason::Payload => (Reached::NoKeyWrite, "Place a new order with fresh key material."),
    };
    Entry {
        id: reason.as_str(),
        http_status: 409,
        exit: 3,
        ja: reason.ja(),
        en: reason.en(),
        fault,
        reached_se,
        next,
        retry: matches!(reason, ParkReason::Unreachable | ParkReason::Halted),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_one_entry_and_is_found_by_it() {
        let mut seen = HashSet::new();
        for code in Code::all() {
            let entry = code.entry();
            assert!(seen.insert(entry.id), "{} twice", entry.id);
            assert_eq!(entry.id, code.as_str());
            assert_eq!(Code::find(entry.id), Some(code));
            assert_eq!(explain(entry.id), Some(Explained::Code(entry)));
            assert!(entry.en.ends_with('.') && entry.en.is_ascii(), "{}: {}", entry.id, entry.en);
            assert!(entry.ja.ends_with('。'), "{}: {}", entry.id, entry.ja);
            assert!(entry.next.ends_with('.'), "{}: {}", entry.id, entry.next);
            assert!((400..=599).contains(&entry.http_status), "{}", entry.id);
            assert!([1, 2, 3, 4, 69, 70, 74, 75, 77, 78].contains(&entry.exit), "{}", entry.id);
        }
        assert!(seen.len() > 40);
    }

    #[test]
    fn status_words_are_explained_by_range() {
        for id in ["9000", "6A88", "6a88", "6310", "61FF", "9484", "6F00"] {
            let Some(Explained::Status { id: shown, en, .. }) = explain(id) else { panic!("{id}") };
            assert_eq!(shown, id.to_ascii_uppercase());
            assert!(!en.is_empty());
        }
        for nothing in ["", "T99", "0000", "FFFF", "ninety", "6A8"] {
            assert_eq!(explain(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn codes_are_found_in_either_case() {
        assert_eq!(explain("t09"), explain("T09"));
        assert!(explain("t09").is_some());
    }
}
