//! Where each value came from, with the value as it may be shown.

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};
use serde_json::json;

use crate::{Layer, Layers};

/// The layer of one value and the value as it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The strongest layer that sets it.
    pub layer: Layer,
    /// The value; for key material the word `secret` instead.
    pub shown: serde_json::Value,
}

/// The origins of every leaf, by path.
pub(crate) fn of(
    merged: &Value,
    secrets: &BTreeSet<String>,
    layers: &Layers,
) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    walk(merged, String::new(), &mut |path, leaf| {
        let hidden = secrets.contains(path) || may_be_secret(path);
        let shown = if hidden { json!("secret") } else { shown(leaf) };
        origins.insert(path.to_owned(), Origin { layer: layers.layer(leaf.origin()), shown });
    });
    origins
}

/// Names that end in `_key` hold key material, except public keys; files of keys end in `_file` and may be shown.
pub(crate) fn may_be_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let name = name.split('[').next().unwrap_or(name);
    (name.ends_with("_key") && !name.ends_with("public_key"))
        || name.contains("secret")
        || name == "pin"
}

/// The recorded origin of the value at a path, or of the first leaf below it.
pub(crate) fn origin_at(merged: &Value, path: &str) -> Option<String> {
    let mut found = None;
    walk(merged, String::new(), &mut |leaf_path, leaf| {
        let below = leaf_path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        if found.is_none() && below {
            found = leaf.origin().map(str::to_owned);
        }
    });
    found
}

fn walk(value: &Value, path: String, visit: &mut impl FnMut(&str, &Value)) {
    match &value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            for (key, child) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(child, path, visit);
            }
        }
        ValueKind::Array(items) if !items.is_empty() => {
            for (index, child) in items.iter().enumerate() {
                walk(child, format!("{path}[{index}]"), visit);
            }
        }
        _ => visit(&path, value),
    }
}

fn shown(leaf: &Value) -> serde_json::Value {
    match &leaf.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(value) => json!(value),
        ValueKind::I64(value) => json!(value),
        ValueKind::U64(value) => json!(value),
        ValueKind::Float(value) => json!(value),
        ValueKind::Array(_) => json!([]),
        ValueKind::Table(_) => json!({}),
        _ => json!(leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_key_material() {
        for hidden in ["authority.issuers[0].access_code_key", "a.secret", "x.keys_key[3]", "pin"] {
            assert!(may_be_secret(hidden), "{hidden}");
        }
        for open in [
            "server.key_file",
            "service_providers[0].public_key",
            "routes[0].tenant",
            "se_profiles[0].key_length",
        ] {
            assert!(!may_be_secret(open), "{open}");
        }
    }
}
