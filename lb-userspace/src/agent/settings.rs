//! The file of settings, looked at while the agent runs.
//!
//! A change is not applied to a running agent: the agent starts anew in place, which costs no
//! packet and no connection, and is one way for all settings. A file that is wrong changes nothing.

use crate::model::Problem;
use anyhow::Result;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Tells that a file is another than before: device, inode, time of change.
type Stamp = (u64, u64, i64, i64);

/// A file of settings, and how it is judged.
pub(super) struct SettingsFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    judge: Box<dyn Fn() -> Result<()> + Send>,
}

/// What a look at the file says.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// It is the same.
    Same,
    /// It is another one, and a good one.
    Changed,
    /// It is another one, and wrong.
    Wrong(Problem),
}

impl SettingsFile {
    /// The file as it is now has been read; `judge` reads it again.
    pub(super) fn new(path: PathBuf, judge: Box<dyn Fn() -> Result<()> + Send>) -> Self {
        let mut file = Self { path, stamp: None, judge };
        file.stamp = file.stamp_now();
        file
    }

    /// Whether it has changed since the last look. One that is missing is about to be replaced.
    pub(super) fn look(&mut self) -> Look {
        let stamp = self.stamp_now();
        if stamp.is_none() || stamp == self.stamp {
            return Look::Same;
        }
        self.stamp = stamp;
        match (self.judge)() {
            Ok(()) => Look::Changed,
            Err(error) => Look::Wrong(Problem {
                subject: self.path.display().to_string(),
                field: String::new(),
                message: format!("{error:#}; the settings from before hold"),
            }),
        }
    }

    fn stamp_now(&self) -> Option<Stamp> {
        let file = std::fs::metadata(&self.path).ok()?;
        Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_counts_once_for_each_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.yaml");
        fs::write(&path, "good").unwrap();
        let judged = path.clone();
        let judge = move || {
            anyhow::ensure!(fs::read_to_string(&judged)? == "good", "it is bad");
            Ok(())
        };
        let mut file = SettingsFile::new(path.clone(), Box::new(judge));
        assert_eq!(file.look(), Look::Same);
        let replace = |text: &str| {
            fs::write(dir.path().join("draft"), text).unwrap();
            fs::rename(dir.path().join("draft"), &path).unwrap();
        };
        replace("bad");
        let Look::Wrong(problem) = file.look() else { panic!("a bad file was taken") };
        assert_eq!(problem.message, "it is bad; the settings from before hold");
        assert_eq!(file.look(), Look::Same);
        replace("good");
        assert_eq!(file.look(), Look::Changed);
        fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), Look::Same);
    }
}
