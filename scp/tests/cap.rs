//! CAP files: one that is right, and every way of being wrong.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use scp::cap::{Cap, CapError, Component};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const PACKAGE: [u8; 7] = [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x00];
const FIRST: [u8; 8] = [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x00, 0x01];
const SECOND: [u8; 8] = [0xD2, 0x76, 0x00, 0x01, 0x24, 0x01, 0x00, 0x02];
const FOLDER: &str = "org/example/applet/javacard/";

type Files = Vec<(String, Vec<u8>)>;
type Spoil<'s> = &'s dyn Fn(&mut Vec<u8>);

fn framed(tag: u8, content: &[u8]) -> Vec<u8> {
    let size = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, size[0], size[1]], content].concat()
}

fn header(flags: u8) -> Vec<u8> {
    let start = [0xDE, 0xCA, 0xFF, 0xED, 2, 2, flags, 3, 1, 7];
    framed(1, &[&start[..], &PACKAGE, &[0]].concat())
}

fn applet() -> Vec<u8> {
    let one = |aid: &[u8], offset: u8| [&[aid.len() as u8], aid, &[0, offset]].concat();
    framed(3, &[vec![2], one(&FIRST, 8), one(&SECOND, 20)].concat())
}

/// The components of a small package, the Directory last because it knows the others.
fn files() -> Files {
    let mut files: Files = vec![
        ("Method.cap".into(), framed(7, &[0x5A; 300])),
        ("Header.cap".into(), header(0x04)),
        ("Applet.cap".into(), applet()),
        ("Import.cap".into(), framed(4, &[0])),
        ("ConstantPool.cap".into(), framed(5, &[0, 0])),
        ("Class.cap".into(), framed(6, &[1, 2, 3])),
        ("StaticField.cap".into(), framed(8, &[0; 10])),
        ("RefLocation.cap".into(), framed(9, &[0; 4])),
        ("Descriptor.cap".into(), framed(11, &[9; 40])),
        ("Debug.cap".into(), framed(12, &[9; 40])),
    ];
    let directory = directory(&files);
    files.push(("Directory.cap".into(), directory));
    files.iter_mut().for_each(|(name, _)| name.insert_str(0, FOLDER));
    files.push(("META-INF/MANIFEST.MF".into(), b"Manifest-Version: 1.0".to_vec()));
    files
}

fn directory(files: &Files) -> Vec<u8> {
    let size = |tag: u8| match tag {
        2 => 31,
        tag => files.iter().find(|(_, bytes)| bytes[0] == tag).map_or(0, |it| it.1.len() - 3),
    };
    let sizes: Vec<u8> = (1..=11).flat_map(|tag| (size(tag) as u16).to_be_bytes()).collect();
    framed(2, &[&sizes[..], &[0, 0, 0, 0, 0, 0, 0, 2, 0]].concat())
}

fn archive(files: &Files, method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn parse(files: &Files) -> Result<Cap, CapError> {
    Cap::parse(&archive(files, CompressionMethod::Deflated))
}

fn file<'f>(files: &'f mut Files, name: &str) -> &'f mut Vec<u8> {
    &mut files.iter_mut().find(|(path, _)| path.ends_with(&format!("/{name}"))).unwrap().1
}

#[test]
fn a_compact_cap_file_is_read() {
    for method in [CompressionMethod::Deflated, CompressionMethod::Stored] {
        let cap = Cap::parse(&archive(&files(), method)).unwrap();
        assert_eq!(cap.package(), "org.example.applet");
        assert_eq!(cap.load_file().as_bytes(), PACKAGE);
        assert_eq!(cap.version(), (1, 3));
        let applets: Vec<&[u8]> = cap.applets().iter().map(|aid| aid.as_bytes()).collect();
        assert_eq!(applets, [FIRST, SECOND]);
    }
}

#[test]
fn components_are_loaded_in_order_without_descriptor_and_debug() {
    let cap = parse(&files()).unwrap();
    let mut rest = &cap.load_file_data_block()[..];
    let mut tags = Vec::new();
    while let [tag, high, low, content @ ..] = rest {
        tags.push(*tag);
        rest = &content[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    assert_eq!(tags, [1, 2, 4, 3, 6, 7, 8, 5, 9]);
    let stated: Vec<Component> = cap.components().map(|(component, _)| component).collect();
    assert!(!stated.contains(&Component::Export) && stated.len() == 9);
    assert_eq!(
        cap.components().map(|(_, length)| length).sum::<usize>(),
        cap.load_file_data_block().len()
    );
}

#[test]
fn a_library_has_no_applets() {
    let mut files = files();
    files.retain(|(name, _)| !name.ends_with("Applet.cap"));
    *file(&mut files, "Directory.cap") = directory(&files);
    assert_eq!(parse(&files).unwrap().applets(), []);
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [&[][..], b"PK", b"not a ZIP archive at all", &[0; 1_000]] {
        assert!(matches!(Cap::parse(bytes), Err(CapError::Archive { .. })));
    }
    let too_long = Cap::parse(&vec![0; 4 * 1_024 * 1_024 + 1]);
    assert!(matches!(too_long, Err(CapError::TooMuch { what: "bytes of the file", .. })));
}

#[test]
fn every_component_must_be_there_once() {
    for component in Component::LOAD_ORDER {
        let mut missing = files();
        missing.retain(|(name, _)| !name.ends_with(&format!("/{}", component.file_name())));
        match component {
            Component::Export => assert!(parse(&missing).is_ok()),
            Component::Applet => {
                assert!(matches!(parse(&missing), Err(CapError::Malformed { .. })));
            }
            _ => assert_eq!(parse(&missing), Err(CapError::Missing { component })),
        }
    }
    let mut twice = files();
    twice.push(("org/other/javacard/Class.cap".into(), framed(6, &[1, 2, 3])));
    assert_eq!(parse(&twice), Err(CapError::Ambiguous { component: Component::Class }));
}

#[test]
fn the_extended_format_is_refused_by_name() {
    let mut flagged = files();
    *file(&mut flagged, "Header.cap") = header(0x0C);
    assert_eq!(parse(&flagged), Err(CapError::Extended));
    let mut named = files();
    named.push((format!("{FOLDER}Method.capx"), vec![7]));
    assert_eq!(parse(&named), Err(CapError::Extended));
}

#[test]
fn contradictions_are_found() {
    let spoilt = |name: &str, spoil: Spoil<'_>| {
        let mut files = files();
        spoil(file(&mut files, name));
        match parse(&files) {
            Err(CapError::Malformed { component, why }) => (component, why),
            other => panic!("{name}: {other:?}"),
        }
    };
    let cases: [(&str, Spoil<'_>, &str); 9] = [
        ("Class.cap", &|it| it[0] = 7, "another component's tag"),
        ("Class.cap", &|it| it.push(0), "its size is not the size it states"),
        ("Class.cap", &|it| it.truncate(2), "its size is not the size it states"),
        ("Class.cap", &|it| *it = framed(6, &[1; 4]), "a size in it is not the component's"),
        ("Directory.cap", &|it| *it = framed(2, &[0; 19]), "too short"),
        ("Header.cap", &|it| it[3] ^= 1, "no magic number"),
        ("Header.cap", &|it| it[12] = 4, "the package has no AID"),
        ("Applet.cap", &|it| it[3] = 1, "more than its applets"),
        ("Applet.cap", &|it| it[3] = 3, "an applet has no AID"),
    ];
    for (name, spoil, expected) in cases {
        assert_eq!(spoilt(name, spoil).1, expected, "{name}");
    }
    assert_eq!(spoilt("Class.cap", &|it| *it = framed(6, &[])).0, Component::Directory);
}

#[test]
fn archives_that_swell_or_swarm_are_refused() {
    let mut swelling = files();
    *file(&mut swelling, "Method.cap") = framed(7, &[0; 0xFFFF]);
    let refused = parse(&swelling);
    assert!(matches!(refused, Err(CapError::TooMuch { most: 200, .. })), "{refused:?}");

    let mut long = files();
    *file(&mut long, "Method.cap") = vec![7; 70_000];
    let refused = Cap::parse(&archive(&long, CompressionMethod::Stored));
    assert!(matches!(refused, Err(CapError::TooMuch { what: "bytes of a component", .. })));

    let mut many = files();
    many.extend((0..1_024).map(|number| (format!("{number}.class"), vec![])));
    let refused = parse(&many);
    assert!(matches!(refused, Err(CapError::TooMuch { what: "files in the archive", .. })));
}

proptest! {
    #[test]
    fn damage_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        deflated in any::<bool>(),
    ) {
        let method = if deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let mut bytes = archive(&files(), method);
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(cap) = Cap::parse(&bytes) {
            prop_assert!(!cap.load_file_data_block().is_empty());
        }
    }

    #[test]
    fn a_bit_of_any_component_changed_is_seen_by_the_archive(
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let clean = archive(&files(), CompressionMethod::Stored);
        let block = Cap::parse(&clean).unwrap().load_file_data_block();
        let mut bytes = clean;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(cap) = Cap::parse(&bytes) {
            prop_assert_eq!(cap.load_file_data_block(), block);
        }
    }
}
