//! The key-encryption key (KEK) and the keys derived from it, one for each use.

use std::{fmt, fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use super::{CustodyError, sealed::Sealer};

/// Length of the key, and of those derived from it.
const KEY_BYTES: usize = 32;
/// Longest file that is looked at: the digits and some white space.
const FILE_MAX_BYTES: u64 = 256;
/// Permission bits of anybody but the owner.
const OTHERS: u32 = 0o077;

/// HKDF-SHA256 info (RFC 5869 §3.2) of each derived key.
const SEAL: &[u8] = b"madoguchi custody seal v1";
const FINGERPRINT: &[u8] = b"madoguchi custody fingerprint v1";

/// The key-encryption key. `Debug` shows nothing of it.
pub(super) struct Kek(Zeroizing<[u8; KEY_BYTES]>);

impl Kek {
    /// Reads it from a file that its owner alone may open.
    pub(super) fn read(path: &Path) -> Result<Kek, CustodyError> {
        let unreadable = |error: std::io::Error| CustodyError::KekUnreadable {
            path: path.display().to_string(),
            detail: error.kind().to_string(),
        };
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(CustodyError::KekExposed { path: path.display().to_string(), mode });
        }
        // Sized beforehand: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX_BYTES as usize));
        file.take(FILE_MAX_BYTES).read_to_end(&mut text).map_err(unreadable)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice())
            .map_err(|_| CustodyError::KekMalformed { path: path.display().to_string() })?;
        Ok(Kek(key))
    }

    /// What seals keys and payloads.
    pub(super) fn sealer(&self) -> Result<Sealer, CustodyError> {
        Sealer::new(self.derive(SEAL)?.as_slice())
    }

    /// What recognizes a key value without storing it.
    pub(super) fn fingerprint_key(&self) -> Result<hmac::Key, CustodyError> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, self.derive(FINGERPRINT)?.as_slice()))
    }

    fn derive(&self, info: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, CustodyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(self.0.as_slice())
            .expand(&[info], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut_slice()))
            .map_err(|_| CustodyError::Unavailable { detail: "key derivation".to_owned() })?;
        Ok(key)
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, fs::Permissions};

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn only_a_private_file_of_64_digits_is_a_kek() {
        let digits = "0A".repeat(32);
        for mode in [0o600, 0o400] {
            let (_dir, path) = file(&format!("{digits}\n"), mode);
            assert!(Kek::read(&path).is_ok(), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let (_dir, path) = file(&digits, mode);
            assert!(
                matches!(Kek::read(&path), Err(CustodyError::KekExposed { mode: got, .. }) if got == mode)
            );
        }
        for content in ["", "0A", &"0A".repeat(31), &"0A".repeat(33), &"0G".repeat(32)] {
            let (_dir, path) = file(content, 0o600);
            assert!(matches!(Kek::read(&path), Err(CustodyError::KekMalformed { .. })));
        }
        assert!(matches!(
            Kek::read(Path::new("/nonexistent/kek")),
            Err(CustodyError::KekUnreadable { .. })
        ));
    }
}
