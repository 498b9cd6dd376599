//! How a task becomes root: through `sudo -E`, with the caller's `PATH`.
//!
//! Everything is built as the calling user before that, so that no file of root's is left in the
//! target folder.

use crate::{build, workspace};
use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Tells the second run of a task, as root, that the first one has built everything.
const BUILT: &str = "LB_XTASK_BUILT";

/// Builds as the calling user and goes on as root; the folder of the built programs.
pub fn after_build(options: &build::Options) -> Result<PathBuf> {
    if env::var_os(BUILT).is_none() {
        build::run(options)?;
    }
    if !Uid::effective().is_root() {
        rerun()?;
    }
    workspace::programs_of(options.release)
}

/// A command that runs `program` as root.
pub fn command(program: impl Into<OsString>) -> Result<Command> {
    let mut words = prefix()?;
    words.push(program.into());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    Ok(command)
}

/// The words before a program's name that make it run as root; none for root.
///
/// `env` sets `PATH`, because sudoers' `secure_path` replaces it even under `-E`.
pub fn prefix() -> Result<Vec<OsString>> {
    if Uid::effective().is_root() {
        return Ok(Vec::new());
    }
    let sudo = find("sudo").context("this needs root and sudo is missing: run it again as root")?;
    let mut path = OsString::from("PATH=");
    path.push(workspace::search_path());
    Ok(vec![sudo.into(), "-E".into(), "env".into(), path])
}

/// Arguments of cargo that make it run what it built as root; none for root.
pub fn runner() -> Result<Vec<String>> {
    let utf8 = |word: OsString| word.into_string().ok().context("PATH is not UTF-8");
    let words: Vec<String> = prefix()?.into_iter().map(utf8).collect::<Result<_>>()?;
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let words = serde_json::to_string(&words).context("quoting sudo")?;
    Ok(vec!["--config".into(), format!("target.'cfg(unix)'.runner={words}")])
}

/// Starts this task again as root, in place of this process, so that Ctrl-C reaches it alone.
fn rerun() -> Result<()> {
    let mut again = command(workspace::own_program()?)?;
    again.args(env::args_os().skip(1)).env(BUILT, "1");
    bail!("starting sudo: {}", again.exec())
}

/// The file of a program in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = workspace::search_path();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
