//! What can be fuzzed: the programs of the crate `lb-fuzz`.

use crate::workspace;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// A fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// The text of a manifest: YAML or JSON to objects
    Manifests,
    /// Services and endpoints, through all stages up to the tables
    Objects,
    /// allocations.json of the state folder
    Allocations,
    /// status.json of the state folder
    Status,
    /// Questions to the name server
    Dns,
    /// Packets, through the BPF programs in the kernel (needs root)
    Programs,
}

impl Target {
    /// Its name: of its program and of its folders.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Objects => "objects",
            Self::Allocations => "allocations",
            Self::Status => "status",
            Self::Dns => "dns",
            Self::Programs => "programs",
        }
    }

    /// The target that an input belongs to, by the folder that it is in.
    pub(super) fn of(input: &Path) -> Result<Self> {
        let folder = input.parent().and_then(Path::file_name);
        let target =
            Self::value_variants().iter().find(|target| folder == Some(target.name().as_ref()));
        target.copied().with_context(|| {
            format!("{} is in no target's folder, as fuzz/crashes/programs is one", input.display())
        })
    }

    /// Whether its program needs root.
    pub(super) fn needs_root(self) -> bool {
        self == Self::Programs
    }

    /// The longest input that is worth its time, in bytes.
    pub(super) fn max_len(self) -> u32 {
        match self {
            Self::Manifests | Self::Programs => 8_192,
            Self::Objects | Self::Allocations | Self::Status | Self::Dns => 4_096,
        }
    }

    /// Its program, once built.
    pub(super) fn program(self) -> PathBuf {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        scratch().join(host).join("release").join(self.name())
    }

    /// Inputs that are committed, and from which fuzzing begins.
    pub(super) fn seeds(self) -> Vec<PathBuf> {
        let root = workspace::root();
        let mut folders = vec![self.corpus(), self.crashes()];
        if self == Self::Manifests {
            folders
                .extend(["lb-userspace/tests/manifests", "examples/kubia"].map(|at| root.join(at)));
        }
        folders.retain(|folder| folder.exists());
        folders
    }

    /// Where its committed corpus is.
    pub(super) fn corpus(self) -> PathBuf {
        workspace::root().join("fuzz/corpus").join(self.name())
    }

    /// Where inputs are kept that broke it once.
    pub(super) fn crashes(self) -> PathBuf {
        workspace::root().join("fuzz/crashes").join(self.name())
    }

    /// Where the fuzzer keeps inputs that brought it further.
    pub(super) fn found(self) -> PathBuf {
        scratch().join("corpus").join(self.name())
    }

    /// Where the fuzzer leaves inputs that break it.
    pub(super) fn artifacts(self) -> PathBuf {
        scratch().join("artifacts").join(self.name())
    }
}

/// Everything that is not committed.
pub(super) fn scratch() -> PathBuf {
    workspace::root().join("target/fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_belongs_to_the_target_whose_folder_it_is_in() {
        assert_eq!(Target::of(Path::new("fuzz/crashes/status/x")).unwrap(), Target::Status);
        assert!(Target::of(Path::new("x")).is_err());
    }

    #[test]
    fn every_target_has_inputs_to_begin_with() {
        for target in Target::value_variants() {
            assert!(target.corpus().is_dir(), "{target:?}");
        }
    }
}
