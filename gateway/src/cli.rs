//! The `madoguchi` command.
//!
//! Every verb ends in an outcome or a failure. With `--json` either is exactly one JSON document on one line of stdout, usage
//! errors included; without it stdout carries text for people. Progress and logs go to stderr. Exit codes are in
//! [`crate::code::Entry::exit`]: 0 done, 1 the answer is no, 2 usage, 3 a person must act, 4 still under way, 69 unreachable, 70 our bug,
//! 74 audit cannot be written, 75 try later, 77 not allowed, 78 configuration.

mod audit;
mod cap;
mod client;
mod config;
mod enquiry;
mod explain;
mod order;
mod outcome;
mod route;
#[cfg(feature = "sandbox")]
mod sandbox;
mod script;
mod serve;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};
use serde_json::json;

use self::outcome::{Failure, Outcome};
use crate::{code::Word, telemetry};

const EXAMPLES: &str = "\
Examples:
  madoguchi sandbox --once                 the whole main job on this machine
  madoguchi serve --config node.toml       run a node
  madoguchi config check --config node.toml
  madoguchi explain T09                    what a code means and what to do next
  madoguchi order watch ID --server https://node:8443 --cert c.pem --key k.pem --ca ca.pem --json

Exit codes: 0 done, 1 the answer is no, 2 usage, 3 a person must act, 4 still under way, 69 unreachable,
70 our bug, 74 audit cannot be written, 75 try later, 77 not allowed, 78 configuration.";

/// An SP-TSM gateway: no key write leaves before a counter's authorization is verified and consumed.
#[derive(Parser)]
#[command(name = "madoguchi", version, after_help = EXAMPLES)]
struct Command {
    /// Answer with one JSON document on one line of stdout
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a gateway node
    Serve(serve::Arguments),
    /// Submit, show, watch, list, cancel and resume orders at a node
    #[command(subcommand)]
    Order(order::Verb),
    /// Which carrier an SE is routed to, and why
    #[command(subcommand)]
    Route(route::Verb),
    /// Wrap, unwrap and explain scripts offline, with keys you type
    #[command(subcommand)]
    Script(script::Verb),
    /// Look into a CAP file
    #[command(subcommand)]
    Cap(cap::Verb),
    /// Where an order stands, by its enquiry id
    #[command(subcommand)]
    Enquiry(enquiry::Verb),
    /// Check an audit trail offline
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Check and show a node's configuration
    #[command(subcommand)]
    Config(config::Verb),
    /// What a code, reason, word or status word means, and what to do next
    Explain(explain::Arguments),
    /// A whole rehearsal on this machine: carriers, counter, issuer and secure elements
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Arguments),
}

/// Runs the command and answers its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (json, ended) = match Command::try_parse_from(&arguments) {
        Ok(command) => {
            telemetry::init_logs(matches!(command.verb, Verb::Serve(_)));
            (command.json, command.verb.run(command.json))
        }
        Err(error) => (arguments.iter().any(|argument| argument == "--json"), unparsed(&error)),
    };
    outcome::print(ended, json)
}

impl Verb {
    fn run(self, json: bool) -> Result<Outcome, Failure> {
        match self {
            Verb::Serve(arguments) => serve::run(&arguments),
            Verb::Order(verb) => verb.run(),
            Verb::Route(verb) => verb.run(),
            Verb::Script(verb) => verb.run(json),
            Verb::Cap(verb) => verb.run(),
            Verb::Enquiry(verb) => verb.run(),
            Verb::Audit(verb) => verb.run(),
            Verb::Config(verb) => verb.run(),
            Verb::Explain(arguments) => arguments.run(),
            #[cfg(feature = "sandbox")]
            Verb::Sandbox(arguments) => arguments.run(json),
        }
    }
}

/// Help and version are answers; everything else that does not parse is wrong usage.
fn unparsed(error: &clap::Error) -> Result<Outcome, Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => Ok(Outcome::new(json!({ "help": text }), text.trim_end())),
        ErrorKind::DisplayVersion => {
            Ok(Outcome::new(json!({ "version": text.trim() }), text.trim_end()))
        }
        _ => Err(Failure::new(Word::Usage, text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Command::command().debug_assert();
    }

    #[test]
    fn no_verb_takes_a_secret_as_an_argument() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let allowed =
                    name == "keys" || !["pin", "password", "secret", "kek"].contains(&name);
                assert!(allowed, "{} takes {name}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Command::command());
    }
}
