//! Where the next record goes and what its hash covers.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::record::{Entry, Record};
use crate::digest::Digest;

/// The end of a trail that is being written.
#[derive(Debug, Clone)]
pub struct Chain {
    node: String,
    index: u64,
    head: Digest,
    at: Timestamp,
}

impl Chain {
    /// The chain that goes on after `last`, written by `node`.
    pub fn after(node: &str, last: Option<&Record>) -> Chain {
        Chain {
            node: node.to_owned(),
            index: last.map_or(0, |record| record.index),
            head: last.map_or(Digest::ZERO, |record| record.hash),
            at: last.map_or(Timestamp::UNIX_EPOCH, |record| record.at),
        }
    }

    /// Index of the last record; 0 when there is none.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hash of the last record; zeros when there is none.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Puts an entry in its place. A clock that went back does not take the trail back with it.
    pub fn append(&mut self, entry: &Entry) -> Record {
        let at = Timestamp::from_millisecond(entry.at_ms).unwrap_or(self.at).max(self.at);
        let mut record = Record {
            index: self.index.saturating_add(1),
            at,
            node: self.node.clone(),
            kind: entry.kind.as_str().to_owned(),
            order: entry.order,
            se: entry.se.clone(),
            detail: sorted(&entry.detail),
            prev: self.head,
            hash: Digest::ZERO,
        };
        record.hash = hash(&record);
        (self.index, self.head, self.at) = (record.index, record.hash, record.at);
        record
    }
}

/// SHA-256 over the 32 bytes of `prev` and the canonical form: a JSON object of `at`, `detail`, `index`, `kind`, `node`, `order`, `se`,
/// members sorted by name at every depth, no white space, UTF-8.
pub(super) fn hash(record: &Record) -> Digest {
    let canonical = sorted(&json!({
        "at": record.at,
        "detail": record.detail,
        "index": record.index,
        "kind": record.kind,
        "node": record.node,
        "order": record.order,
        "se": record.se,
    }));
    Digest::of(&[&record.prev.0, canonical.to_string().as_bytes()])
}

/// The value with the members of every object in order of their names, whichever map serde_json was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let member =
                |name: &String| (name.clone(), members.get(name).map_or(Value::Null, sorted));
            Value::Object(names.into_iter().map(member).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::record::Kind, *};

    #[test]
    fn the_hash_is_what_the_text_above_says() {
        let mut chain = Chain::after("node-1", None);
        let entry =
            Entry::new(Kind::Routed, 1_000).detail(json!({"b": 1, "a": {"d": null, "c": []}}));
        let record = chain.append(&entry.se("8981"));
        let canonical = concat!(
            r#"{"at":"1970-01-01T00:00:01Z","detail":{"a":{"c":[],"d":null},"b":1},"index":1,"#,
            r#""kind":"routed","node":"node-1","order":null,"se":"8981"}"#
        );
        assert_eq!(record.hash, Digest::of(&[&[0; 32], canonical.as_bytes()]));
        assert_eq!((chain.index(), chain.head()), (1, record.hash));
    }

    #[test]
    fn time_never_goes_back() {
        let mut chain = Chain::after("node-1", None);
        let later = chain.append(&Entry::new(Kind::NodeStarted, 2_000));
        let earlier = chain.append(&Entry::new(Kind::NodeStarted, 1_000));
        assert_eq!(earlier.at, later.at);
        let absurd = chain.append(&Entry::new(Kind::NodeStarted, i64::MAX));
        assert_eq!(absurd.at, later.at);
    }
}
