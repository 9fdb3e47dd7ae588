//! The `madoguchi` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::run(std::env::args_os())
}
