//! Builds the BPF programs for their own target; `src/bpf/loader.rs` embeds them, so that a binary
//! carries its programs.

use anyhow::{Context as _, bail};
use aya_build::{Package, Toolchain, build_ebpf};
use std::path::Path;

/// Must be the nightly that `xtask/src/toolchain.rs` installs.
const NIGHTLY: &str = "nightly-2026-05-20";
/// Where `.cargo/config.toml` looks for the linker of the BPF target.
const LINKER: &str = "../target/tools/bin/bpf-linker";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={LINKER}");
    println!("cargo:rerun-if-changed=../lb-common/src");
    if !Path::new(LINKER).exists() {
        bail!("the BPF linker is missing: run `cargo xtask setup` first");
    }
    let package = Package { name: "lb-ebpf", root_dir: "../lb-ebpf", ..Package::default() };
    build_ebpf([package], Toolchain::Custom(NIGHTLY))
        .context("building lb-ebpf (`cargo xtask setup` installs what it needs)")
}
