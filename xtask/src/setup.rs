//! `cargo xtask setup`: installs what the build needs and is missing, and names each step.
//!
//! Nothing is installed outside of rustup's own folder and `target/tools`. System packages are
//! never installed: the command that does it is said instead.

use crate::step::step;
use crate::toolchain::{self, BPF_LINKER, NIGHTLY, Tool};
use crate::{root, workspace};
use anyhow::{Result, bail};

/// What `setup` is told: nothing.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {}

/// A program that comes with the system, and how Debian and Fedora install it.
pub type SystemProgram = (&'static str, &'static str, &'static str);

/// What every build needs.
const SYSTEM: [SystemProgram; 3] = [
    ("cc", "sudo apt-get install gcc libc6-dev", "sudo dnf install gcc"),
    ("git", "sudo apt-get install git", "sudo dnf install git"),
    ("rustup", "curl -sSf https://sh.rustup.rs | sh", "sudo dnf install rustup && rustup-init"),
];

/// Installs what is missing and says that all is there.
pub fn run(_: &Options) -> Result<()> {
    ensure()?;
    let tools = workspace::tools();
    println!("{NIGHTLY}, {} {} in {}", BPF_LINKER.name, BPF_LINKER.version, tools.display());
    Ok(())
}

/// Installs what is missing; silent if nothing is.
pub fn ensure() -> Result<()> {
    system_programs(&SYSTEM)?;
    if !toolchain::has_nightly() {
        step(&format!("install {NIGHTLY} with rust-src"), toolchain::install_nightly)?;
    }
    tool(&BPF_LINKER)
}

/// Installs a tool if it is missing.
pub fn tool(tool: &Tool) -> Result<()> {
    if tool.is_installed() {
        return Ok(());
    }
    step(&format!("install {} {} (about a minute)", tool.name, tool.version), |step| {
        tool.install(step)
    })
}

/// Installs the standard library of a target if it is missing.
pub fn target(target: &str) -> Result<()> {
    if toolchain::has_target(target) {
        return Ok(());
    }
    step(&format!("install the standard library of {target}"), |step| {
        toolchain::install_target(step, target)
    })
}

/// Says how to install the first of these that is missing.
pub fn system_programs(programs: &[SystemProgram]) -> Result<()> {
    for (program, debian, fedora) in programs {
        if root::find(program).is_none() {
            bail!("{program} is missing: {debian} (Debian, Ubuntu) or {fedora} (Fedora)");
        }
    }
    Ok(())
}
