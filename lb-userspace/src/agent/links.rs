//! The node's links as the agent serves them: which carry clients, what the programs are told of
//! each, and where programs are attached.
//!
//! `link` says what a link is; here is what was done about it. Failures are handed back: one link
//! that cannot be served keeps no other from being served.

use crate::bpf::datapath::Datapath;
use crate::compile::node::NodePorts;
use crate::compile::{Family, NodeView, Prefix};
use crate::config::{RunArgs, Xdp};
use crate::link::{Link, Role, Settings, role};
use crate::model::Node;
use crate::model::status::LinkStatus;
use crate::reconcile::planner::NodeTables;
use anyhow::{Context as _, Result};
use ipnet::IpNet;
use lb_common::layout::node::XdpState;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// The links, and what is attached to them.
pub(super) struct Links {
    settings: Settings,
    node_ports: NodePorts,
    /// XDP may run in the generic hook.
    generic_too: bool,
    known: Option<Vec<Link>>,
    /// Links with our programs, by index.
    attached: BTreeMap<u32, Attached>,
}

/// A link with our programs.
struct Attached {
    name: String,
    role: Role,
    /// How the TC programs are attached, as in `LINKS`.
    tc: u8,
    /// Whether XDP is.
    xdp: XdpState,
}

impl Links {
    /// No link is known yet.
    pub(super) fn new(args: &RunArgs) -> Result<Self> {
        Ok(Self {
            settings: Settings {
                devices: args.device_set().context("reading --devices")?,
                cluster_cidrs: args.cluster_cidr.clone(),
                xdp: args.xdp.into(),
            },
            node_ports: args.node_ports()?,
            generic_too: args.xdp == Xdp::On,
            known: None,
            attached: BTreeMap::new(),
        })
    }

    /// The node's links are these now.
    pub(super) fn set(&mut self, links: Vec<Link>) {
        self.known = Some(links);
    }

    /// Whether they were ever told.
    pub(super) fn are_known(&self) -> bool {
        self.known.is_some()
    }

    /// Lets every link be served anew.
    pub(super) fn forget_attached(&mut self) {
        self.attached.clear();
    }

    /// The node's addresses.
    pub(super) fn addrs(&self) -> BTreeSet<IpAddr> {
        let addrs = self.known.iter().flatten().flat_map(|link| &link.addrs).map(|(ip, _)| *ip);
        addrs.chain([IpAddr::V4(Ipv4Addr::LOCALHOST)]).collect()
    }

    /// The links by which routes lead to pods, and to nobody else: those of pods, and bridges that
    /// join only such.
    pub(super) fn of_pods(&self) -> BTreeSet<u32> {
        let is_pods = |link: &&Link| role::role(link, &self.settings) == Role::Pod;
        let links = self.known.as_deref().unwrap_or_default();
        let (pods, others): (Vec<&Link>, Vec<&Link>) = links.iter().partition(is_pods);
        let mixed: BTreeSet<u32> = others.iter().filter_map(|link| link.controller).collect();
        let bridges = pods.iter().filter_map(|link| link.controller);
        let bridges = bridges.filter(|bridge| !mixed.contains(bridge));
        pods.iter().map(|link| link.index).chain(bridges).collect()
    }

    /// Those that stand for the node itself: of its best link.
    pub(super) fn primary(&self) -> Vec<IpAddr> {
        let links = self.known.as_deref().unwrap_or_default();
        let node = role::entries(links, &self.settings).remove(&0);
        let addrs = node.map(|node| [node.masquerade_v4, node.masquerade_v6]);
        let known = |addr: &Addr| *addr != Addr::ANY;
        addrs.into_iter().flatten().filter(known).map(Addr::to_ip).collect()
    }

    /// Those that serve node ports.
    pub(super) fn node_port_addrs(&self) -> BTreeSet<Addr> {
        self.node_ports.addrs(self.addrs().into_iter(), &self.primary())
    }

    /// Where they lie, as the operator wants it.
    pub(super) fn node_port_ranges(&self) -> Vec<IpNet> {
        self.node_ports.within.ranges(&self.primary())
    }

    /// What the programs are told of the node.
    pub(super) fn tables(&self) -> NodeTables {
        let links = self.known.as_deref().unwrap_or_default();
        let mut entries = role::entries(links, &self.settings);
        for (index, Attached { tc, xdp, .. }) in &self.attached {
            entries.entry(*index).and_modify(|entry| (entry.tc, entry.xdp) = (*tc, *xdp));
        }
        NodeTables {
            addrs: self.node_port_addrs(),
            cidrs: self.settings.cluster_cidrs.iter().map(cidr).collect(),
            links: entries,
            answer_ping: false,
        }
    }

    /// The node as the rules see it.
    pub(super) fn view(&self, args: &RunArgs, node: &Node) -> NodeView {
        let can_tell_pods = !args.cluster_cidr.is_empty();
        let serving: BTreeSet<Family> =
            self.node_port_addrs().iter().map(|addr| Family::of(*addr)).collect();
        let unserved = |family: &Family| !serving.contains(family);
        NodeView {
            primary: self.primary(),
            without_node_ports: Family::ALL.into_iter().filter(unserved).collect(),
            masquerade_all: args.masquerade_all,
            name_server: args.dns.name_server(),
            ..NodeView::new(node, args.snat.into(), can_tell_pods)
        }
    }

    /// Attaches the programs to the links that carry clients, and takes them off all others.
    pub(super) fn attach(&mut self, datapath: &mut Datapath) -> Vec<anyhow::Error> {
        let wanted = self.wanted();
        let mut failures = self.detach_others(&wanted, datapath);
        for (link, role) in &wanted {
            let as_it_is =
                |attached: &Attached| attached.name == link.name && attached.role == *role;
            if !self.attached.get(&link.index).is_some_and(as_it_is) {
                failures.extend(self.attach_one(link, *role, datapath).err());
            }
        }
        failures
    }

    /// What the status says of them.
    pub(super) fn status(&self) -> Vec<LinkStatus> {
        self.attached.iter().map(link_status).collect()
    }

    /// The links that carry clients.
    fn wanted(&self) -> Vec<(Link, Role)> {
        let with_role = |link: &Link| (link.clone(), role::role(link, &self.settings));
        let links = self.known.iter().flatten().map(with_role);
        links.filter(|(_, role)| *role != Role::None).collect()
    }

    fn detach_others(
        &mut self,
        wanted: &[(Link, Role)],
        datapath: &mut Datapath,
    ) -> Vec<anyhow::Error> {
        let indexes: Vec<u32> = wanted.iter().map(|(link, _)| link.index).collect();
        let gone: Vec<u32> =
            self.attached.keys().filter(|index| !indexes.contains(index)).copied().collect();
        let mut failures = Vec::new();
        for index in gone {
            let name = self.attached.remove(&index).map(|attached| attached.name);
            if let Some(name) = name.filter(|name| exists(name)) {
                failures.extend(datapath.detach(&name, index).err());
            }
        }
        failures.extend(datapath.detach_all_but(&indexes).err());
        failures
    }

    fn attach_one(&mut self, link: &Link, role: Role, datapath: &mut Datapath) -> Result<()> {
        let Link { name, index, .. } = link;
        let wanted = role::xdp(link, role, self.settings.xdp);
        let tc = match datapath.attach_tc(name, *index) {
            Ok(tc) => tc,
            // A link that went away meanwhile is reported in a moment; any other failure stays.
            Err(error) if !exists(name) => {
                tracing::debug!(link = %name, "gone: {error:#}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let attached = datapath.attach_xdp(name, *index, wanted, self.generic_too);
        let xdp = *attached.as_ref().unwrap_or(&XdpState::REFUSED);
        tracing::info!(link = %name, ?role, "attached");
        self.attached.insert(*index, Attached { name: name.clone(), role, tc, xdp });
        attached.map(drop)
    }
}

fn link_status((index, attached): (&u32, &Attached)) -> LinkStatus {
    let kind = match attached.role {
        Role::Pod => "pod",
        Role::Uplink => "uplink",
        Role::None => "none",
    };
    LinkStatus {
        index: *index,
        name: attached.name.clone(),
        kind: kind.to_owned(),
        reason: String::new(),
    }
}

fn exists(link: &str) -> bool {
    nix::net::if_::if_nametoindex(link).is_ok()
}

/// A range as `CLUSTER_CIDRS` has it.
fn cidr(net: &IpNet) -> ([u8; 16], u32) {
    let Prefix { len, addr } = (*net).into();
    (addr, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_leads_to_pods_if_it_joins_nobody_else() {
        let mut links = Links::new(&RunArgs::of(&["--manifests", "x"])).unwrap();
        let link = |index, kind: &str, controller| Link {
            index,
            name: format!("link{index}"),
            kind: kind.to_owned(),
            ethernet: true,
            up: true,
            controller,
            ..Link::default()
        };
        let with_uplink = [link(5, "bridge", None), link(6, "veth", Some(5)), link(7, "", Some(5))];
        let joined = [link(1, "bridge", None), link(2, "veth", Some(1)), link(3, "veth", None)];
        links.set([&joined[..], &with_uplink].concat());
        assert_eq!(links.of_pods(), [1, 2, 3, 6].into());
    }
}
