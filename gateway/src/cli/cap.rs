//! `cap inspect`.

use std::{fs::File, io::Read, path::PathBuf};

use clap::Subcommand;
use scp::cap::Cap;
use serde_json::{Value, json};

use super::outcome::{Failure, Outcome};
use crate::{code::Word, digest::Digest};

/// Largest file looked at.
const FILE_MAX_BYTES: u64 = 8 * 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Package, applets and components of a CAP file (compact format)
    #[command(after_help = "Example:\n  madoguchi cap inspect applet.cap --json")]
    Inspect {
        /// The CAP file
        file: PathBuf,
    },
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Verb::Inspect { file } = self;
        let unfit =
            |why: String| Failure::new(Word::BadInput, format!("{}: {why}", file.display()));
        let mut bytes = Vec::new();
        let opened = File::open(&file).map_err(|cause| unfit(cause.to_string()))?;
        opened
            .take(FILE_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| unfit(cause.to_string()))?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(unfit(format!("it is larger than {FILE_MAX_BYTES} bytes")));
        }
        let cap = Cap::parse(&bytes).map_err(|cause| unfit(cause.to_string()))?;
        Outcome::shown(describe(&cap))
    }
}

fn describe(cap: &Cap) -> Value {
    let block = cap.load_file_data_block();
    let (major, minor) = cap.version();
    let components: Vec<Value> = cap
        .components()
        .map(|(component, bytes)| json!({ "name": component.to_string(), "bytes": bytes }))
        .collect();
    json!({
        "package": cap.package(),
        "version": format!("{major}.{minor}"),
        "load_file": cap.load_file(),
        "applets": cap.applets(),
        "components": components,
        "load_file_data_block": { "bytes": block.len(), "sha256": Digest::of(&[&block]) },
    })
}
