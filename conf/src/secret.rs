//! Secrets by reference: `{ secret_file = "PATH" }` stands for the text of a file only its owner can read.

use std::{
    collections::BTreeSet,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use config::{Value, ValueKind};
use zeroize::Zeroizing;

use crate::ConfError;

/// The one key of a table that refers to a secret.
const REFERENCE: &str = "secret_file";
/// Largest secret, in bytes.
const SECRET_MAX_BYTES: u64 = 64 * 1024;
/// Permission bits of group and others: none may be set.
const SHARED_MODE_BITS: u32 = 0o077;

/// Puts each secret in the place of its reference; answers the paths that now hold one.
pub(crate) fn resolve(merged: &mut Value) -> Result<BTreeSet<String>, ConfError> {
    let mut paths = BTreeSet::new();
    resolve_below(merged, String::new(), &mut paths)?;
    Ok(paths)
}

fn resolve_below(
    value: &mut Value,
    path: String,
    paths: &mut BTreeSet<String>,
) -> Result<(), ConfError> {
    if let Some((file, origin)) = reference(value) {
        let secret =
            read(&file).map_err(|why| ConfError::Secret { path: path.clone(), file, why })?;
        *value = Value::new(origin.as_ref(), secret.as_str());
        paths.insert(path);
        return Ok(());
    }
    match &mut value.kind {
        ValueKind::Table(table) => {
            for (key, child) in table.iter_mut() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                resolve_below(child, path, paths)?;
            }
        }
        ValueKind::Array(items) => {
            for (index, child) in items.iter_mut().enumerate() {
                resolve_below(child, format!("{path}[{index}]"), paths)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The file a value refers to, and the layer that says so.
fn reference(value: &Value) -> Option<(PathBuf, Option<String>)> {
    let ValueKind::Table(table) = &value.kind else { return None };
    let target = table.get(REFERENCE).filter(|_| table.len() == 1)?;
    let ValueKind::String(file) = &target.kind else { return None };
    Some((PathBuf::from(file), target.origin().map(str::to_owned)))
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = std::fs::File::open(path).map_err(|cause| cause.to_string())?;
    let metadata = file.metadata().map_err(|cause| cause.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if metadata.permissions().mode() & SHARED_MODE_BITS != 0 {
        return Err("group or others may read it: run `chmod 600` on it".to_owned());
    }
    let mut text = Zeroizing::new(String::new());
    let read = file
        .take(SECRET_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|_| "it is not text".to_owned())?;
    if read as u64 > SECRET_MAX_BYTES {
        return Err(format!("it is larger than {SECRET_MAX_BYTES} bytes"));
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}
