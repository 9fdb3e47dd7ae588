//! The structure of a load file: `C4` around the components of a Java Card CAP file in load order (CS 11.6.2.3,
//! Java Card Virtual Machine Specification, chapter 6). Byte code is not looked at.

use crate::aid::Aid;
use crate::tlv::Reader;

/// Component tags (Java Card VM specification, table 6-3).
mod component {
    pub(super) const HEADER: u8 = 1;
    pub(super) const DIRECTORY: u8 = 2;
    pub(super) const APPLET: u8 = 3;
    pub(super) const IMPORT: u8 = 4;
    pub(super) const CONSTANT_POOL: u8 = 5;
    pub(super) const CLASS: u8 = 6;
    pub(super) const METHOD: u8 = 7;
    pub(super) const STATIC_FIELD: u8 = 8;
    pub(super) const REFERENCE_LOCATION: u8 = 9;
    pub(super) const EXPORT: u8 = 10;
    pub(super) const DESCRIPTOR: u8 = 11;
}

/// The order components are loaded in, and whether each must be there.
const LOAD_ORDER: [(u8, bool); 11] = [
    (component::HEADER, true),
    (component::DIRECTORY, true),
    (component::IMPORT, true),
    (component::APPLET, false),
    (component::CLASS, true),
    (component::METHOD, true),
    (component::STATIC_FIELD, true),
    (component::EXPORT, false),
    (component::CONSTANT_POOL, true),
    (component::REFERENCE_LOCATION, true),
    (component::DESCRIPTOR, false),
];

/// The tag of the Load File Data Block (CS Table 11-58). DAP blocks (`E2`) and ciphered ones (`D4`) are refused.
const DATA_BLOCK: u16 = 0xC4;
const MAGIC: [u8; 4] = [0xDE, 0xCA, 0xFF, 0xED];
/// Component sizes in the Directory: up to Descriptor, or with Debug.
const DIRECTORY_SIZES: [usize; 2] = [11, 12];

/// What of a load file goes into the registry.
#[derive(Debug)]
pub(crate) struct LoadFileContent<'a> {
    /// What the Load File Data Block Hash is over.
    pub(crate) data_block: &'a [u8],
    pub(crate) package: Aid,
    /// Major, minor.
    pub(crate) version: [u8; 2],
    pub(crate) applets: Vec<Aid>,
}

impl<'a> LoadFileContent<'a> {
    /// Reads the joined LOAD blocks; `None` if anything does not add up.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(data);
        let data_block = outer.expect(DATA_BLOCK)?;
        if !outer.is_empty() {
            return None;
        }
        let components = split(data_block)?;
        let body = |tag| components.iter().find(|found| found.tag == tag).map(|found| found.body);
        let (package, version) = parse_header(body(component::HEADER)?)?;
        let applets = match body(component::APPLET) {
            Some(body) => parse_applets(body)?,
            None => Vec::new(),
        };
        let imports = *body(component::IMPORT)?.first()?;
        check_directory(body(component::DIRECTORY)?, &components, imports, applets.len())?;
        Some(Self { data_block, package, version, applets })
    }
}

struct Component<'a> {
    tag: u8,
    body: &'a [u8],
}

/// Splits the data block; every component once, in load order, with nothing between or behind.
fn split(data_block: &[u8]) -> Option<Vec<Component<'_>>> {
    let mut reader = Reader::new(data_block);
    let mut components = Vec::new();
    let mut order = LOAD_ORDER.iter();
    while !reader.is_empty() {
        let tag = reader.byte()?;
        let size = reader.u16()?;
        let body = reader.take(usize::from(size))?;
        // Passes over optional components only.
        order
            .find(|(expected, required)| *expected == tag || *required)
            .filter(|it| it.0 == tag)?;
        components.push(Component { tag, body });
    }
    order.all(|(_, required)| !required).then_some(components)
}

/// The Header component: magic, CAP version, flags, package version and AID, perhaps a name.
fn parse_header(body: &[u8]) -> Option<(Aid, [u8; 2])> {
    let mut reader = Reader::new(body);
    if reader.take(4)? != MAGIC {
        return None;
    }
    let _cap_minor = reader.byte()?;
    // Only the compact format of major version 2 is read.
    if reader.byte()? != 2 {
        return None;
    }
    let _flags = reader.byte()?;
    let (minor, major) = (reader.byte()?, reader.byte()?);
    let package = Aid::new(reader.lv()?)?;
    if !reader.is_empty() {
        reader.lv()?;
    }
    reader.is_empty().then_some((package, [major, minor]))
}

/// The Applet component: AIDs with the offsets of their install methods.
fn parse_applets(body: &[u8]) -> Option<Vec<Aid>> {
    let mut reader = Reader::new(body);
    let mut applets = Vec::new();
    for _ in 0..reader.byte()? {
        let applet = Aid::new(reader.lv()?)?;
        let _install_method = reader.u16()?;
        if applets.contains(&applet) {
            return None;
        }
        applets.push(applet);
    }
    (reader.is_empty() && !applets.is_empty()).then_some(applets)
}

/// The Directory component: the sizes of the others, static field sizes, and counts.
fn check_directory(
    body: &[u8],
    components: &[Component<'_>],
    imports: u8,
    applets: usize,
) -> Option<()> {
    /// static_field_size_info (six bytes), import_count, applet_count, custom_count.
    const BEHIND_SIZES: usize = 9;
    let sizes = DIRECTORY_SIZES.into_iter().find(|sizes| body.len() == 2 * sizes + BEHIND_SIZES)?;
    let mut reader = Reader::new(body);
    for tag in 1..=sizes {
        let stated = usize::from(reader.u16()?);
        let loaded = components.iter().find(|found| usize::from(found.tag) == tag);
        // Descriptor and Debug may be stated and yet not loaded; nothing else may.
        match loaded {
            Some(loaded) if loaded.body.len() != stated => return None,
            None if stated != 0 && tag < usize::from(component::DESCRIPTOR) => return None,
            _ => {}
        }
    }
    reader.take(6)?;
    let counts = [reader.byte()?, reader.byte()?, reader.byte()?];
    (counts == [imports, u8::try_from(applets).ok()?, 0]).then_some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tlv;

    /// A structurally valid load file with inert content.
    pub(crate) fn load_file(package: &[u8], applet: &[u8]) -> Vec<u8> {
        let lv = |value: &[u8]| [&[value.len() as u8], value].concat();
        let header = [&MAGIC[..], &[1, 2, 4, 3, 1], &lv(package)].concat();
        let applets = [&[1][..], &lv(applet), &[0, 8]].concat();
        let mut components: Vec<(u8, Vec<u8>)> = vec![
            (component::HEADER, header),
            (component::DIRECTORY, vec![0; 31]),
            (component::IMPORT, vec![0]),
            (component::APPLET, applets),
            (component::CLASS, vec![0; 12]),
            (component::METHOD, vec![0; 700]),
            (component::STATIC_FIELD, vec![0; 10]),
            (component::CONSTANT_POOL, vec![0; 2]),
            (component::REFERENCE_LOCATION, vec![0; 4]),
        ];
        let mut directory = Vec::new();
        for tag in 1..=11 {
            let size = components.iter().find(|it| it.0 == tag).map_or(0, |it| it.1.len());
            directory.extend((size as u16).to_be_bytes());
        }
        directory.extend([0, 0, 0, 0, 0, 0, 0, 1, 0]);
        components[1].1 = directory;
        let mut block = Vec::new();
        for (tag, body) in components {
            block.push(tag);
            block.extend((body.len() as u16).to_be_bytes());
            block.extend(body);
        }
        tlv::object(DATA_BLOCK, &block)
    }

    const PACKAGE: &[u8] = &[0xA0, 0, 0, 0, 1];
    const APPLET: &[u8] = &[0xA0, 0, 0, 0, 1, 1];

    #[test]
    fn a_valid_file_is_read() {
        let file = load_file(PACKAGE, APPLET);
        let content = LoadFileContent::parse(&file).unwrap();
        assert_eq!(content.package.as_bytes(), PACKAGE);
        assert_eq!(content.version, [1, 3]);
        assert_eq!(content.applets, [Aid::new(APPLET).unwrap()]);
    }

    #[test]
    fn every_truncation_and_every_damage_to_its_frame_is_refused() {
        let file = load_file(PACKAGE, APPLET);
        for length in 0..file.len() {
            assert!(LoadFileContent::parse(&file[..length]).is_none(), "{length}");
        }
        // Outer tag, magic, CAP major version, Header tag, Directory's size of Header, Applet count.
        for at in [0, 4, 7, 12, file.windows(4).position(|w| w == MAGIC).unwrap()] {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            let same = LoadFileContent::parse(&damaged)
                .is_some_and(|content| content.package.as_bytes() == PACKAGE && at != 12);
            assert!(!same, "{at}");
        }
        let mut trailing = file.clone();
        trailing.push(0);
        assert!(LoadFileContent::parse(&trailing).is_none());
    }

    #[test]
    fn order_and_presence() {
        let piece = |tag: u8| [tag, 0, 0];
        let block = |tags: &[u8]| tags.iter().flat_map(|tag| piece(*tag)).collect::<Vec<_>>();
        let accepted = |tags: &[u8]| split(&block(tags)).is_some();
        assert!(accepted(&[1, 2, 4, 3, 6, 7, 8, 5, 9]));
        assert!(accepted(&[1, 2, 4, 6, 7, 8, 10, 5, 9, 11]));
        for refused in [
            &[2, 1, 4, 3, 6, 7, 8, 5, 9][..],
            &[1, 2, 3, 4, 6, 7, 8, 5, 9],
            &[1, 2, 4, 3, 6, 7, 8, 9],
            &[1, 2, 4, 3, 3, 6, 7, 8, 5, 9],
            &[1, 2, 4, 3, 6, 7, 8, 5, 9, 12],
            &[],
        ] {
            assert!(!accepted(refused), "{refused:?}");
        }
    }

    #[test]
    fn signed_and_ciphered_files_are_refused() {
        let mut signed = tlv::object(0xE2, &tlv::object(0x4F, PACKAGE));
        signed.extend(load_file(PACKAGE, APPLET));
        assert!(LoadFileContent::parse(&signed).is_none());
        let mut ciphered = load_file(PACKAGE, APPLET);
        ciphered[0] = 0xD4;
        assert!(LoadFileContent::parse(&ciphered).is_none());
    }
}
