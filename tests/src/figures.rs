//! What a proof measured: one line for the reader, one file for whoever compares runs.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::root;

/// Whether the proof was asked for in full (`tests/run NAME --full`) rather than within a minute.
pub fn full() -> bool {
    std::env::var_os("TESTS_FULL").is_some_and(|value| value == "1")
}

/// How many seeds were asked for (`tests/run NAME --seeds N`).
///
/// # Panics
/// When what was asked for is no number.
pub fn seeds() -> Option<u64> {
    let seeds = std::env::var("TESTS_SEEDS").ok()?;
    Some(seeds.parse().expect("TESTS_SEEDS is a number"))
}

/// Prints `NAME: figures` and writes them to `target/figures/NAME.json` with the seed and the commit they belong to.
///
/// # Panics
/// When the file cannot be written.
pub fn publish(name: &str, seed: Option<u64>, figures: &Value) {
    let folder = root().join("target/figures");
    fs::create_dir_all(&folder).expect("target/figures");
    let document = json!({ "seed": seed, "commit": commit(), "figures": figures });
    fs::write(folder.join(format!("{name}.json")), format!("{document:#}\n")).expect("the figures");
    println!("{name}: {figures}");
}

/// The commit the working tree stands on; none outside a checkout.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
