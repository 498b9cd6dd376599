//! The files that settings are read from, looked at while the agent runs: the file of settings, the
//! kubeconfig, and the certificates and keys that it names.
//!
//! A change is not applied to a running agent: the agent starts anew in place, which costs no
//! packet and no connection, and is one way for all settings. A file that is wrong changes nothing.

use super::{access, node_name, source};
use crate::config::RunArgs;
use crate::model::Problem;
use anyhow::Result;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Tells that a file is another than before: device, inode, time of change.
type Stamp = (u64, u64, i64, i64);

/// What settings are read from, and how.
pub(super) struct Settings {
    files: Files,
    read: Box<dyn Fn() -> Result<RunArgs>>,
}

/// What a look says.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// All is the same.
    Same,
    /// Something is another one, and a good one.
    Changed,
    /// Something is another one, and wrong.
    Wrong(Problem),
}

impl Settings {
    /// Settings that `read` reads, from the files that `args` name, and the settings as they are
    /// now.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn of(
        args: &RunArgs,
        read: impl Fn() -> Result<RunArgs> + 'static,
    ) -> Result<(Self, RunArgs)> {
        let named = access(args).into_iter().flat_map(|access| access.files());
        // A change after this is one that has not been read, or is read twice.
        let files = Files::new(args.config.iter().cloned().chain(named));
        let now = read()?;
        Ok((Self { files, read: Box::new(read) }, now))
    }

    /// Whether something has changed since the last look.
    pub(super) async fn look(&mut self) -> Look {
        let Some(path) = self.files.changed().map(Path::to_owned) else { return Look::Same };
        match self.judge().await {
            Ok(()) => Look::Changed,
            Err(error) => Look::Wrong(Problem {
                subject: path.display().to_string(),
                field: String::new(),
                message: format!("{error:#}; the settings from before hold"),
            }),
        }
    }

    /// Whether an agent could start with what is there now.
    async fn judge(&self) -> Result<()> {
        let args = (self.read)()?;
        let node = node_name(args.node.as_deref())?;
        source(&args, node).await.map(drop)
    }
}

/// Files as they were when they were last looked at.
struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    fn new(paths: impl Iterator<Item = PathBuf>) -> Self {
        Self(paths.map(|path| (path.clone(), stamp(&path))).collect())
    }

    /// One that has changed since the last look. One that is missing is about to be replaced.
    fn changed(&mut self) -> Option<&Path> {
        let mut changed = None;
        for (path, before) in &mut self.0 {
            let now = stamp(path);
            if now.is_some() && now != *before {
                *before = now;
                changed = Some(path.as_path());
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn replace(path: &Path, text: &str) {
        let draft = path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, path).unwrap();
    }

    fn problem(look: Look) -> String {
        let Look::Wrong(problem) = look else { panic!("a bad file was taken: {look:?}") };
        problem.message
    }

    #[tokio::test]
    async fn a_file_counts_once_for_each_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.yaml");
        fs::write(&path, "good").unwrap();
        let given = RunArgs::of(&["--manifests", "/etc/lb", "--config", path.to_str().unwrap()]);
        let (read, again) = (path.clone(), given.clone());
        let (mut settings, _) = Settings::of(&given, move || {
            anyhow::ensure!(fs::read_to_string(&read)? == "good", "it is bad");
            Ok(again.clone())
        })
        .unwrap();
        assert_eq!(settings.look().await, Look::Same);
        replace(&path, "bad");
        assert_eq!(problem(settings.look().await), "it is bad; the settings from before hold");
        assert_eq!(settings.look().await, Look::Same);
        replace(&path, "good");
        assert_eq!(settings.look().await, Look::Changed);
        fs::remove_file(&path).unwrap();
        assert_eq!(settings.look().await, Look::Same);
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.yaml");
        fs::write(&path, "old").unwrap();
        let given = RunArgs::of(&["--manifests", "/etc/lb", "--config", path.to_str().unwrap()]);
        let (writer, again) = (path.clone(), given.clone());
        let (mut settings, _) = Settings::of(&given, move || {
            replace(&writer, "new");
            Ok(again.clone())
        })
        .unwrap();
        assert_eq!(settings.look().await, Look::Changed);
    }

    const KUBECONFIG: &str = "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
         clusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443', \
         certificate-authority: ca.pem}}], users: [{name: u, user: {token: t}}]}";

    #[tokio::test]
    async fn what_leads_to_an_api_server_counts_too() {
        let dir = tempfile::tempdir().unwrap();
        let [path, authority] = ["kubeconfig", "ca.pem"].map(|name| dir.path().join(name));
        fs::write(&path, KUBECONFIG).unwrap();
        fs::write(&authority, "").unwrap();
        let given = RunArgs::of(&["--kubeconfig", path.to_str().unwrap()]);
        let again = given.clone();
        let (mut settings, _) = Settings::of(&given, move || Ok(again.clone())).unwrap();
        assert_eq!(settings.look().await, Look::Same);
        replace(&authority, "");
        assert_eq!(settings.look().await, Look::Changed);
        fs::remove_file(&authority).unwrap();
        replace(&path, KUBECONFIG);
        assert!(problem(settings.look().await).contains("using the kubeconfig"));
        replace(&authority, "");
        assert_eq!(settings.look().await, Look::Changed);
    }
}
