//! Codes of refused counter tokens: the sentences are the authority's, the next steps are here.

use authority::Code;

use super::{Entry, Fault, Reached};

pub(super) fn entry(code: Code) -> Entry {
    let (fault, next) = match code {
        Code::T00 => {
            (Fault::Counter, "Have the terminal sign what `open` answered, then authorize.")
        }
        Code::T01 | Code::T02 | Code::T04 => {
            (Fault::Counter, "Report it to whoever maintains the terminal's software.")
        }
        Code::T03 => (Fault::Counter, "Check that the terminal's signing key is registered here."),
        Code::T05 => (Fault::Counter, "Check which gateway the terminal is set up for."),
        Code::T06 => (Fault::Counter, "Check the terminal's clock and authorize anew."),
        Code::T07 => (Fault::Counter, "Send the token from the terminal that signed it."),
        Code::T08 => (Fault::Counter, "Use another terminal; this one was withdrawn."),
        Code::T09 => {
            (Fault::Counter, "Look at the order first; sign a new token if it still waits.")
        }
        Code::T10 => (Fault::Counter, "Sign a new token on the same terminal."),
        Code::T11 => (Fault::Counter, "Open the order again and sign exactly what it answers."),
        Code::T12 => {
            (Fault::Counter, "Ask the applicant for the code again; three errors end the token.")
        }
        Code::T13 => (Fault::Operator, "Ask whoever sets this gateway's policy."),
    };
    Entry {
        id: code.as_str(),
        http_status: code.http_status(),
        exit: 1,
        ja: code.ja(),
        en: code.en(),
        fault,
        reached_se: Reached::No,
        next,
        retry: code.retry_helps(),
    }
}
