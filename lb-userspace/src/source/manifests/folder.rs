//! The folder as it is now: which manifests there are, and their text.
//!
//! Symlinks are followed (a mounted `ConfigMap` is made of them). Names that begin with a dot are
//! left out, and with them the versions of a `ConfigMap` mount and what editors leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A manifest that is larger is not read.
const MAX_BYTES: u64 = 16 << 20;
/// Folders below folders; symlinks could lead on for ever.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 10_000;

/// What tells that a file is another than before: device, inode, length, time of change.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// All manifests of a folder, by their path in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// What could not be listed, and why.
    pub(super) troubles: BTreeMap<PathBuf, String>,
}

/// Lists `dir`; an error if it is missing or no folder.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut seen = BTreeSet::new();
    let entries = fs::read_dir(dir)?;
    let mut open = vec![(PathBuf::new(), entries)];
    while let Some((path, entries)) = open.pop() {
        for entry in entries.filter_map(Result::ok).filter(is_wanted) {
            let path = path.join(entry.file_name());
            match fs::metadata(entry.path()) {
                Ok(folder) if folder.is_dir() && seen.insert((folder.dev(), folder.ino())) => {
                    descend(&entry, path, &mut open, &mut listing);
                }
                Ok(file) if file.is_file() && is_manifest(&path) => listing.add(path, &file),
                // Gone again, a symlink that leads nowhere, or no manifest.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(listing)
}

type Open = Vec<(PathBuf, fs::ReadDir)>;

fn descend(entry: &DirEntry, path: PathBuf, open: &mut Open, listing: &mut Listing) {
    if path.components().count() > MAX_DEPTH {
        listing
            .troubles
            .insert(path, format!("is more than {MAX_DEPTH} folders deep and is left out"));
        return;
    }
    match fs::read_dir(entry.path()) {
        Ok(entries) => open.push((path, entries)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => drop(listing.troubles.insert(path, format!("cannot be listed ({error})"))),
    }
}

impl Listing {
    fn add(&mut self, path: PathBuf, file: &Metadata) {
        if self.files.len() < MAX_FILES {
            let stamp = (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec());
            self.files.insert(path, stamp);
        } else {
            self.troubles.insert(
                path,
                format!("is left out, the folder has more than {MAX_FILES} manifests"),
            );
        }
    }

    /// True if `path` may still exist, though it is not listed.
    pub(super) fn is_uncertain(&self, path: &Path) -> bool {
        self.troubles.keys().any(|trouble| path.starts_with(trouble))
    }
}

fn is_wanted(entry: &DirEntry) -> bool {
    !entry.file_name().as_encoded_bytes().starts_with(b".")
}

/// By its ending, which leaves out `kubia.yaml~` and `kubia.yaml.swp` too.
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["yaml", "yml", "json"].iter().any(|known| extension == *known)
}

/// The text of a manifest; `None` if it is gone, a sentence if it cannot be used.
pub(super) fn read(path: &Path) -> Option<Result<String, String>> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("cannot be read ({error})"))),
        Ok(_) if bytes.len() as u64 > MAX_BYTES => {
            Some(Err(format!("is larger than {} MiB", MAX_BYTES >> 20)))
        }
        Ok(_) => {
            Some(String::from_utf8(bytes).map_err(|error| {
                format!("is not UTF-8 (byte {})", error.utf8_error().valid_up_to())
            }))
        }
    }
}
