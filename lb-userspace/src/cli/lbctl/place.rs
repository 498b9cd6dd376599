//! Where a node's maps and status lie, and the sentence when they do not.

use crate::bpf::maps::Maps;
use crate::bpf::pin::PinFolder;
use crate::model::status::Status;
use anyhow::{Context as _, Result, anyhow};
use lb_common::layout::{VERSION, name};
use nix::unistd::geteuid;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

const DENIED: &str = "reading BPF maps needs root (CAP_BPF): run `sudo lbctl ...`";

/// The folders of an agent.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// Folder in bpffs under which the agent pins its maps
    #[arg(
        long,
        value_name = "PATH",
        env = "LB_BPFFS",
        default_value = "/sys/fs/bpf/lb",
        global = true
    )]
    pub(super) bpffs: PathBuf,
    /// Folder in which the agent keeps its status
    #[arg(
        long,
        value_name = "PATH",
        env = "LB_STATE_DIR",
        default_value = "/var/lib/lb",
        global = true
    )]
    pub(super) state_dir: PathBuf,
}

impl Place {
    /// The folder of the pinned maps.
    pub(super) fn maps_folder(&self) -> PathBuf {
        PinFolder::new(&self.bpffs).maps()
    }

    /// The pinned maps.
    ///
    /// # Errors
    /// There are none, or not of this layout, or they may not be read: one sentence each.
    pub(super) fn open(&self) -> Result<Maps> {
        let folder = self.maps_folder();
        match fs::metadata(folder.join(name::SERVICES)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(self.absent()),
            Err(error) => return Err(unreadable(&folder, error)),
        }
        Maps::open(&folder)
            .map_err(|error| if geteuid().is_root() { error } else { anyhow!(DENIED) })
    }

    /// Names of the pinned links: what is attached where.
    pub(super) fn attachments(&self) -> Vec<String> {
        let mut names = names(&PinFolder::new(&self.bpffs).links()).unwrap_or_default();
        names.sort();
        names
    }

    /// What the agent last said about itself; `None`: nothing yet.
    ///
    /// # Errors
    /// The file is there and cannot be understood.
    pub(super) fn status(&self) -> Result<Option<Status>> {
        Status::read(&self.state_dir)
            .with_context(|| format!("reading the status in {}", self.state_dir.display()))
    }

    /// Whether an agent runs now.
    pub(super) fn agent_alive(&self) -> bool {
        Status::agent_alive(&self.state_dir)
    }

    fn absent(&self) -> anyhow::Error {
        let bpffs = self.bpffs.display();
        let mut others: Vec<u32> = names(&self.bpffs)
            .unwrap_or_default()
            .iter()
            .filter_map(|name| version(name))
            .collect();
        others.sort_unstable();
        match others.iter().rfind(|other| **other != VERSION) {
            Some(other) => anyhow!("found layout v{other} in {bpffs}, this lbctl reads v{VERSION}"),
            None => anyhow!(
                "no lb maps are pinned in {bpffs}: start lb-agent, or name the folder with --bpffs"
            ),
        }
    }
}

/// The layout version that a folder is named after.
fn version(folder: &str) -> Option<u32> {
    folder.strip_prefix('v')?.parse().ok()
}

fn unreadable(folder: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::PermissionDenied {
        return anyhow!(DENIED);
    }
    anyhow::Error::new(error).context(format!("looking into {}", folder.display()))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(folder)?.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folders: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let place = Place { bpffs: dir.path().into(), state_dir: dir.path().into() };
        let error = place.open().err().expect("nothing is pinned");
        format!("{error:#}").replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn nothing_pinned_says_what_to_do() {
        let expected =
            "no lb maps are pinned in DIR: start lb-agent, or name the folder with --bpffs";
        assert_eq!(refusal(&[]), expected);
        let own = format!("v{VERSION}/maps");
        assert_eq!(refusal(&[&own, "other", "vx"]), expected);
    }

    #[test]
    fn another_layout_is_named() {
        let expected = format!("found layout v98 in DIR, this lbctl reads v{VERSION}");
        assert_eq!(refusal(&["v97/maps", "v98/maps"]), expected);
    }
}
