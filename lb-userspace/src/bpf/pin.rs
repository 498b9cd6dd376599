//! The folder in bpffs under which everything of one node is pinned.

use anyhow::{Context as _, Result, bail};
use lb_common::layout;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs;
use std::path::{Path, PathBuf};

/// Where things are pinned: `ROOT/vN/maps`, `ROOT/vN/links` and `ROOT/vN/loads/M`, N being the
/// version of the layouts, M a number for each time that programs were loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinFolder {
    root: PathBuf,
}

impl PinFolder {
    /// The folder `root` on a bpffs.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of this version of the layouts.
    pub fn version(&self) -> PathBuf {
        self.root.join(format!("v{}", layout::VERSION))
    }

    /// Where maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    /// Where links are pinned.
    pub fn links(&self) -> PathBuf {
        self.version().join("links")
    }

    /// Makes a folder for what only the programs of one load share.
    ///
    /// # Errors
    /// It may not be written.
    pub fn new_load(&self) -> Result<PathBuf> {
        let last = self.loads()?.into_iter().filter_map(|path| number(&path)).max();
        let folder = self.version().join(LOADS).join((last.unwrap_or(0) + 1).to_string());
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// Removes what the programs of all other loads shared.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn keep_load(&self, own: &Path) -> Result<()> {
        for other in self.loads()?.into_iter().filter(|path| path != own) {
            fs::remove_dir_all(&other).with_context(|| format!("removing {}", other.display()))?;
        }
        Ok(())
    }

    fn loads(&self) -> Result<Vec<PathBuf>> {
        let folder = self.version().join(LOADS);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let entries = fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// There is no bpffs here, or it may not be written.
    pub fn create(&self) -> Result<()> {
        let parent = self.root.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let kind = statfs(parent).with_context(|| format!("looking at {}", parent.display()))?;
        if kind.filesystem_type() != BPF_FS_MAGIC {
            bail!(
                "{} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name \
                 another folder with --bpffs",
                self.root.display()
            );
        }
        for folder in [self.maps(), self.links()] {
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(())
    }

    /// Removes every pin of every version, and the folder unless somebody else pinned something
    /// there. True if there was a pin.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn remove(&self) -> Result<bool> {
        let removed = self.remove_versions(|_| true)?;
        // Fails if it is not empty, or is the mount itself: then it is not ours.
        let _ = fs::remove_dir(&self.root);
        Ok(removed)
    }

    /// Removes the pins of other versions: programs of another build come off their links, and
    /// their flows are forgotten. True if there was one.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn remove_others(&self) -> Result<bool> {
        let own = self.version();
        self.remove_versions(|path| path != own)
    }

    fn remove_versions(&self, which: impl Fn(&Path) -> bool) -> Result<bool> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", self.root.display()));
            }
        };
        let mut removed = false;
        for entry in entries {
            let path = entry?.path();
            if is_version(&path) && which(&path) {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
                removed = true;
            }
        }
        Ok(removed)
    }
}

/// The folder of loads.
const LOADS: &str = "loads";

/// The number of a load.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Whether a folder holds the pins of a version of the layouts: `v` and a number.
fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}
