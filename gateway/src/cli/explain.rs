//! `explain`: the catalogue of codes.

use clap::Args;
use serde_json::json;

use super::outcome::{Failure, Outcome};
use crate::code::{self, Code, Word};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  madoguchi explain T09\n  madoguchi explain 6A88\n  madoguchi explain --list --json"
)]
pub(super) struct Arguments {
    /// A code (T09, S01), reason (unresolved), word (not_found) or status word (6A88)
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    code: Option<String>,
    /// Every code there is
    #[arg(long)]
    list: bool,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Some(id) = self.code else {
            let entries: Vec<_> = Code::all().map(Code::entry).collect();
            let text: Vec<_> =
                entries.iter().map(|entry| format!("{:30} {}", entry.id, entry.en)).collect();
            return Ok(Outcome::new(json!({ "codes": entries }), text.join("\n")));
        };
        let explained = code::explain(&id)
            .ok_or_else(|| Failure::new(Word::UnknownCode, format!("nothing here emits `{id}`")))?;
        let document = serde_json::to_value(&explained).map_err(Failure::internal)?;
        Ok(Outcome::new(document, explained.to_string()))
    }
}
