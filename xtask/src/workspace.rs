//! Where the source, the tools and the built programs are.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Where `setup` installs. Always inside the workspace, also when `CARGO_TARGET_DIR` points
/// elsewhere, because `.cargo/config.toml` names the linker by this path.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// A tool that `setup` installed.
pub fn tool(name: &str) -> PathBuf {
    tools().join("bin").join(name)
}

/// The cargo that started this program, at the workspace's root.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // .cargo/config.toml hushes the cargos that build scripts run; ours speak to a person.
    cargo.current_dir(root()).env_remove("CARGO_TERM_QUIET");
    // Nor is it told that it runs for our package: build scripts would run again each time.
    let about_us = |(name, _): &(OsString, OsString)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in env::vars_os().filter(about_us) {
        cargo.env_remove(name);
    }
    cargo
}

/// This program's own file, also after a build has replaced it.
pub fn own_program() -> Result<PathBuf> {
    let program = env::current_exe().context("finding this program's own file")?;
    Ok(without_deleted(program))
}

/// The kernel marks the path of a running program whose file was replaced.
fn without_deleted(program: PathBuf) -> PathBuf {
    let text = program.to_str().and_then(|text| text.strip_suffix(" (deleted)"));
    text.map(PathBuf::from).unwrap_or(program)
}

/// Where cargo puts the programs it builds with this program's profile: beside this one, or one
/// above if this is a test.
pub fn programs() -> Result<PathBuf> {
    let own = own_program()?;
    let folder = own.parent().context("this program has no folder")?;
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    Ok(above.unwrap_or(folder).to_path_buf())
}

/// The folder of the programs of `release` or else of this program's own profile.
pub fn programs_of(release: bool) -> Result<PathBuf> {
    let own = programs()?;
    Ok(if release { own.with_file_name("release") } else { own })
}

/// The folder of programs that were built for another target than this program's.
pub fn programs_for(target: &str) -> Result<PathBuf> {
    Ok(programs()?.with_file_name(target).join("debug"))
}

/// Every file below a folder that git has or would take.
pub fn files(folder: &str) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // The folder may belong to another user than the one (root, in CI) who checks it.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"]);
    let output = git.arg("--").arg(folder).current_dir(root()).output().context("starting git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

/// `PATH`, to be handed through programs that would replace it.
pub fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_found_by_its_path() {
        let running = PathBuf::from("/target/debug/xtask (deleted)");
        assert_eq!(without_deleted(running), Path::new("/target/debug/xtask"));
        let still_there = PathBuf::from("/target/debug/xtask");
        assert_eq!(without_deleted(still_there.clone()), still_there);
    }

    #[test]
    fn a_test_finds_the_programs_above_its_own_folder() {
        assert!(!programs().unwrap().ends_with("deps"));
    }
}
