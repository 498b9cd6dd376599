//! Where a packet comes in: the link towards its sender, or the socket of a process.

use crate::bpf::loader;
use crate::bpf::private::Hook;
use crate::cli::lbctl::resource::links::{LinkKind, LinkView, links};
use crate::cli::lbctl::source::Source;
use crate::link::route::{Way, way};
use anyhow::{Result, bail, ensure};
use ipnet::IpNet;
use lb_common::wire::Addr;
use nix::net::if_::{if_indextoname, if_nametoindex};
use serde::Serialize;
use std::net::{IpAddr, Ipv6Addr};

/// Where a packet comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(super) enum Entry {
    /// A link.
    Link {
        /// The link.
        #[serde(flatten)]
        link: Door,
        /// Why this one.
        chosen: Chosen,
    },
    /// The socket of a process of this node.
    Process {
        /// The socket programs are attached.
        served: bool,
    },
}

/// A link with programs, or without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Door {
    /// Its index.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// What is behind it.
    pub(super) kind: LinkKind,
    /// The TC programs are attached.
    pub(super) tc: bool,
    /// The XDP program is.
    pub(super) xdp: bool,
}

/// Why a link was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Chosen {
    /// It was named.
    Named,
    /// The route to the sender leaves by it.
    Route,
    /// The sender is a pod, and the route leaves by a link that joins those of pods.
    AnyPod,
    /// No route leads to the sender by a link that is served.
    AnyUplink,
}

impl Entry {
    /// Where packets from `from` come in.
    pub(super) fn find(source: &Source<'_>, from: IpAddr, named: Option<&str>) -> Result<Self> {
        let doors = Doors::of(source);
        let way = if named.is_none() { way(from)? } else { Way::None };
        if way == Way::Own {
            return Ok(Self::Process { served: is_served(source, from) });
        }
        let (link, chosen) = match named {
            Some(name) => (doors.named(name)?, Chosen::Named),
            None => doors.towards(from, way).map_or_else(|| doors.uplink(from), Ok)?,
        };
        link.check()?;
        Ok(Self::Link { link, chosen })
    }

    /// The programs that a packet meets when it comes in, with the link.
    pub(super) fn hooks(&self) -> Vec<(Hook, u32)> {
        let Self::Link { link, .. } = self else { return Vec::new() };
        let hooks = [(link.xdp, Hook::Xdp), (link.tc, Hook::TcIngress)];
        hooks.into_iter().filter(|(on, _)| *on).map(|(_, hook)| (hook, link.index)).collect()
    }
}

/// Whether the programs that see `connect(2)` are attached.
fn is_served(source: &Source<'_>, from: IpAddr) -> bool {
    let [v4, v6] = loader::CONNECT;
    let program = if from.is_ipv4() { v4 } else { v6 };
    source.place.attachments().iter().any(|pin| pin == program)
}

/// The links of the node, as its maps have them.
pub(super) struct Doors {
    doors: Vec<Door>,
    pods: Vec<IpNet>,
}

impl Doors {
    pub(super) fn of(source: &Source<'_>) -> Self {
        let views = links(&source.tables.links, &[]);
        Self {
            doors: views.into_iter().filter(|view| view.index != 0).map(Door::from).collect(),
            pods: source.tables.cidrs.keys().filter_map(range).collect(),
        }
    }

    /// The link that is served and leads to an address, the node's route to it being `way`.
    pub(super) fn towards(&self, to: IpAddr, way: Way) -> Option<(Door, Chosen)> {
        let Way::Link(index) = way else { return None };
        let by_route = self.served().find(|door| door.index == index);
        if let Some(door) = by_route {
            return Some((door.clone(), Chosen::Route));
        }
        let is_pod = self.pods.iter().any(|range| range.contains(&to));
        let pod = self.served().find(|door| is_pod && door.kind == LinkKind::Pod);
        pod.map(|door| (door.clone(), Chosen::AnyPod))
    }

    fn uplink(&self, from: IpAddr) -> Result<(Door, Chosen)> {
        match self.served().find(|door| door.kind == LinkKind::Uplink) {
            Some(door) => Ok((door.clone(), Chosen::AnyUplink)),
            None => bail!(
                "no route to {from} leaves by a link that is served, and there is no uplink: name \
                 the link with --in-link"
            ),
        }
    }

    fn named(&self, name: &str) -> Result<Door> {
        if let Some(door) = self.doors.iter().find(|door| door.name == name) {
            return Ok(door.clone());
        }
        match if_nametoindex(name) {
            Ok(index) => Ok(Door {
                index,
                name: name.to_owned(),
                kind: LinkKind::None,
                tc: false,
                xdp: false,
            }),
            Err(_) => {
                bail!("there is no link {name:?} (`lbctl get links` lists those that are served)")
            }
        }
    }

    fn served(&self) -> impl Iterator<Item = &Door> {
        self.doors.iter().filter(|door| door.kind != LinkKind::None)
    }
}

impl From<LinkView> for Door {
    fn from(view: LinkView) -> Self {
        Self {
            index: view.index,
            name: view.name.unwrap_or_else(|| view.index.to_string()),
            kind: view.kind,
            tc: view.tc.is_some(),
            xdp: view.xdp.is_some(),
        }
    }
}

impl Door {
    /// Indexes mean something in the agent's network namespace only.
    fn check(&self) -> Result<()> {
        let name = if_indextoname(self.index).ok();
        let here = name.as_deref().and_then(|name| name.to_str().ok());
        ensure!(
            here == Some(&self.name),
            "link {} is not {} here: run lbctl in the node's network namespace (nsenter --net)",
            self.index,
            self.name
        );
        Ok(())
    }
}

/// Bits before the IPv4 address in an IPv4-mapped one.
const MAPPED: u8 = 96;

/// A range as `CLUSTER_CIDRS` has it.
fn range((addr, prefix_len): &([u8; 16], u32)) -> Option<IpNet> {
    let ip = Addr(*addr).to_ip();
    let prefix_len = u8::try_from(*prefix_len).ok()?;
    let (ip, prefix_len) = if ip.is_ipv4() && prefix_len >= MAPPED {
        (ip, prefix_len - MAPPED)
    } else {
        (Ipv6Addr::from(*addr).into(), prefix_len)
    };
    IpNet::new(ip, prefix_len).ok()
}
