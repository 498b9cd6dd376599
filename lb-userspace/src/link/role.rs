//! What a link is to us: a pod's, an uplink, or nothing; and whether XDP may run on it.

use super::Link;
use globset::GlobSet;
use ipnet::IpNet;
use lb_common::layout::node::{LinkValue, XdpState};
use lb_common::wire::Addr;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What clients are behind a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pods of this node.
    Pod,
    /// Other hosts.
    Uplink,
    /// The link carries no clients of its own; its addresses may still be needed.
    None,
}

/// When XDP runs on uplinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Where it is known to do no harm.
    #[default]
    Auto,
    /// Wherever the driver takes it, else in the generic hook.
    On,
    /// Nowhere.
    Off,
}

/// What the operator said about links.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Names of uplinks; empty: found by themselves.
    pub devices: GlobSet,
    /// Where pods live: an address in here makes a veth a pod's, not an uplink.
    pub cluster_cidrs: Vec<IpNet>,
    /// When XDP runs.
    pub xdp: XdpMode,
}

/// Kinds of links that lead to one other network stack on this machine.
const TO_PODS: [&str; 4] = ["veth", "netkit", "tun", "vxcan"];
/// Kinds that only join other links: what passes is seen at their ports.
const JOINTS: [&str; 3] = ["bridge", "dummy", "ifb"];

/// What a link is to us.
///
/// Named by the operator, or leading out by default, it is an uplink. A link to another stack on
/// this machine is a pod's, unless it has an address of a network of its own, as the uplink of a
/// node that is itself a container has. Hardware, VLANs, tunnels and bonds with an address are
/// uplinks.
pub fn role(link: &Link, settings: &Settings) -> Role {
    if link.loopback || !link.ethernet || JOINTS.contains(&link.kind.as_str()) {
        return Role::None;
    }
    if !settings.devices.is_empty() {
        let to_pod = TO_PODS.contains(&link.kind.as_str());
        return match settings.devices.is_match(&link.name) {
            true => Role::Uplink,
            false if to_pod => Role::Pod,
            false => Role::None,
        };
    }
    if link.default_route {
        return Role::Uplink;
    }
    if TO_PODS.contains(&link.kind.as_str()) {
        return if has_own_network(link, settings) { Role::Uplink } else { Role::Pod };
    }
    if link.addrs.iter().any(|(ip, _)| is_global(ip)) { Role::Uplink } else { Role::None }
}

fn has_own_network(link: &Link, settings: &Settings) -> bool {
    let pods = |ip: &IpAddr| settings.cluster_cidrs.iter().any(|cidr| cidr.contains(ip));
    let single = |ip: &IpAddr, len: u8| len == if ip.is_ipv4() { 32 } else { 128 };
    link.addrs.iter().any(|(ip, len)| is_global(ip) && !single(ip, *len) && !pods(ip))
}

fn is_global(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}

/// Whether XDP should run, before the driver was asked.
pub fn xdp(link: &Link, role: Role, mode: XdpMode) -> XdpState {
    if role != Role::Uplink {
        return XdpState::NOT_AN_UPLINK;
    }
    match mode {
        XdpMode::Off => XdpState::OFF,
        XdpMode::Auto if link.kind == "veth" => XdpState::VETH_CHECKSUMS,
        XdpMode::Auto | XdpMode::On => XdpState::DRIVER,
    }
}

/// The address that stands for clients in packets leaving by a link: its first global one.
fn masquerade(link: &Link, v4: bool) -> Addr {
    let own = link.addrs.iter().map(|(ip, _)| ip).find(|ip| ip.is_ipv4() == v4 && is_global(ip));
    own.map_or(Addr::ANY, |ip| Addr::from(*ip))
}

/// The entries of `LINKS`: every link with an address or a role; index 0 stands for the node, with
/// the addresses of its best link.
pub fn entries(links: &[Link], settings: &Settings) -> BTreeMap<u32, LinkValue> {
    let mut entries = BTreeMap::new();
    let mut node =
        LinkValue { xdp: XdpState::NOT_AN_UPLINK, ..entry(&Link::default(), Role::None, settings) };
    let mut best_first: Vec<&Link> = links.iter().collect();
    best_first.sort_by_key(|link| {
        (!link.default_route, role(link, settings) != Role::Uplink, link.index)
    });
    for link in best_first {
        let value = entry(link, role(link, settings), settings);
        if node.masquerade_v4 == Addr::ANY {
            node.masquerade_v4 = value.masquerade_v4;
        }
        if node.masquerade_v6 == Addr::ANY {
            node.masquerade_v6 = value.masquerade_v6;
        }
        if value.kind != 0 || value.masquerade_v4 != Addr::ANY || value.masquerade_v6 != Addr::ANY {
            entries.insert(link.index, value);
        }
    }
    entries.insert(0, node);
    entries
}

fn name(link: &Link) -> [u8; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().zip(link.name.bytes()) {
        *to = from;
    }
    name
}

fn entry(link: &Link, role: Role, settings: &Settings) -> LinkValue {
    LinkValue {
        masquerade_v4: masquerade(link, true),
        masquerade_v6: masquerade(link, false),
        kind: match role {
            Role::Pod => LinkValue::POD,
            Role::Uplink => LinkValue::UPLINK,
            Role::None => 0,
        },
        tc: 0,
        xdp: xdp(link, role, settings.xdp),
        zero: [0; 5],
        name: name(link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use globset::{Glob, GlobSetBuilder};

    fn link(kind: &str, addrs: &[&str]) -> Link {
        let parse = |text: &&str| {
            let net: IpNet = text.parse().unwrap();
            (net.addr(), net.prefix_len())
        };
        let addrs = addrs.iter().map(parse).collect();
        Link {
            index: 7,
            name: "x0".into(),
            kind: kind.into(),
            ethernet: true,
            addrs,
            ..Link::default()
        }
    }

    fn settings() -> Settings {
        Settings { cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()], ..Settings::default() }
    }

    fn check(link: &Link, expected: Role) {
        assert_eq!(role(link, &settings()), expected, "{link:?}");
    }

    #[test]
    fn hardware_with_an_address_is_an_uplink() {
        check(&link("", &["192.0.2.2/24"]), Role::Uplink);
        check(&link("", &[]), Role::None);
        check(&link("", &["fe80::1/64"]), Role::None);
    }

    #[test]
    fn veth_without_an_address_is_a_pods() {
        check(&link("veth", &[]), Role::Pod);
        check(&link("veth", &["fe80::1/64"]), Role::Pod);
    }

    #[test]
    fn veth_with_the_pods_gateway_address_is_a_pods() {
        check(&link("veth", &["10.244.1.1/32"]), Role::Pod);
        check(&link("veth", &["10.244.1.1/24"]), Role::Pod);
        check(&link("veth", &["169.254.1.1/32"]), Role::Pod);
    }

    #[test]
    fn veth_with_an_address_of_another_network_is_an_uplink() {
        check(&link("veth", &["192.0.2.2/24"]), Role::Uplink);
    }

    #[test]
    fn bridge_loopback_and_links_without_ethernet_are_nothing() {
        check(&link("bridge", &["10.244.0.1/24"]), Role::None);
        check(&Link { loopback: true, ..link("", &["192.0.2.2/24"]) }, Role::None);
        check(&Link { ethernet: false, ..link("wireguard", &["192.0.2.2/24"]) }, Role::None);
    }

    #[test]
    fn tunnel_with_an_address_is_an_uplink() {
        check(&link("vxlan", &["10.244.0.0/32"]), Role::Uplink);
    }

    #[test]
    fn named_devices_are_the_only_uplinks() {
        let devices = GlobSetBuilder::new().add(Glob::new("eth*").unwrap()).build().unwrap();
        let settings = Settings { devices, ..settings() };
        let named = Link { name: "eth1".into(), ..link("veth", &[]) };
        assert_eq!(role(&named, &settings), Role::Uplink);
        assert_eq!(role(&link("", &["192.0.2.2/24"]), &settings), Role::None);
        assert_eq!(role(&link("veth", &["192.0.2.2/24"]), &settings), Role::Pod);
    }

    #[test]
    fn xdp_is_off_on_veth_unless_asked_for() {
        let veth = link("veth", &["192.0.2.2/24"]);
        assert_eq!(xdp(&veth, Role::Uplink, XdpMode::Auto), XdpState::VETH_CHECKSUMS);
        assert_eq!(xdp(&veth, Role::Uplink, XdpMode::On), XdpState::DRIVER);
        assert_eq!(xdp(&link("", &[]), Role::Uplink, XdpMode::Auto), XdpState::DRIVER);
        assert_eq!(xdp(&link("", &[]), Role::Uplink, XdpMode::Off), XdpState::OFF);
        assert_eq!(xdp(&veth, Role::Pod, XdpMode::On), XdpState::NOT_AN_UPLINK);
    }

    #[test]
    fn the_nodes_addresses_are_those_of_the_default_route() {
        let a = Link { index: 2, ..link("", &["192.0.2.2/24"]) };
        let b = Link { index: 3, default_route: true, ..link("", &["198.51.100.2/24"]) };
        let c = Link { index: 4, ..link("bridge", &["fd00::1/64"]) };
        let entries = entries(&[a, b, c], &settings());
        let text = |index: u32| {
            let LinkValue { masquerade_v4, masquerade_v6, kind, .. } = entries[&index];
            format!("{masquerade_v4} {masquerade_v6} {kind}")
        };
        assert_eq!(text(0), "198.51.100.2 fd00::1 0");
        assert_eq!(text(2), "192.0.2.2 :: 2");
        assert_eq!(text(4), ":: fd00::1 0");
    }
}
