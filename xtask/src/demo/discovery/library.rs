//! Questions by C libraries: names as programs meet them, with `resolv.conf` and its search path.

use crate::build;
use crate::lab::{Host, Program};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Less than the five seconds after which either library gives up a question: a name that is not
/// found is one of which a server said so.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// What both clients end with if there is no such name.
const NOT_FOUND: i32 = 2;

/// A library, by the program that asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    /// `getent`.
    Glibc,
    /// `lookup`, built for musl.
    Musl,
}

impl Library {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Glibc, Self::Musl];

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        }
    }

    /// The addresses of a name on a host; none if there is no such name.
    pub(super) fn addresses(self, host: &Host, name: &str) -> Result<BTreeSet<IpAddr>> {
        let program = match self {
            Self::Glibc => host.program("getent").args(["ahosts", name]),
            Self::Musl => host.program(build::lookup()?).args([name]),
        };
        let output = output(program)?.unwrap_or_default();
        // getent has further columns.
        let addresses = output.lines().filter_map(|line| line.split_whitespace().next());
        let parse = |text: &str| text.parse().with_context(|| format!("{text:?} is no address"));
        addresses.map(parse).collect()
    }
}

/// The names of an address by glibc; none if it has none.
pub(super) fn names(host: &Host, address: &str) -> Result<BTreeSet<String>> {
    let output = output(host.program("getent").args(["hosts", address]))?.unwrap_or_default();
    Ok(output.split_whitespace().skip(1).map(str::to_owned).collect())
}

/// The version of glibc whose `getent` is there.
pub(super) fn glibc_version(host: &Host) -> Result<String> {
    let output = host.program("getent").args(["--version"]).run()?;
    let line = output.lines().next().unwrap_or_default();
    // "getent (Debian GLIBC 2.36-9+deb12u13) 2.36", "getent (GNU libc) 2.41"
    let version = line.split_whitespace().next_back();
    let version = version.filter(|_| line.contains("GLIBC") || line.contains("GNU libc"));
    Ok(version.with_context(|| format!("this getent is not glibc's: {line:?}"))?.to_owned())
}

/// What a program prints; `None` if it finds nothing.
fn output(program: Program) -> Result<Option<String>> {
    let mut process = program.spawn()?;
    let status = process.wait(PATIENCE)?;
    match status.code() {
        Some(0) => Ok(Some(process.stdout())),
        Some(NOT_FOUND) => Ok(None),
        _ => bail!("{status}\n{}", process.tail()),
    }
}
