//! What is kept of an adapter from run to run: small files, of which none is needed and none is trusted.
//!
//! A file that is damaged, foreign or out of date is as good as none, and is replaced.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};

use super::AdapterReport;

/// Where files are kept.
pub trait Store: fmt::Debug {
    /// The content of the file called `name`, if there is one that can be read.
    fn read(&self, name: &str) -> Option<Vec<u8>>;

    /// Replaces the file called `name`, all of it or nothing; no harm is done if that fails.
    fn write(&self, name: &str, bytes: &[u8]);
}

/// A folder of the local disk, which is made when there is something to keep.
#[derive(Clone, Debug)]
pub struct FolderStore(PathBuf);

impl FolderStore {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.0)?;
        // Programs that run at the same time do not write the same file, and whoever reads finds a whole one.
        let unfinished = self.0.join(format!("{name}.{}.part", process::id()));
        let written = fs::write(&unfinished, bytes);
        let renamed = written.and_then(|()| fs::rename(&unfinished, self.0.join(name)));
        if renamed.is_err() {
            _ = fs::remove_file(&unfinished);
        }
        renamed
    }
}

impl Store for FolderStore {
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(Path::new(&self.0).join(name)).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        _ = self.replace(name, bytes);
    }
}

/// The name of an adapter's file of some `kind`.
pub(super) fn file_name(adapter: &AdapterReport, kind: &str) -> String {
    let info = &adapter.info;
    let words = info.name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).take(4).collect();
    let which = format!(
        "{} {} {} {}",
        info.name, info.vendor, info.device, info.backend
    );
    let name = words.join("-").to_lowercase();
    format!("{name}-{}.{kind}", hash(&which))
}

/// What has to be the same for a file to be of use: the adapter, its driver, and this program.
pub(super) fn identity(adapter: &AdapterReport) -> String {
    let info = &adapter.info;
    [
        &*info.name,
        &info.vendor.to_string(),
        &info.device.to_string(),
        &info.backend.to_string(),
        &info.driver,
        &info.driver_info,
        env!("CARGO_PKG_VERSION"),
    ]
    .join("; ")
}

/// A few characters that tell a text from others.
pub(super) fn hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    format!(
        "{:08x}",
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    )
}

/// `bytes` with a seal that tells what they are and whether they are whole.
pub(super) fn seal(identity: &str, bytes: &[u8]) -> Vec<u8> {
    [&digest(identity, bytes), bytes].concat()
}

/// What was sealed for the same `identity`.
pub(super) fn unseal<'a>(identity: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (seal, bytes) = sealed.split_first_chunk::<32>()?;
    (*seal == digest(identity, bytes)).then_some(bytes)
}

fn digest(identity: &str, bytes: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(identity).chain_update([0]);
    hash.chain_update(bytes).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_of_the_same_device_is_unsealed() {
        let sealed = seal("a GPU, driver 1", b"something");
        assert_eq!(
            unseal("a GPU, driver 1", &sealed),
            Some(b"something".as_slice())
        );
        assert_eq!(unseal("a GPU, driver 2", &sealed), None);
        for length in [0, 31, 32, sealed.len() - 1] {
            assert_eq!(unseal("a GPU, driver 1", &sealed[..length]), None);
        }
        for flipped in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[flipped] ^= 1;
            assert_eq!(unseal("a GPU, driver 1", &damaged), None);
        }
    }

    #[test]
    fn files_are_replaced_and_leave_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("tiefsee-store-{}", process::id()));
        let store = FolderStore::new(folder.join("made when needed"));
        assert_eq!(store.read("file"), None);
        for content in [b"one".as_slice(), b"", b"another"] {
            store.write("file", content);
            assert_eq!(store.read("file").as_deref(), Some(content));
        }
        assert_eq!(fs::read_dir(&store.0).unwrap().count(), 1);
        // A folder where the file should be: nothing is kept, and nothing fails.
        fs::create_dir(store.0.join("folder")).unwrap();
        store.write("folder", b"bytes");
        assert_eq!(fs::read_dir(&store.0).unwrap().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
