//! `cargo xtask deploy`: the plain manifests, as the Helm chart says them with its default values.
//!
//! The chart is the source. `deploy/lb.yaml` begins with a checksum of the chart and of itself, so
//! that a machine without Helm and Go notices when one has changed without the other.

use crate::step::step;
use crate::toolchain::{self, HELM};
use crate::{root, workspace};
use anyhow::{Context, Result, bail};
use crc::{CRC_64_XZ, Crc};
use std::fs;
use std::process::Command;

/// What `deploy` is told: nothing.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {}

const CHART: &str = "deploy/helm/lb";
const MANIFESTS: &str = "deploy/lb.yaml";

const HEAD: &str = "\
# lb on every node, in kube-proxy's place; docs/install.md says what to change first.
# Written from deploy/helm/lb, with its default values, by `cargo xtask deploy`: change the chart.
";
const CHECKSUM: &str = "# Checksum of the chart and of what follows: ";

/// Helm's labels of what it installs itself.
const HELMS_OWN: [&str; 2] = ["app.kubernetes.io/managed-by:", "helm.sh/chart:"];

/// Checks the chart, and writes the manifests.
pub fn run(_: &Options) -> Result<()> {
    ensure_helm()?;
    let lint = ["lint", "--strict", "--quiet", CHART];
    helm(&lint)?;
    let rendered = helm(&["template", "lb", CHART, "--namespace", "kube-system"])?;
    let file = workspace::root().join(MANIFESTS);
    fs::write(&file, manifests(&chart()?, &rendered))
        .with_context(|| format!("writing {}", file.display()))
}

fn ensure_helm() -> Result<()> {
    if toolchain::has_helm() {
        return Ok(());
    }
    if root::find("go").is_none() {
        bail!("go is missing, which builds Helm: https://go.dev/dl");
    }
    step(&format!("install helm {HELM} (some minutes)"), toolchain::install_helm)
}

/// What Helm prints.
fn helm(arguments: &[&str]) -> Result<String> {
    let mut helm = Command::new(workspace::tool("helm"));
    helm.args(arguments).current_dir(workspace::root());
    let output = helm.output().context("starting helm")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("helm {}: {}", arguments.join(" "), String::from_utf8_lossy(&said).trim());
    }
    String::from_utf8(output.stdout).context("Helm's output is not UTF-8")
}

/// All files of the chart with their names, in the order of their names.
fn chart() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut files = workspace::files(CHART)?;
    files.sort_unstable();
    for path in files {
        let content = fs::read(workspace::root().join(&path));
        let content = content.with_context(|| format!("reading {path}"))?;
        bytes.extend_from_slice(format!("{path} {}\n", content.len()).as_bytes());
        bytes.extend_from_slice(&content);
    }
    Ok(bytes)
}

/// The file of manifests.
fn manifests(chart: &[u8], rendered: &str) -> String {
    let is_plain = |line: &&str| !HELMS_OWN.iter().any(|label| line.trim().starts_with(label));
    let plain = rendered.split_inclusive('\n').filter(is_plain).collect();
    with_checksum(chart, plain)
}

fn with_checksum(chart: &[u8], plain: String) -> String {
    let crc = Crc::<u64>::new(&CRC_64_XZ);
    let mut digest = crc.digest();
    digest.update(chart);
    digest.update(plain.as_bytes());
    format!("{HEAD}{CHECKSUM}{:016x}\n{plain}", digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands below the head.
    fn body(manifests: &str) -> String {
        let below = HEAD.lines().count() + 1;
        manifests.split_inclusive('\n').skip(below).collect()
    }

    #[test]
    fn the_plain_manifests_are_what_the_chart_says() {
        let there = fs::read_to_string(workspace::root().join(MANIFESTS)).unwrap();
        let expected = with_checksum(&chart().unwrap(), body(&there));
        assert!(
            there == expected,
            "{CHART} or {MANIFESTS} was changed alone: run `cargo xtask deploy`"
        );
    }

    #[test]
    fn a_change_of_either_is_noticed() {
        let written = manifests(b"chart", "a: 1\n");
        assert_eq!(with_checksum(b"chart", body(&written)), written);
        assert_ne!(with_checksum(b"another chart", body(&written)), written);
        let edited = written.replace("a: 1", "a: 2");
        assert_ne!(with_checksum(b"chart", body(&edited)), edited);
    }

    #[test]
    fn what_was_not_installed_by_helm_does_not_say_so() {
        let labels = "    app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: lb-0.1.0\n";
        let written = manifests(b"", &format!("{labels}    app.kubernetes.io/name: lb\n"));
        assert_eq!(body(&written), "    app.kubernetes.io/name: lb\n");
    }
}
