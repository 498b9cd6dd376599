//! The rules of this node, as the tools of netfilter print them.

use super::{Leads, iptables, nftables};
use crate::compile::Family;
use anyhow::{Context as _, Result, bail};
use std::process::Command;

/// The mode in which kube-proxy runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// `nft` lists its table.
    Nftables,
    /// `iptables-save` lists its chains.
    Iptables,
}

impl Proxy {
    /// What is programmed, by whatever mode has programmed something; `None`: none has.
    ///
    /// # Errors
    /// A tool printed what cannot be read, or neither tool can be run.
    pub fn leads() -> Result<Option<(Self, Leads)>> {
        let (nft, iptables) = (by_nft(), by_iptables());
        match (nft, iptables) {
            (Ok(Some(leads)), _) => Ok(Some((Self::Nftables, leads))),
            (_, Ok(Some(leads))) => Ok(Some((Self::Iptables, leads))),
            (Err(nft), Err(iptables)) => bail!("{nft:#}; {iptables:#}"),
            (Err(error), Ok(None)) | (Ok(None), Err(error)) => {
                tracing::debug!("{error:#}");
                Ok(None)
            }
            (Ok(None), Ok(None)) => Ok(None),
        }
    }

    /// Its name in kube-proxy's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

fn by_nft() -> Result<Option<Leads>> {
    let mut all = None;
    for (name, family) in [("ip", Family::V4), ("ip6", Family::V6)] {
        // It fails where there is no such table.
        if let Some(json) = output("nft", &["-j", "list", "table", name, "kube-proxy"])? {
            all.get_or_insert_with(Leads::new).extend(nftables::read(&json, family)?);
        }
    }
    Ok(all)
}

fn by_iptables() -> Result<Option<Leads>> {
    let mut all = None;
    for (program, family) in [("iptables-save", Family::V4), ("ip6tables-save", Family::V6)] {
        let rules = output(program, &[])?.filter(|rules| rules.contains("-A KUBE-SERVICES "));
        if let Some(rules) = rules {
            all.get_or_insert_with(Leads::new).extend(iptables::read(&rules, family));
        }
    }
    Ok(all)
}

/// What a program prints; `None`: it failed.
fn output(program: &str, arguments: &[&str]) -> Result<Option<String>> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("running {program} (is it installed?)"))?;
    if !output.status.success() {
        return Ok(None);
    }
    String::from_utf8(output.stdout)
        .map(Some)
        .with_context(|| format!("reading what {program} prints"))
}
