//! `audit verify`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::outcome::{Failure, Outcome};
use crate::{
    audit::{VerifyError, verify_lines, verify_store},
    code::Word,
    store::STORE_FILE,
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Walk an audit trail from its first record to its head: a node's data directory or store, or exported JSON lines
    #[command(
        after_help = "Examples:\n  madoguchi audit verify /var/lib/madoguchi\n  madoguchi audit verify trail.jsonl --json"
    )]
    Verify {
        /// A data directory, its store file, or a file of JSON lines (one record each)
        trail: PathBuf,
    },
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Verb::Verify { trail } = self;
        let path = if trail.is_dir() { trail.join(STORE_FILE) } else { trail };
        let is_store = path.extension().is_some_and(|extension| extension == "db");
        let verified = if is_store {
            verify_store(&path)
        } else {
            std::fs::File::open(&path).map_err(VerifyError::from).and_then(verify_lines)
        };
        let summary = verified.map_err(|cause| match cause {
            VerifyError::Broken(broken) => Failure::new(Word::AuditBroken, broken.to_string()),
            cause => Failure::new(Word::BadInput, format!("{}: {cause}", path.display())),
        })?;
        let text = format!("{} records, head {}", summary.records, summary.head);
        Ok(Outcome::new(json!({ "records": summary.records, "head": summary.head }), text))
    }
}
