//! `enquiry show`.

use clap::Subcommand;
use serde_json::Value;

use super::{
    client::{Client, Node},
    outcome::{Failure, Outcome},
};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Where the order of an enquiry id stands, whose turn it is, and why
    #[command(
        after_help = "Example:\n  madoguchi enquiry show 7QK2… --server https://node:8443 --cert c.pem --key k.pem --ca ca.pem"
    )]
    Show {
        /// The enquiry id
        enquiry_id: String,
        #[command(flatten)]
        node: Node,
    },
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Verb::Show { enquiry_id, node } = self;
        let client = Client::new(&node)?;
        let answer =
            client.get_blocking(&format!("/v1/enquiries/{}", client.segment(&enquiry_id)?))?;
        let text = |name: &str| answer[name].as_str().unwrap_or("-").to_owned();
        let reason = |language: &str| answer["reason"][language].as_str().unwrap_or("-").to_owned();
        let shown = format!(
            "{}: {} since {}, next: {}\n{}\n{}",
            text("enquiry_id"),
            text("state"),
            text("since"),
            text("whose_turn"),
            reason("ja"),
            reason("en"),
        );
        Ok(Outcome::new(Value::clone(&answer), shown))
    }
}
