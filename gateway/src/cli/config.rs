//! `config check` and `config show`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use conf::Loaded;
use serde_json::{Value, json};

use super::outcome::{Failure, Outcome};
use crate::{
    code::Word,
    engine::service::Services,
    server,
    settings::{self, Settings, SettingsError},
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Load a configuration as `serve` would, and say what is wrong with it
    #[command(after_help = "Example:\n  madoguchi config check --config node.toml")]
    Check {
        #[command(flatten)]
        source: Source,
    },
    /// Every setting with its value and the layer it came from; secrets are not shown
    #[command(after_help = "Example:\n  madoguchi config show --config node.toml --json")]
    Show {
        #[command(flatten)]
        source: Source,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    /// The node's TOML file, the layer over the shipped defaults; MADOGUCHI__SECTION__KEY variables are over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Started by the sandbox itself
    #[arg(long, hide = true)]
    sandbox: bool,
}

impl Source {
    /// The settings, refused if they do not fit together or belong to a sandbox.
    pub(super) fn load(&self) -> Result<Loaded<Settings>, Failure> {
        let loaded = settings::load(settings::layers(self.config.as_deref())).map_err(refused)?;
        loaded.value.check_sandbox(self.sandbox).map_err(refused)?;
        Ok(loaded)
    }
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match self {
            Verb::Check { source } => check(&source),
            Verb::Show { source } => show(&source),
        }
    }
}

fn refused(cause: SettingsError) -> Failure {
    let word = match cause {
        SettingsError::Sandbox { .. } => Word::SandboxOnly,
        SettingsError::Conf(_) | SettingsError::Bounds { .. } | SettingsError::Mismatch { .. } => {
            Word::Configuration
        }
    };
    Failure::new(word, cause.to_string())
}

/// Settings first, then every file they name that a node reads at start.
fn check(source: &Source) -> Result<Outcome, Failure> {
    let settings = source.load()?.value;
    let configuration = |cause: String| Failure::new(Word::Configuration, cause);
    server::server_config(&settings.server).map_err(|cause| configuration(cause.to_string()))?;
    Services::load(&settings.services).map_err(|cause| configuration(cause.to_string()))?;
    let document = json!({ "configuration": "accepted", "node": settings.node.id });
    Ok(Outcome::new(
        document,
        format!("The configuration of node {} is accepted.", settings.node.id),
    ))
}

fn show(source: &Source) -> Result<Outcome, Failure> {
    let loaded = source.load()?;
    let settings: Vec<Value> = loaded
        .origins
        .iter()
        .map(|(key, origin)| json!({ "key": key, "value": origin.shown, "origin": origin.layer.to_string() }))
        .collect();
    let text: Vec<String> = loaded
        .origins
        .iter()
        .map(|(key, origin)| format!("{key} = {}    # {}", origin.shown, origin.layer))
        .collect();
    Ok(Outcome::new(json!({ "settings": settings }), text.join("\n")))
}
