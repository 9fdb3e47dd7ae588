//! What every proof shares: the real binary, one JSON document from it, and a look at the project's own text.

pub mod figures;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The project's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The binary under test, built beside this test.
///
/// # Panics
/// When it was not built: `cargo test` builds it only where the package that owns it is tested too.
pub fn madoguchi() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = profile.join("madoguchi");
    assert!(
        binary.is_file(),
        "{} is not built: run `cargo build --release` first",
        binary.display()
    );
    binary
}

/// Runs the binary to its end with nothing on standard input.
///
/// # Panics
/// When it cannot be started.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(madoguchi())
        .args(arguments)
        .env("NO_COLOR", "1")
        // Every log level is meant to be safe to paste in public, so the proofs look at the loudest.
        .env("MADOGUCHI_LOG", "trace")
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// The one JSON document on standard output: one line, nothing else.
///
/// # Panics
/// When there is not exactly one line of JSON.
pub fn document(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("standard output is UTF-8");
    let mut lines = text.lines();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        panic!(
            "not exactly one line on standard output: {text:?}\nstandard error:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Every file of the project below `folder` with one of these endings, build output apart.
///
/// # Panics
/// When a folder cannot be read.
pub fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry of a folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every static key and every private value in the SE files of a folder.
///
/// # Panics
/// When a file is no SE.
pub fn secrets(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for file in files(folder, &[".se"]) {
        let state = std::fs::read(file).expect("an SE file");
        collect_secrets(&serde_json::from_slice(&state).expect("JSON"), &mut found);
    }
    found
}

fn collect_secrets(state: &Value, found: &mut Vec<Vec<u8>>) {
    let bytes = |value: &Value| hex::decode(value.as_str()?).ok();
    match state {
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, found)),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("keys", Value::Array(keys)) => found.extend(keys.iter().filter_map(bytes)),
                    ("p" | "q" | "d_mod_p" | "d_mod_q" | "q_inverse", value) => {
                        found.extend(bytes(value));
                    }
                    (_, value) => collect_secrets(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Whether any of the secrets is in the bytes, as it is or in hexadecimal.
pub fn holds_any(bytes: &[u8], secrets: &[Vec<u8>]) -> bool {
    secrets.iter().any(|secret| {
        let (lower, upper) = (hex::encode(secret), hex::encode_upper(secret));
        [secret.as_slice(), lower.as_bytes(), upper.as_bytes()]
            .into_iter()
            .any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
    })
}
