//! The CAP file of the sandbox's applet, assembled component by component.
//!
//! JCVM = Java Card Virtual Machine Specification, Classic Edition, chapter 6 (CAP format 2.2). The applet extends
//! `javacard.framework.Applet`; its three methods are well formed and do nothing: the virtual SE runs an applet of its own under
//! these AIDs and never executes byte code.

mod assemble;
mod components;

use scp::Aid;

pub use assemble::CapAssemblyError;

/// What the CAP file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applet {
    /// AID of the package, and so of the load file.
    pub package: Aid,
    /// AID of the applet class, and so of the executable module.
    pub module: Aid,
}

/// The CAP file: a ZIP archive of the components, without timestamps, the same bytes every time.
///
/// # Errors
/// [`CapAssemblyError::ForeignModule`] if the module's AID does not carry the package's RID (JCVM §4.2.1).
pub fn assemble(applet: &Applet) -> Result<Vec<u8>, CapAssemblyError> {
    assemble::archive(applet, &components::of(applet))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    fn applet() -> Applet {
        Applet {
            package: "F04D41444F47554348490101".parse().unwrap(),
            module: "F04D41444F4755434849010101".parse().unwrap(),
        }
    }

    fn component(cap: &[u8], name: &str) -> Vec<u8> {
        let mut archive = zip::ZipArchive::new(Cursor::new(cap)).unwrap();
        let paths: Vec<String> =
            archive.file_names().map(|path| path.unwrap().into_owned()).collect();
        let path = paths.into_iter().find(|path| path.ends_with(name)).unwrap();
        let mut bytes = Vec::new();
        archive.by_name(&path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_component_says_its_size_and_the_directory_agrees() {
        let cap = assemble(&applet()).unwrap();
        let directory = component(&cap, "/Directory.cap");
        let names = [
            "Header",
            "Directory",
            "Applet",
            "Import",
            "ConstantPool",
            "Class",
            "Method",
            "StaticField",
            "RefLocation",
            "",
            "Descriptor",
            "",
        ];
        for (index, name) in names.iter().enumerate() {
            let listed = u16::from_be_bytes([directory[3 + 2 * index], directory[4 + 2 * index]]);
            if name.is_empty() {
                assert_eq!(listed, 0);
                continue;
            }
            let bytes = component(&cap, &format!("/{name}.cap"));
            assert_eq!(usize::from(bytes[0]), index + 1, "{name}");
            assert_eq!(usize::from(u16::from_be_bytes([bytes[1], bytes[2]])), bytes.len() - 3);
            assert_eq!(usize::from(listed), bytes.len() - 3, "{name}");
        }
    }

    #[test]
    fn every_constant_pool_operand_is_where_reference_location_says() {
        let cap = assemble(&applet()).unwrap();
        let method = component(&cap, "/Method.cap");
        let places = component(&cap, "/RefLocation.cap");
        let pool = component(&cap, "/ConstantPool.cap");
        let (info, deltas) = (&method[3..], &places[7..]);
        assert_eq!(places[3..7], [0, 0, 0, 4]);
        let mut place = 0;
        for delta in deltas {
            place += usize::from(*delta);
            // new, invokespecial or invokevirtual right before a two-byte index into the pool.
            assert!([0x8F, 0x8C, 0x8B].contains(&info[place - 1]));
            let index = u16::from_be_bytes([info[place], info[place + 1]]);
            assert!(index < u16::from_be_bytes([pool[3], pool[4]]));
        }
    }

    #[test]
    fn install_lies_where_the_applet_component_says() {
        let cap = assemble(&applet()).unwrap();
        let (applets, method) = (component(&cap, "/Applet.cap"), component(&cap, "/Method.cap"));
        let offset = usize::from(u16::from_be_bytes([applets[18], applets[19]]));
        assert_eq!(applets.len(), 20);
        // max_stack 2, three arguments, `new` first.
        assert_eq!(method[3 + offset..][..3], [0x02, 0x30, 0x8F]);
    }

    #[test]
    fn the_same_applet_gives_the_same_bytes() {
        assert_eq!(assemble(&applet()).unwrap(), assemble(&applet()).unwrap());
    }

    #[test]
    fn a_module_of_another_owner_is_refused() {
        let module = "A00000000101".parse().unwrap();
        let error = assemble(&Applet { module, ..applet() }).unwrap_err();
        assert!(matches!(error, CapAssemblyError::ForeignModule { .. }));
    }
}
