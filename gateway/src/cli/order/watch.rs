//! `order watch`: server-sent events until the order ends, is parked, or the time is up.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::summary;
use crate::{
    cli::{
        client::{Client, Node, unreachable_node},
        outcome::{Failure, Outcome, line},
    },
    code::Word,
};

/// Largest event.
const EVENT_MAX_BYTES: usize = 1024 * 1024;
/// Wait before the stream is opened again after the node ended it.
const REOPEN_WAIT: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The node's id of the order
    id: String,
    /// Give up after so many seconds; the order goes on
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout_s: u64,
    /// Every change as a JSON line
    #[arg(long)]
    jsonl: bool,
    #[command(flatten)]
    node: Node,
}

impl Arguments {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let client = Client::new(&self.node)?;
        let path = format!("/v1/orders/{}/events", client.segment(&self.id)?);
        client.block_on(self.follow(&client, &path))
    }

    async fn follow(&self, client: &Client, path: &str) -> Result<Outcome, Failure> {
        let deadline = Instant::now() + Duration::from_secs(self.timeout_s);
        let mut last = None;
        loop {
            // The stream may end with the connection; the order does not.
            match timeout_at(deadline, self.stream(client, path, &mut last)).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return self.ended(last, Word::StillUnderWay.entry().exit),
            }
            if let Some(exit) = last.as_ref().and_then(exit_of) {
                return self.ended(last, exit);
            }
            sleep_until(deadline.min(Instant::now() + REOPEN_WAIT)).await;
        }
    }

    /// Reads events until the stream ends or the order does.
    async fn stream(
        &self,
        client: &Client,
        path: &str,
        last: &mut Option<Value>,
    ) -> Result<(), Failure> {
        let mut body = client.send(Method::GET, path, Bytes::new()).await?.into_body();
        let mut buffer = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Ok(()) };
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if buffer.len() > EVENT_MAX_BYTES {
                return Err(Failure::new(Word::NotAnAnswer, "an event is larger than expected"));
            }
            while let Some(event) = take_event(&mut buffer) {
                let Some(order) = data_of(&event)? else { continue };
                self.show(&order);
                let exit = exit_of(&order);
                *last = Some(order);
                if exit.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn show(&self, order: &Value) {
        if self.jsonl {
            line(&order.to_string());
        } else {
            eprintln!("{}", summary(order));
        }
    }

    fn ended(&self, last: Option<Value>, exit: u8) -> Result<Outcome, Failure> {
        let order =
            last.ok_or_else(|| unreachable_node("the order was not seen in time".to_owned()))?;
        if self.jsonl {
            return Ok(Outcome::streamed().exit(exit));
        }
        let text = summary(&order);
        Ok(Outcome::new(order, text).exit(exit))
    }
}

/// The first whole event in the buffer: events end with an empty line.
fn take_event(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let rest = buffer.split_off(end + 2);
    Some(std::mem::replace(buffer, rest))
}

/// The order in an event; `None` for a comment.
fn data_of(event: &[u8]) -> Result<Option<Value>, Failure> {
    let not_an_answer =
        || Failure::new(Word::NotAnAnswer, "an event is not of the documented form");
    let text = std::str::from_utf8(event).map_err(|_| not_an_answer())?;
    let data: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
    if data.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&data.join("\n")).map(Some).map_err(|_| not_an_answer())
}

/// How watching ends with the order in this state; `None` while it goes on.
fn exit_of(order: &Value) -> Option<u8> {
    match order["state"].as_str()? {
        "Confirmed" => Some(0),
        "Refused" | "Cancelled" | "Expired" => Some(1),
        "Parked" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_one_by_one() {
        let mut buffer = b": keep\n\nevent: order\ndata: {\"state\":\"Parked\"}\n\nevent".to_vec();
        assert_eq!(data_of(&take_event(&mut buffer).unwrap()).unwrap(), None);
        let order = data_of(&take_event(&mut buffer).unwrap()).unwrap().unwrap();
        assert_eq!(exit_of(&order), Some(3));
        assert_eq!(take_event(&mut buffer), None);
        assert_eq!(buffer, b"event");
        assert!(data_of(b"data: {").is_err());
    }
}
