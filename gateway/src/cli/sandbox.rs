//! `sandbox`: the rehearsal, a virtual SE on a socket, and tokens by hand.

use std::{
    io::{BufReader, Read},
    net::TcpListener,
    path::PathBuf,
};

use clap::{Args, Subcommand};
use sandbox::{
    Document, Progress, SandboxError,
    counter::{CounterTokenError, HandSigned, hand_signed},
    interactive::InteractiveOptions,
    once::OnceOptions,
    scenario, serve_interactive,
};
use se::{Factory, FileError, SecureElement, serve::Options};
use serde_json::{Value, json};

use super::outcome::{Failure, Outcome, line};
use crate::code::Word;

/// Largest answer of `open` read.
const DETAILS_MAX_BYTES: u64 = 64 * 1024;

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  madoguchi sandbox --once                          the whole main job, then an end
  madoguchi sandbox --once --keep DIR --json
  madoguchi sandbox --once --scenario lost-answer
  madoguchi sandbox                                 the same platform left running
  madoguchi sandbox se serve --listen 127.0.0.1:9000 --file my.se"
)]
pub(super) struct Arguments {
    /// Run the main job, or a scenario, and end
    #[arg(long)]
    once: bool,
    /// A scenario instead of the main job
    #[arg(long, requires = "once", value_name = "NAME")]
    scenario: Option<String>,
    /// Name every scenario
    #[arg(long, conflicts_with_all = ["once", "keep"])]
    list_scenarios: bool,
    /// Leave everything in this directory, which must be empty or absent
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// A virtual secure element by itself
    #[command(subcommand)]
    Se(SeVerb),
    /// A municipal counter's terminal by itself
    #[command(subcommand)]
    Counter(CounterVerb),
}

#[derive(Subcommand)]
enum SeVerb {
    /// Serve a secure element: each way a 2-byte big-endian length, then the APDU or its answer with status word
    #[command(
        after_help = "Connections are served one after another, each a card reset; the state is kept. ISD A000000151000000."
    )]
    Serve(SeArguments),
}

#[derive(Args)]
struct SeArguments {
    #[command(flatten)]
    door: Door,
    /// The ISD's first key set: one value for all three keys, or ENC,MAC,DEK; 16, 24 or 32 bytes each
    #[arg(long, value_name = "HEX[,HEX,HEX]", value_delimiter = ',')]
    keys: Vec<String>,
    /// Its Key Version Number
    #[arg(long, value_name = "NN", default_value = "30", value_parser = hexadecimal_byte)]
    kvn: u8,
    /// The SCP03 parameter i
    #[arg(long, value_name = "NN", default_value = "70", value_parser = hexadecimal_byte)]
    i: u8,
    /// Keep its state in this file
    #[arg(long)]
    file: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Door {
    /// Listen here
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Be a card in pcscd's virtual reader here
    #[arg(long, value_name = "ADDR")]
    vpcd: Option<String>,
}

#[derive(Subcommand)]
enum CounterVerb {
    /// Sign a token for what `open` answered
    Token(TokenArguments),
}

#[derive(Args)]
struct TokenArguments {
    /// The terminal's file, written by `sandbox --keep`
    #[arg(long, value_name = "FILE")]
    terminal: PathBuf,
    /// What `open` answered; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    details: PathBuf,
    /// The gateway, where the details do not name it
    #[arg(long)]
    audience: Option<String>,
    /// File with the access code
    #[arg(long, value_name = "FILE")]
    access_code_file: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self, json: bool) -> Result<Outcome, Failure> {
        match self.part {
            Some(Part::Se(SeVerb::Serve(arguments))) => serve_se(arguments),
            Some(Part::Counter(CounterVerb::Token(arguments))) => token(&arguments),
            None if self.list_scenarios => {
                let names = scenario::NAMES;
                Ok(Outcome::new(json!({ "scenarios": names }), names.join("\n")))
            }
            None if self.once => once(self.keep, self.scenario),
            None => interactive(self.keep, json),
        }
    }
}

fn once(keep: Option<PathBuf>, scenario: Option<String>) -> Result<Outcome, Failure> {
    let options =
        OnceOptions { keep, scenario, executable: executable()?, progress: Progress::stderr() };
    let document = runtime()?.block_on(sandbox::once::run(options)).map_err(refused)?;
    let text = summary(&document);
    let exit = document.exit_code();
    let document = serde_json::to_value(&document).map_err(Failure::internal)?;
    Ok(Outcome::new(document, text).exit(exit))
}

fn interactive(keep: Option<PathBuf>, json: bool) -> Result<Outcome, Failure> {
    let options =
        InteractiveOptions { keep, executable: executable()?, progress: Progress::stderr() };
    let announce = |announcement: &sandbox::interactive::Announcement| {
        let document = serde_json::to_value(announcement).unwrap_or_default();
        if json {
            return line(&document.to_string());
        }
        line(&format!("The gateway listens at {}. End with Ctrl-C. Next:", announcement.gateway));
        announcement.next.iter().for_each(|next| line(&format!("  {next}")));
    };
    runtime()?.block_on(serve_interactive(options, announce)).map_err(refused)?;
    Ok(Outcome::streamed())
}

fn serve_se(arguments: SeArguments) -> Result<Outcome, Failure> {
    let mut factory = Factory { kvn: arguments.kvn, i: arguments.i, ..Factory::default() };
    if !arguments.keys.is_empty() {
        factory.isd_keys = keys(&arguments.keys)?;
    }
    let options = Options { factory, file: arguments.file };
    let mut se = options.secure_element().map_err(se_refused)?;
    serve_until_end(&arguments.door, &mut se)
        .map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()))?;
    Ok(Outcome::new(json!({ "served": true }), ""))
}

fn serve_until_end(door: &Door, se: &mut SecureElement) -> std::io::Result<()> {
    match (&door.listen, &door.vpcd) {
        (Some(address), _) => {
            let listener = TcpListener::bind(address)?;
            eprintln!("listening on {}", listener.local_addr()?);
            se::serve::listen(&listener, se)
        }
        (None, Some(address)) => se::serve::vpcd(address, se),
        (None, None) => Ok(()),
    }
}

/// One value stands for all three keys.
fn keys(values: &[String]) -> Result<[Vec<u8>; 3], Failure> {
    let usage = |why: &str| Failure::new(Word::Usage, format!("--keys: {why}"));
    let mut decoded = Vec::new();
    for value in values {
        let key = hex::decode(value).map_err(|_| usage("not hexadecimal"))?;
        if ![16, 24, 32].contains(&key.len()) {
            return Err(usage("16, 24 or 32 bytes each"));
        }
        decoded.push(key);
    }
    match <[Vec<u8>; 3]>::try_from(decoded) {
        Ok(three) => Ok(three),
        Err(other) => match other.as_slice() {
            [one] => Ok([one.clone(), one.clone(), one.clone()]),
            _ => Err(usage("one value, or three")),
        },
    }
}

fn token(arguments: &TokenArguments) -> Result<Outcome, Failure> {
    let unfit = |why: String| {
        Failure::new(Word::BadInput, format!("{}: {why}", arguments.details.display()))
    };
    let details: Value = if arguments.details.as_os_str() == "-" {
        serde_json::from_reader(std::io::stdin().take(DETAILS_MAX_BYTES))
            .map_err(|cause| unfit(cause.to_string()))?
    } else {
        let file =
            std::fs::File::open(&arguments.details).map_err(|cause| unfit(cause.to_string()))?;
        serde_json::from_reader(BufReader::new(file.take(DETAILS_MAX_BYTES)))
            .map_err(|cause| unfit(cause.to_string()))?
    };
    let request = HandSigned {
        terminal_file: arguments.terminal.clone(),
        details,
        audience: arguments.audience.clone(),
        access_code_file: arguments.access_code_file.clone(),
    };
    let token = hand_signed(&request).map_err(|cause| match cause {
        CounterTokenError::File { .. } | CounterTokenError::Content { .. } => {
            Failure::new(Word::BadInput, cause.to_string())
        }
        CounterTokenError::Jws(_) => Failure::new(Word::BadInput, cause.to_string()),
    })?;
    Ok(Outcome::new(json!({ "token": token }), token))
}

fn summary(document: &Document) -> String {
    let mut lines: Vec<String> = document
        .orders
        .iter()
        .map(|order| {
            let code = order.code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
            format!(
                "{}  SE {}  {}{code}  {} key writes",
                order.tenant,
                order.se,
                order.state,
                order.writes.len()
            )
        })
        .collect();
    lines.push(format!(
        "{} signatures verified; audit head {}",
        document.proof.len(),
        document.audit.head
    ));
    if let Some(scenario) = &document.scenario {
        let ended = if scenario.ok { "as it should" } else { "otherwise" };
        lines.push(format!("scenario {} ended {ended}", scenario.name));
        lines.extend(scenario.faults.iter().map(|fault| format!("  {fault}")));
    }
    lines.join("\n")
}

fn refused(cause: SandboxError) -> Failure {
    let word = match cause.exit_code() {
        2 => Word::Usage,
        78 => Word::Configuration,
        _ => Word::ScenarioFailed,
    };
    Failure::new(word, cause.to_string())
}

fn se_refused(cause: FileError) -> Failure {
    Failure::new(Word::NotAnSe, cause.to_string())
}

fn hexadecimal_byte(text: &str) -> Result<u8, String> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(text, 16)
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| "two hexadecimal digits".to_owned())
}

fn executable() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new()
        .map_err(|cause| Failure::new(Word::InputOutput, cause.to_string()))
}
