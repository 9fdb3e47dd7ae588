//! CAP files: what a Java Card converter puts out, read down to what LOAD carries.
//!
//! A CAP file is a ZIP archive with one file for each component (Java Card VM Specification 3.0.5,
//! chapter 6). Only the compact format is read; the extended one is refused by name. What was
//! checked: the archive's bounds, each component's frame, the Header's AID, the Applet's AIDs, and
//! that the Directory agrees with the sizes found. Not checked: byte code, which is the SE's task.

mod archive;

use std::fmt;

use thiserror::Error;

use crate::aid::Aid;

/// First four bytes of a Header's content (Java Card VM Specification §6.4).
const MAGIC: [u8; 4] = [0xDE, 0xCA, 0xFF, 0xED];
/// Flag of the Header: the extended format of Java Card 3.1.
const FLAG_EXTENDED: u8 = 0x08;
/// Components whose sizes the Directory states first, tags 1 to 10 (§6.5).
const SIZES_IN_DIRECTORY: usize = 10;
/// Tag and size before the content of a component (§6.2).
const FRAME_BYTES: usize = 3;

/// A component of a CAP file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Versions and the package's AID.
    Header,
    /// Sizes of the others.
    Directory,
    /// Packages needed.
    Import,
    /// The applets' AIDs; missing in a library.
    Applet,
    /// Classes.
    Class,
    /// Byte code.
    Method,
    /// Initial values.
    StaticField,
    /// What others may link to; optional.
    Export,
    /// References.
    ConstantPool,
    /// Where byte code needs linking.
    ReferenceLocation,
}

impl Component {
    /// In the order in which they are loaded (§6.3); Descriptor and Debug are not.
    pub const LOAD_ORDER: [Component; 10] = [
        Component::Header,
        Component::Directory,
        Component::Import,
        Component::Applet,
        Component::Class,
        Component::Method,
        Component::StaticField,
        Component::Export,
        Component::ConstantPool,
        Component::ReferenceLocation,
    ];

    /// Its tag, 1 to 10 (§6.2).
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Component::Header => 1,
            Component::Directory => 2,
            Component::Applet => 3,
            Component::Import => 4,
            Component::ConstantPool => 5,
            Component::Class => 6,
            Component::Method => 7,
            Component::StaticField => 8,
            Component::ReferenceLocation => 9,
            Component::Export => 10,
        }
    }

    /// Its file in the archive, without folder.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Component::Header => "Header.cap",
            Component::Directory => "Directory.cap",
            Component::Import => "Import.cap",
            Component::Applet => "Applet.cap",
            Component::Class => "Class.cap",
            Component::Method => "Method.cap",
            Component::StaticField => "StaticField.cap",
            Component::Export => "Export.cap",
            Component::ConstantPool => "ConstantPool.cap",
            Component::ReferenceLocation => "RefLocation.cap",
        }
    }

    const fn is_optional(self) -> bool {
        matches!(self, Component::Applet | Component::Export)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name().trim_end_matches(".cap"))
    }
}

/// A CAP file in the compact format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    package: String,
    load_file: Aid,
    version: (u8, u8),
    applets: Vec<Aid>,
    components: Vec<(Component, Vec<u8>)>,
}

/// Why a file is not a CAP file this crate loads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CapError {
    /// Not a ZIP archive, or a damaged one.
    #[error("not a readable ZIP archive: {why}")]
    Archive {
        /// What is wrong with it.
        why: String,
    },
    /// Larger than anything an SE could take.
    #[error("{what}: at most {most}, not {got}")]
    TooMuch {
        /// What is too large.
        what: &'static str,
        /// What was found.
        got: u64,
        /// The most that is read.
        most: u64,
    },
    /// The extended format of Java Card 3.1, or a `.capx` component.
    #[error("the extended CAP format is not supported; convert the package to the compact format")]
    Extended,
    /// A component every CAP file has is not there.
    #[error("component {component} is missing")]
    Missing {
        /// The component.
        component: Component,
    },
    /// More than one package in the archive.
    #[error("component {component} is there twice, or in two folders")]
    Ambiguous {
        /// The component.
        component: Component,
    },
    /// The content of a component contradicts its frame, its form, or another component.
    #[error("component {component}: {why}")]
    Malformed {
        /// The component.
        component: Component,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Cap {
    /// Reads a CAP file.
    ///
    /// # Errors
    /// [`CapError`]; all are the file's.
    pub fn parse(file: &[u8]) -> Result<Cap, CapError> {
        let archive::Package { folder, components } = archive::read(file)?;
        for (component, bytes) in &components {
            check_frame(*component, bytes)?;
        }
        if let Some(component) = Component::LOAD_ORDER
            .into_iter()
            .find(|it| !it.is_optional() && !components.iter().any(|(found, _)| found == it))
        {
            return Err(CapError::Missing { component });
        }
        check_directory(&components)?;
        let (load_file, version) = read_header(content(&components, Component::Header))?;
        let applets = match content(&components, Component::Applet) {
            [] => Vec::new(),
            applet => read_applets(applet)?,
        };
        let package = folder.trim_end_matches('/').trim_end_matches("/javacard").replace('/', ".");
        Ok(Cap { package, load_file, version, applets, components })
    }

    /// Name of the package, by its folder in the archive.
    #[must_use]
    pub fn package(&self) -> &str {
        &self.package
    }

    /// AID of the package: the load file's.
    #[must_use]
    pub fn load_file(&self) -> Aid {
        self.load_file
    }

    /// Major and minor version of the package.
    #[must_use]
    pub fn version(&self) -> (u8, u8) {
        self.version
    }

    /// AIDs of the applets: the modules'.
    #[must_use]
    pub fn applets(&self) -> &[Aid] {
        &self.applets
    }

    /// The components in load order, each with its length in bytes.
    pub fn components(&self) -> impl Iterator<Item = (Component, usize)> {
        self.components.iter().map(|(component, bytes)| (*component, bytes.len()))
    }

    /// The Load File Data Block: the components in load order, as they are.
    #[must_use]
    pub fn load_file_data_block(&self) -> Vec<u8> {
        self.components.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }
}

/// Tag and size before the content, which is all the rest.
fn check_frame(component: Component, bytes: &[u8]) -> Result<(), CapError> {
    let why = match bytes {
        [tag, ..] if *tag != component.tag() => "another component's tag",
        [_, high, low, content @ ..]
            if usize::from(u16::from_be_bytes([*high, *low])) == content.len() =>
        {
            return Ok(());
        }
        _ => "its size is not the size it states",
    };
    Err(CapError::Malformed { component, why })
}

/// The content of a component, empty where there is none.
fn content(components: &[(Component, Vec<u8>)], wanted: Component) -> &[u8] {
    components
        .iter()
        .find(|(component, _)| *component == wanted)
        .and_then(|(_, bytes)| bytes.get(FRAME_BYTES..))
        .unwrap_or_default()
}

/// The Directory begins with the size of each component by tag, 0 for one that is not there. It
/// counts the content alone (§6.5).
fn check_directory(components: &[(Component, Vec<u8>)]) -> Result<(), CapError> {
    let malformed = |why| CapError::Malformed { component: Component::Directory, why };
    let (sizes, _) = content(components, Component::Directory)
        .as_chunks::<2>()
        .0
        .split_at_checked(SIZES_IN_DIRECTORY)
        .ok_or(malformed("too short"))?;
    for (tag, size) in (1u8..).zip(sizes) {
        let stated = usize::from(u16::from_be_bytes(*size));
        let found = Component::LOAD_ORDER
            .into_iter()
            .find(|component| component.tag() == tag)
            .map_or(0, |component| content(components, component).len());
        if stated != found {
            return Err(malformed("a size in it is not the component's"));
        }
    }
    Ok(())
}

/// AID and version (major, minor) of the package (§6.4).
fn read_header(content: &[u8]) -> Result<(Aid, (u8, u8)), CapError> {
    let malformed = |why| CapError::Malformed { component: Component::Header, why };
    let Some((magic, rest)) = content.split_first_chunk::<4>() else {
        return Err(malformed("too short"));
    };
    if *magic != MAGIC {
        return Err(malformed("no magic number"));
    }
    let [_format_minor, _format_major, flags, minor, major, rest @ ..] = rest else {
        return Err(malformed("too short"));
    };
    if flags & FLAG_EXTENDED != 0 {
        return Err(CapError::Extended);
    }
    let (aid, _name) = read_aid(rest).ok_or(malformed("the package has no AID"))?;
    Ok((aid, (*major, *minor)))
}

/// AIDs of the applets, each with the offset of its install method (§6.6).
fn read_applets(content: &[u8]) -> Result<Vec<Aid>, CapError> {
    let malformed = |why| CapError::Malformed { component: Component::Applet, why };
    let (count, mut rest) = content.split_first().ok_or(malformed("too short"))?;
    let mut applets = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (aid, after) = read_aid(rest).ok_or(malformed("an applet has no AID"))?;
        let (_install_method, after) =
            after.split_first_chunk::<2>().ok_or(malformed("too short"))?;
        applets.push(aid);
        rest = after;
    }
    if rest.is_empty() { Ok(applets) } else { Err(malformed("more than its applets")) }
}

fn read_aid(bytes: &[u8]) -> Option<(Aid, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (aid, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((Aid::new(aid).ok()?, rest))
}
