//! Components into a CAP file: a JAR with one entry for each (JCVM §4.1.3).

use std::io::{Cursor, Write};

use scp::Aid;
use thiserror::Error;
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{Applet, components::Component};

/// Directory of the package inside the archive; the components lie in its `javacard`.
const PACKAGE_PATH: &str = "madoguchi/userauthentication";
/// Length of a registered application provider identifier (ISO/IEC 7816-5).
const RID_LENGTH: usize = 5;

/// Why no CAP file could be assembled.
#[derive(Debug, Error)]
pub enum CapAssemblyError {
    /// The applet's AID does not begin with the package's RID.
    #[error("module {module} does not carry the RID of load file {package}")]
    ForeignModule {
        /// AID of the package.
        package: Aid,
        /// AID of the applet class.
        module: Aid,
    },
    /// The archive could not be written.
    #[error("the archive could not be written: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// An entry could not be written.
    #[error("an entry of the archive could not be written: {0}")]
    Entry(#[from] std::io::Error),
}

pub(super) fn archive(
    applet: &Applet,
    components: &[Component],
) -> Result<Vec<u8>, CapAssemblyError> {
    let &Applet { package, module } = applet;
    if package.as_bytes().get(..RID_LENGTH) != module.as_bytes().get(..RID_LENGTH) {
        return Err(CapAssemblyError::ForeignModule { package, module });
    }
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("META-INF/MANIFEST.MF", options)?;
    archive.write_all(manifest(applet).as_bytes())?;
    for component in components {
        let path = format!("{PACKAGE_PATH}/javacard/{}.cap", component.name);
        archive.start_file(path, options)?;
        archive.write_all(&component.bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn manifest(applet: &Applet) -> String {
    let colons = |aid: &Aid| {
        let bytes: Vec<String> =
            aid.as_bytes().iter().map(|byte| format!("0x{byte:02x}")).collect();
        bytes.join(":")
    };
    format!(
        "Manifest-Version: 1.0\r\n\r\nName: {PACKAGE_PATH}\r\nJava-Card-CAP-File-Version: 2.2\r\n\
         Java-Card-Package-Name: {}\r\nJava-Card-Package-Version: 1.0\r\nJava-Card-Package-AID: {}\r\n\
         Java-Card-Applet-1-Name: UserAuthentication\r\nJava-Card-Applet-1-AID: {}\r\n",
        PACKAGE_PATH.replace('/', "."),
        colons(&applet.package),
        colons(&applet.module),
    )
}
