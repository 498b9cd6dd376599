//! `cargo xtask tidy`: checks that the source keeps its shape.
//!
//! The rules are those that compilers and clippy do not know: the flow runs one way, edge crates
//! stay at their edge, `unsafe` stays in named files, nothing is left unfinished. Each finding is
//! one line, `path:line: rule`.

/// Rust source to words.
mod tokens;
/// What is forbidden where.
mod rules;

use crate::workspace;
use anyhow::{Context, Result, bail};
use rules::{Finding, Tree};
use std::fs;

/// What `tidy` is told: nothing.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {}

/// Prints every finding; an error if there is one.
pub fn run(_: &Options) -> Result<()> {
    check()
}

/// Prints every finding; an error if there is one.
pub fn check() -> Result<()> {
    let findings = examine()?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} places break the rules of `cargo xtask tidy`", findings.len());
    }
    Ok(())
}

fn examine() -> Result<Vec<Finding>> {
    let tree = Tree::new(&read("lb-userspace/src/lib.rs")?)?;
    let mut findings = Vec::new();
    for path in workspace::files(".")? {
        // What is not text, and what was removed but not yet from the index, has no lines.
        let Ok(text) = read(&path) else { continue };
        findings.extend(tree.check(&path, &text));
    }
    Ok(findings)
}

fn read(path: &str) -> Result<String> {
    let file = workspace::root().join(path);
    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
}
