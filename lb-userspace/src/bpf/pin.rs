//! The folder in bpffs under which everything of one node is pinned.

use anyhow::{Context as _, Result, bail};
use lb_common::layout;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs;
use std::path::{Path, PathBuf};

/// Where things are pinned: `ROOT/vN/maps` and `ROOT/vN/links`, N being the version of the
/// layouts.
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

    /// Removes every pin of every version, and the folder. True if there was one.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn remove(&self) -> Result<bool> {
        match fs::remove_dir_all(&self.root) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("removing {}", self.root.display())),
        }
    }
}
