//! `order submit`, `show`, `watch`, `list`, `cancel` and `resume`.

mod watch;

use std::{io::Read, path::PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{Client, Node},
    outcome::{Failure, Outcome},
};
use crate::code::Word;

/// Largest order file.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Place an order; the same file again answers the same order
    #[command(
        after_help = "Example:\n  madoguchi order submit order.json --server https://node:8443 --cert c.pem --key k.pem --ca ca.pem"
    )]
    Submit {
        /// The order, a JSON file; `-` reads stdin
        file: PathBuf,
        #[command(flatten)]
        node: Node,
    },
    /// One order as it stands
    Show {
        /// The node's id of the order
        id: String,
        #[command(flatten)]
        node: Node,
    },
    /// Follow an order until it ends or is parked
    #[command(
        after_help = "Exit code: 0 Confirmed, 1 Refused, Cancelled or Expired, 3 Parked, 4 still under way after --timeout-s."
    )]
    Watch(watch::Arguments),
    /// Withdraw an order before anything was written
    Cancel {
        /// The node's id of the order
        id: String,
        #[command(flatten)]
        node: Node,
    },
    /// Take a parked order up again where it stood; `show` says who has to act first
    Resume {
        /// The node's id of the order
        id: String,
        #[command(flatten)]
        node: Node,
    },
    /// Orders of our tenants, oldest first
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        node: Node,
    },
}

#[derive(Args)]
pub(super) struct Filter {
    /// One tenant's only
    #[arg(long)]
    tenant: Option<String>,
    /// In this state only, for example Parked
    #[arg(long)]
    state: Option<String>,
    /// With this id of the caller's only
    #[arg(long)]
    caller_id: Option<String>,
    /// At most so many
    #[arg(long)]
    limit: Option<u32>,
    /// After this order (`next` of the page before)
    #[arg(long)]
    after: Option<String>,
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match self {
            Verb::Submit { file, node } => {
                let answer = Client::new(&node)?.post_blocking("/v1/orders", read(&file)?)?;
                Ok(Outcome::new(answer.clone(), summary(&answer)))
            }
            Verb::Show { id, node } => {
                let client = Client::new(&node)?;
                let answer =
                    client.get_blocking(&format!("/v1/orders/{}", client.segment(&id)?))?;
                Ok(Outcome::new(answer.clone(), summary(&answer)))
            }
            Verb::Watch(arguments) => arguments.run(),
            Verb::Cancel { id, node } => step(&id, "cancel", &node),
            Verb::Resume { id, node } => step(&id, "resume", &node),
            Verb::List { filter, node } => list(&filter, &node),
        }
    }
}

fn step(id: &str, step: &str, node: &Node) -> Result<Outcome, Failure> {
    let client = Client::new(node)?;
    let path = format!("/v1/orders/{}/{step}", client.segment(id)?);
    let answer = client.post_blocking(&path, Bytes::new())?;
    Ok(Outcome::new(answer.clone(), summary(&answer)))
}

fn list(filter: &Filter, node: &Node) -> Result<Outcome, Failure> {
    let client = Client::new(node)?;
    let limit = filter.limit.map(|limit| limit.to_string());
    let members = [
        ("tenant", &filter.tenant),
        ("state", &filter.state),
        ("caller_id", &filter.caller_id),
        ("limit", &limit),
        ("after", &filter.after),
    ];
    let mut query = Vec::new();
    for (name, value) in members {
        if let Some(value) = value {
            query.push(format!("{name}={}", client.segment(value)?));
        }
    }
    let path = if query.is_empty() {
        "/v1/orders".to_owned()
    } else {
        format!("/v1/orders?{}", query.join("&"))
    };
    let answer = client.get_blocking(&path)?;
    let orders: Vec<String> =
        answer["orders"].as_array().into_iter().flatten().map(summary).collect();
    let text = if orders.is_empty() { "no orders".to_owned() } else { orders.join("\n") };
    Ok(Outcome::new(answer, text))
}

/// One line for people.
fn summary(order: &Value) -> String {
    let text = |name: &str| order[name].as_str().unwrap_or("-").to_owned();
    let code = order["code"].as_str().map(|code| format!(" ({code})")).unwrap_or_default();
    format!(
        "{}  {}  {}  SE {}  {}{code}  enquiry {}",
        text("id"),
        text("tenant"),
        text("caller_id"),
        text("se"),
        text("state"),
        text("enquiry_id"),
    )
}

fn read(file: &PathBuf) -> Result<Bytes, Failure> {
    let unfit = |why: String| Failure::new(Word::BadInput, format!("{}: {why}", file.display()));
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|cause| unfit(cause.to_string()))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(unfit(format!("it is larger than {FILE_MAX_BYTES} bytes")));
    }
    Ok(bytes.into())
}
