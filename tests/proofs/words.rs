//! The project's text keeps its promises: where danger may stand, and that code and documents use the same words.

use std::{collections::BTreeSet, fs, path::Path};

use tests::{files, root};

/// Where a text occurs in Rust source, doctests and comments included, as paths from the root.
fn places(text: &str) -> BTreeSet<String> {
    let root = root();
    files(&root, &[".rs"])
        .iter()
        .filter(|path| fs::read_to_string(path).expect("source is UTF-8").contains(text))
        .map(|path| path.strip_prefix(&root).expect("below the root").display().to_string())
        // This file names what it looks for.
        .filter(|path| path != "tests/proofs/words.rs")
        .collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(ToString::to_string).collect()
}

#[test]
fn permits_are_minted_where_the_design_says() {
    let allowed = set(&["scp/src/permit.rs", "gateway/src/engine/grant.rs", "tests/src/lib.rs"]);
    let found = places("danger_new");
    assert!(found.is_subset(&allowed), "also in {:?}", found.difference(&allowed));
    assert!(found.contains("gateway/src/engine/grant.rs"));
}

#[test]
fn granted_scripts_are_released_by_the_executor_alone() {
    let allowed = set(&["scp/src/permit/script.rs", "gateway/src/engine/write.rs"]);
    assert_eq!(places("danger_release"), allowed);
}

#[test]
fn the_key_write_cycle_uses_every_word_of_the_states() {
    let states = fs::read_to_string(root().join("docs/key-write-cycle.md")).expect("the document");
    let order = [
        "Accepted",
        "Eligible",
        "Prepared",
        "AwaitingCounter",
        "Authorized",
        "Writing",
        "Confirmed",
    ];
    let write = [
        "Planned",
        "Staged",
        "ChannelOpen",
        "Sent",
        "Applied",
        "Unresolved",
        "NotApplied",
        "Confirmed",
        "Quarantined",
    ];
    let source = |name: &str| {
        fs::read_to_string(root().join("gateway/order/src").join(name)).expect("source")
    };
    for (file, words) in [("order.rs", &order[..]), ("write.rs", &write[..])] {
        let source = source(file);
        for word in words {
            assert!(
                states.contains(&format!("`{word}`")) || states.contains(word),
                "{word} in the document"
            );
            assert!(source.contains(word), "{word} in {file}");
        }
    }
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let root = root();
    for document in files(&root, &[".md"]) {
        let text = fs::read_to_string(&document).expect("a document is UTF-8");
        let folder = document.parent().unwrap_or(Path::new("."));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            assert!(folder.join(path).exists(), "{} links to {target}", document.display());
        }
    }
}
