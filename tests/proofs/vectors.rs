//! The published vectors are where `scp`'s own tests look for them, with their sources.

use serde_json::Value;
use tests::{files, root};

#[test]
fn every_vector_names_its_source() {
    let folder = root().join("tests/vectors");
    let vectors = files(&folder, &[".json"]);
    assert!(vectors.len() >= 5, "the vectors were copied");
    for path in vectors {
        let text = std::fs::read_to_string(&path).expect("a vector file");
        let entries: Vec<Value> = serde_json::from_str(&text).expect("a list");
        assert!(!entries.is_empty());
        for entry in entries {
            let source = &entry["source"];
            assert!(source["repo"].is_string() && source["license"].is_string(), "{}", entry["id"]);
        }
    }
}
