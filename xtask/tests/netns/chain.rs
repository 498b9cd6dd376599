//! Routers in a row, with the node in the middle, so that paths have hops and MTUs.
//!
//! ```text
//!  client ─0─ access ─1─ edge ─2─ node ─3─ hop ─4─ exit ─5─ far
//!                                  └ br0 ┬ kubia-1
//!                                        └ shell
//! ```
//! Link N is 198.18.N.0/24 and 2001:db8:N::/64; its left end is 1, its right end 2. A host calls
//! its links `left` and `right`; a second link between `edge` and the node is added on demand.

use crate::deployment::Deployment;
use crate::patience::eventually;
use std::array;
use std::net::{IpAddr, SocketAddr};
use xtask::lab::kubia::{self, BULK, POD_CIDRS, SERVICE_CIDRS, UDP, serve_pod};
use xtask::lab::traffic::connect::Options;
use xtask::lab::traffic::serve;
use xtask::lab::{End, Host, Lab, Process};

/// The Services `far` and `near`.
const SERVICES: &str = include_str!("manifests/chain.yaml");

const HOSTS: [&str; 7] = ["client", "access", "edge", "node", "hop", "exit", "far"];
const LINKS: usize = HOSTS.len() - 1;
const NODE: usize = 3;

/// Addresses of the Service whose endpoint is `far`.
pub(crate) const FAR: [&str; 2] = ["10.96.0.70", "fd00:10:96::70"];
/// Addresses of the Service whose endpoint is the pod.
pub(crate) const NEAR: [&str; 2] = ["10.96.0.71", "fd00:10:96::71"];

/// The node's addresses towards the client.
pub(crate) const NODE_LEFT: [&str; 2] = ["198.18.2.2", "2001:db8:2::2"];
/// The node's addresses towards `far`.
pub(crate) const NODE_RIGHT: [&str; 2] = ["198.18.3.1", "2001:db8:3::1"];
/// The node's addresses on the link that [`Chain::add_uplink`] adds.
pub(crate) const NODE_SECOND: [&str; 2] = ["198.18.6.2", "2001:db8:6::2"];

/// The node's port that leads to `far`'s echo of datagrams.
pub(crate) const FAR_UDP: u16 = 30753;

/// The row, its servers, and the agent on its node. Dropped in this order.
pub(crate) struct Chain {
    _agent: Deployment,
    _servers: [Process; 2],
    pub(crate) shell: Host,
    pub(crate) pod: Host,
    hosts: [Host; HOSTS.len()],
    lab: Lab,
}

impl Chain {
    /// Builds it, with these links narrowed to 1280 bytes.
    pub(crate) fn new(narrow: &[usize]) -> Self {
        Self::with(narrow, &[])
    }

    /// The same with further flags of the agent.
    pub(crate) fn with(narrow: &[usize], flags: &[&str]) -> Self {
        let lab = Lab::new().unwrap();
        let hosts = HOSTS.map(|name| lab.host(name).unwrap());
        for link in 0..LINKS {
            connect(&lab, &hosts, link, narrow.contains(&link));
        }
        let node = &hosts[NODE];
        let [pod, shell] = [("kubia-1", 11), ("shell", 20)]
            .map(|(name, number)| kubia::pod(&lab, node, name, number).unwrap());
        kubia::bridge(node, &["kubia-1", "shell"]).unwrap();
        for (place, host) in hosts.iter().enumerate() {
            settle(host, place);
        }
        let far = serve::Options::new("far").udp(UDP).bulk(BULK);
        let servers = [hosts[LINKS].serve(&far).unwrap(), serve_pod(&pod).unwrap()];
        let mut agent = Deployment::new(node);
        agent.write("chain.yaml", SERVICES);
        agent.start_with(flags);
        Self { _agent: agent, _servers: servers, shell, pod, hosts, lab }
    }

    /// Adds link 6 beside link 2, between `edge` and the node. The node's way to the client is
    /// still the old one.
    pub(crate) fn add_uplink(&self) {
        let [edge, node] = [(&self.hosts[NODE - 1], 1), (self.node(), 2)].map(|(host, number)| {
            let [v4, v6] = ends(6, number);
            End::new(host, "second").address(&format!("{v4}/24")).address(&format!("{v6}/64"))
        });
        self.lab.veth(edge, node).unwrap();
        for (place, host) in self.hosts[..NODE - 1].iter().enumerate() {
            let [v4, v6] = ends(place, 2).map(|ip| ip.to_string());
            host.route("198.18.6.0/24", &v4).unwrap();
            host.route("2001:db8:6::/64", &v6).unwrap();
        }
        for to in at(NODE_SECOND, FAR_UDP) {
            let options = Options { udp: true, timeout_ms: 200, ..Options::to(to) };
            eventually(&format!("{to} is the node's"), || {
                !self.client().connect(&options).unwrap().errors.contains_key("connection refused")
            });
        }
    }

    /// Makes the node's own way to the client a dead end, with a spare one by link 6: only what
    /// is sent by that link on purpose arrives. IPv4 alone: the kernel's IPv6 takes the better
    /// route even where it was told the link.
    pub(crate) fn lose_way_to_client(&self) {
        self.node().route("198.18.0.0/24", "198.18.2.99").unwrap();
        self.node().spare_route("198.18.0.0/24", "198.18.6.1", 2000).unwrap();
    }

    /// The outsider at the left end.
    pub(crate) fn client(&self) -> &Host {
        &self.hosts[0]
    }

    /// The node.
    pub(crate) fn node(&self) -> &Host {
        &self.hosts[NODE]
    }

    /// The endpoint at the right end.
    pub(crate) fn far(&self) -> &Host {
        &self.hosts[LINKS]
    }
}

/// The addresses of a link's end: 1 is the left one, 2 the right one.
pub(crate) fn ends(link: usize, end: u8) -> [IpAddr; 2] {
    [format!("198.18.{link}.{end}"), format!("2001:db8:{link}::{end}")]
        .map(|ip| ip.parse().unwrap())
}

/// A port of two addresses.
pub(crate) fn at(addresses: [&str; 2], port: u16) -> [SocketAddr; 2] {
    addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
}

fn connect(lab: &Lab, hosts: &[Host], link: usize, narrow: bool) {
    let end = |host, name, number| {
        let [v4, v6] = ends(link, number);
        let end = End::new(host, name).mtu(if narrow { 1280 } else { 1500 });
        end.address(&format!("{v4}/24")).address(&format!("{v6}/64"))
    };
    lab.veth(end(&hosts[link], "right", 1), end(&hosts[link + 1], "left", 2)).unwrap();
}

/// Lets a host pass packets on towards both ends of the row, the pods and the Services.
fn settle(host: &Host, place: usize) {
    host.forward().unwrap();
    // Each error is wanted, not only the first ones of a second.
    host.sysctl("net.ipv4.icmp_ratelimit", "0").unwrap();
    host.sysctl("net.ipv6.icmp.ratelimit", "0").unwrap();
    host.sysctl("net.ipv4.tcp_mtu_probing", "0").unwrap();
    let families: [usize; 2] = array::from_fn(|family| family);
    for family in families {
        let left = |to: &str| host.route(to, &ends(place - 1, 1)[family].to_string()).unwrap();
        let right = |to: &str| host.route(to, &ends(place, 2)[family].to_string()).unwrap();
        for link in 0..LINKS {
            let to = [format!("198.18.{link}.0/24"), format!("2001:db8:{link}::/64")];
            if link + 1 < place {
                left(&to[family]);
            } else if link > place {
                right(&to[family]);
            }
        }
        for to in [POD_CIDRS[family], SERVICE_CIDRS[family]] {
            if place < NODE {
                right(to);
            } else if place > NODE {
                left(to);
            }
        }
    }
}
