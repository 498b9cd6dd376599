//! The compilers and tools, pinned, and how each is installed.
//!
//! The BPF half needs a nightly compiler (for `build-std`) and bpf-linker. bpf-linker must read
//! the bitcode that the compiler wrote, so it is linked with the LLVM of the pinned host toolchain
//! itself: no LLVM is installed, built or downloaded.

use crate::step::Step;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The compiler of the BPF half.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// The target whose programs resolve names by musl instead of glibc.
pub fn musl() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// Renders the chart of `deploy/helm`.
pub const HELM: &str = "v4.3.1";

/// The name server that ours is measured beside.
pub const CORE_DNS: &str = "v1.15.0";

/// How the host toolchain's LLVM is called; bpf-linker's feature `llvm-22` goes with it.
const LLVM_LIBRARY: &str = "libLLVM.so.22.1-rust-";

/// A program that cargo installs into [`workspace::tools`].
pub struct Tool {
    /// Crate and program.
    pub name: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// What else `cargo install` is told.
    arguments: &'static [&'static str],
}

/// Links BPF programs.
pub const BPF_LINKER: Tool = Tool {
    name: "bpf-linker",
    version: "0.13.0",
    arguments: &["--no-default-features", "--features", "llvm-22"],
};

/// Checks licences, duplicates and sources of dependencies.
pub const CARGO_DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", arguments: &["--no-default-features"] };

/// Builds programs that libFuzzer drives.
pub const CARGO_FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", arguments: &[] };

impl Tool {
    /// Whether this very version is there and starts.
    pub fn is_installed(&self) -> bool {
        let output = Command::new(workspace::tool(self.name)).arg("--version").output();
        output.is_ok_and(|output| {
            output.status.success() && self.is_version(&String::from_utf8_lossy(&output.stdout))
        })
    }

    fn is_version(&self, line: &str) -> bool {
        line.split_whitespace().eq([self.name, self.version])
    }

    /// Builds and installs it.
    pub fn install(&self, step: &Step) -> Result<()> {
        let llvm = llvm_folder()?;
        let mut install = workspace::cargo();
        install.args(["install", self.name, "--version", self.version, "--locked", "--force"]);
        install.args(self.arguments).arg("--root").arg(workspace::tools());
        // The first is read by bpf-linker, the second by llvm-sys, its binding to LLVM 22.1.
        install.env("LLVM_PREFIX", &llvm).env("LLVM_SYS_221_PREFIX", &llvm);
        // Built in a temporary folder: nothing of it is used again.
        install.env_remove("CARGO_TARGET_DIR");
        step.run(install)
    }
}

/// Whether the nightly is there with the sources of its standard library.
pub fn has_nightly() -> bool {
    printed_path(&mut rustup(&["run", NIGHTLY, "rustc", "--print", "sysroot"]))
        .is_ok_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").exists())
}

/// Installs the nightly.
pub fn install_nightly(step: &Step) -> Result<()> {
    let profile = ["--profile", "minimal", "--component", "rust-src", "--no-self-update"];
    let mut install = rustup(&["toolchain", "install", NIGHTLY]);
    install.args(profile);
    step.run(install)
}

/// Whether the host's compiler has the standard library of a target.
pub fn has_target(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(workspace::root());
    printed_path(&mut rustc).is_ok_and(|folder| folder.exists())
}

/// Installs the standard library of a target for the host's compiler.
pub fn install_target(step: &Step, target: &str) -> Result<()> {
    let mut add = rustup(&["target", "add", target]);
    add.current_dir(workspace::root());
    step.run(add)
}

/// Whether this very Helm is there and starts.
pub fn has_helm() -> bool {
    let mut helm = Command::new(workspace::tool("helm"));
    let output = helm.args(["version", "--template", "{{.Version}}"]).output();
    output.is_ok_and(|output| output.status.success() && output.stdout == HELM.as_bytes())
}

/// Builds and installs Helm from its module, with the `go` in `PATH`.
pub fn install_helm(step: &Step) -> Result<()> {
    // A release is told its version in the same way.
    let version = format!("-s -w -X helm.sh/helm/v4/internal/version.version={HELM}");
    install_go(step, &format!("helm.sh/helm/v4/cmd/helm@{HELM}"), &version)
}

/// Whether this very `CoreDNS` is there and starts.
pub fn has_core_dns() -> bool {
    let output = Command::new(workspace::tool("coredns")).arg("-version").output();
    let expected = CORE_DNS.replacen('v', "CoreDNS-", 1);
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().next() == Some(&*expected)
    })
}

/// Builds and installs `CoreDNS` from its module, with the `go` in `PATH`.
pub fn install_core_dns(step: &Step) -> Result<()> {
    install_go(step, &format!("github.com/coredns/coredns@{CORE_DNS}"), "-s -w")
}

fn install_go(step: &Step, module: &str, linking: &str) -> Result<()> {
    let mut install = Command::new("go");
    install.args(["install", "-trimpath", &format!("-ldflags={linking}"), module]);
    install.env("GOBIN", workspace::tools().join("bin")).env("CGO_ENABLED", "0");
    step.run(install)
}

/// A folder whose `lib/` shows the host toolchain's LLVM under the names that a linker looks for.
fn llvm_folder() -> Result<PathBuf> {
    let folder = workspace::tools().join("llvm");
    let lib = folder.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("creating {}", lib.display()))?;
    let library = host_llvm()?;
    let name = library.file_name().context("LLVM's library has no name")?;
    for link in [lib.join(name), lib.join("libLLVM.so")] {
        relink(&library, &link)?;
    }
    Ok(folder)
}

fn host_llvm() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(workspace::root());
    let lib = printed_path(&mut rustc)?.join("lib");
    let files = fs::read_dir(&lib).with_context(|| format!("reading {}", lib.display()))?;
    let mut paths = files.flatten().map(|file| file.path());
    let is_llvm = |path: &PathBuf| path.to_string_lossy().contains(LLVM_LIBRARY);
    paths.find(is_llvm).with_context(|| {
        format!("{LLVM_LIBRARY}* is not in {}: is this rustup's own toolchain?", lib.display())
    })
}

fn relink(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|there| there == target) {
        return Ok(());
    }
    // A link to a toolchain that is gone; its absence is as good.
    let _absent = fs::remove_file(link);
    symlink(target, link).with_context(|| format!("linking {}", link.display()))
}

fn rustup(arguments: &[&str]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(arguments);
    rustup
}

/// What `rustc --print` says, if that is a path.
fn printed_path(rustc: &mut Command) -> Result<PathBuf> {
    let output = rustc.stderr(Stdio::null()).output().context("starting rustc")?;
    if !output.status.success() {
        bail!("rustc --print: {}", output.status);
    }
    let path = String::from_utf8(output.stdout).context("a path of rustc is not UTF-8")?;
    Ok(PathBuf::from(path.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_does_not_count_as_installed() {
        assert!(BPF_LINKER.is_version("bpf-linker 0.13.0\n"));
        assert!(!BPF_LINKER.is_version("bpf-linker 0.13.01\n"));
        assert!(!BPF_LINKER.is_version("cargo-deny 0.13.0\n"));
    }

    #[test]
    fn a_target_that_nobody_has_is_missing() {
        assert!(has_target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH)));
        assert!(!has_target("no-such-target"));
    }

    #[test]
    fn the_host_toolchain_brings_its_llvm() {
        assert!(host_llvm().unwrap().is_file());
    }
}
