//! The ZIP archive around a CAP file, read within bounds.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{CapError, Component};

/// Most bytes of a file. A load file is below 256 KiB on any SE; archives hold classes and
/// descriptors besides.
const FILE_BYTES_MOST: usize = 4 * 1_024 * 1_024;
/// Most files in the archive.
const ENTRIES_MOST: usize = 1_024;
/// Most bytes of a component: frame, and a content with a size of two bytes.
const COMPONENT_BYTES_MOST: u64 = 3 + 0xFFFF;
/// Most times a component may grow when it is unpacked. Byte code seldom grows threefold.
const RATIO_MOST: u64 = 200;
/// Growth below this size is no matter.
const RATIO_FROM_BYTES: u64 = 4_096;

/// The components of the one package in an archive.
pub(super) struct Package {
    /// Their folder, with a slash at its end.
    pub(super) folder: String,
    /// In load order, frames included.
    pub(super) components: Vec<(Component, Vec<u8>)>,
}

pub(super) fn read(file: &[u8]) -> Result<Package, CapError> {
    within("bytes of the file", file.len(), FILE_BYTES_MOST)?;
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|why| unreadable(&why))?;
    within("files in the archive", archive.len(), ENTRIES_MOST)?;

    let mut components: Vec<(Component, Vec<u8>)> = Vec::new();
    let mut folder: Option<String> = None;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|why| unreadable(&why))?;
        let name = entry.name().map_err(|why| unreadable(&why))?.into_owned();
        if name.ends_with(".capx") {
            return Err(CapError::Extended);
        }
        let Some((entry_folder, component)) = component_of(&name) else { continue };
        let elsewhere = folder.get_or_insert_with(|| entry_folder.to_owned()) != entry_folder;
        if elsewhere || components.iter().any(|(found, _)| *found == component) {
            return Err(CapError::Ambiguous { component });
        }
        let ratio = entry.size().checked_div(entry.compressed_size().max(1)).unwrap_or_default();
        if entry.size() > RATIO_FROM_BYTES && ratio > RATIO_MOST {
            let what = "growth of a component when unpacked";
            return Err(CapError::TooMuch { what, got: ratio, most: RATIO_MOST });
        }
        components.push((component, unpack(&mut entry)?));
    }
    components
        .sort_by_key(|(component, _)| Component::LOAD_ORDER.iter().position(|it| it == component));
    Ok(Package { folder: folder.unwrap_or_default(), components })
}

/// Folder and component of a file, if it is one that is loaded.
fn component_of(name: &str) -> Option<(&str, Component)> {
    let start = name.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    let (folder, file) = name.split_at_checked(start)?;
    let component = Component::LOAD_ORDER.into_iter().find(|it| it.file_name() == file)?;
    Some((folder, component))
}

/// Reads one byte past the limit at most, whatever size the archive states.
fn unpack(entry: &mut impl Read) -> Result<Vec<u8>, CapError> {
    let mut bytes = Vec::new();
    entry
        .take(COMPONENT_BYTES_MOST.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|why| CapError::Archive { why: why.to_string() })?;
    match u64::try_from(bytes.len()) {
        Ok(got) if got <= COMPONENT_BYTES_MOST => Ok(bytes),
        _ => {
            let (got, most) = (COMPONENT_BYTES_MOST.saturating_add(1), COMPONENT_BYTES_MOST);
            Err(CapError::TooMuch { what: "bytes of a component", got, most })
        }
    }
}

fn within(what: &'static str, got: usize, most: usize) -> Result<(), CapError> {
    if got <= most {
        return Ok(());
    }
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Err(CapError::TooMuch { what, got: wide(got), most: wide(most) })
}

fn unreadable(why: &ZipError) -> CapError {
    CapError::Archive { why: why.to_string() }
}
