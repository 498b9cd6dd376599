//! A node in a network namespace of its own: an uplink to everywhere, a link to its pods.
//!
//! It gives `bpf_fib_lookup` routes, and sockets addresses. Nobody is at the other ends: what is
//! sent there is lost. All of it goes with the thread that made it, and nothing outside is touched.

use super::scenario::Node;
use anyhow::{Context as _, Result};
use ipnet::IpNet;
use lb_common::layout::node::LinkValue;
use lb_common::wire::Addr;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::runtime::Runtime;

/// The next hop to everywhere.
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0x6c, 0x62ff, 0xfe00, 1)),
];
/// Its hardware address. No link has it, so what is sent to it is lost.
const GATEWAY_MAC: [u8; 6] = [0x02, 0x6c, 0x62, 0, 0, 1];

/// The node's links.
pub(super) struct Network {
    runtime: Runtime,
    handle: Handle,
    uplink: Link,
    pods: Link,
    /// The addresses that the uplink has, in their order.
    addrs: Vec<IpAddr>,
    /// The uplink leads to everywhere.
    leads_out: bool,
    /// The addresses that are routed to pods.
    pod_addrs: BTreeSet<IpAddr>,
}

/// A link of the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) mac: [u8; 6],
}

impl Network {
    /// Puts the calling thread into a namespace of its own, with both links.
    ///
    /// # Errors
    /// No rights, or the kernel has no veth.
    pub(super) fn enter() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, uplink, pods) = runtime.block_on(build()).context("building a network")?;
        Ok(Self {
            runtime,
            handle,
            uplink,
            pods,
            addrs: Vec::new(),
            leads_out: false,
            pod_addrs: BTreeSet::new(),
        })
    }

    /// Where other hosts are.
    pub(super) fn uplink(&self) -> Link {
        self.uplink
    }

    /// Where the node's pods are.
    pub(super) fn pods(&self) -> Link {
        self.pods
    }

    /// Runs what waits for the network.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// What drives servers in the namespace, while [`Network::block_on`] runs.
    pub(super) fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// What `LINKS` has to say: index 0 stands for the node.
    pub(super) fn links(&self, node: &Node) -> BTreeMap<u32, LinkValue> {
        let first = |v4| node.primary_ips.iter().find(|ip: &&IpAddr| ip.is_ipv4() == v4);
        let primary = |v4| first(v4).map_or(Addr::ANY, |ip| Addr::from(*ip));
        let nothing: LinkValue = bytemuck::Zeroable::zeroed();
        let own =
            LinkValue { masquerade_v4: primary(true), masquerade_v6: primary(false), ..nothing };
        BTreeMap::from([
            (0, own),
            (self.uplink.index, LinkValue { kind: LinkValue::UPLINK, ..own }),
            (self.pods.index, LinkValue { kind: LinkValue::POD, ..nothing }),
        ])
    }

    /// Gives the node its addresses, primary ones first: the kernel prefers them as sources.
    ///
    /// # Errors
    /// The kernel refused one. What it took is remembered all the same.
    pub(super) fn set_addrs(&mut self, node: &Node) -> Result<()> {
        let mut wanted: Vec<IpAddr> = Vec::new();
        for ip in node.primary_ips.iter().chain(&node.ips) {
            if !ip.is_loopback() && !wanted.contains(ip) {
                wanted.push(*ip);
            }
        }
        if wanted == self.addrs && self.leads_out {
            return Ok(());
        }
        self.leads_out = false;
        let Self { runtime, handle, uplink, addrs, leads_out, .. } = self;
        runtime.block_on(async {
            while let Some(ip) = addrs.pop() {
                forget_addr(handle, uplink.index, ip).await?;
            }
            for ip in wanted {
                add_addr(handle, uplink.index, ip).await?;
                addrs.push(ip);
            }
            // An uplink that lost its last address lost its routes and neighbours, too.
            lead_out(handle, uplink.index).await?;
            *leads_out = true;
            Ok(())
        })
    }

    /// Routes these addresses to pods, and no others.
    ///
    /// # Errors
    /// The kernel refused a route. What it took is remembered all the same.
    pub(super) fn set_pods(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<()> {
        let Self { runtime, handle, pods, pod_addrs, .. } = self;
        let gone: Vec<IpAddr> = pod_addrs.difference(wanted).copied().collect();
        let new: Vec<IpAddr> = wanted.difference(pod_addrs).copied().collect();
        runtime.block_on(async {
            for ip in gone {
                pod_addrs.remove(&ip);
                let route = host_route(ip, pods.index)?;
                handle.route().del(route).execute().await.context("removing the route to a pod")?;
            }
            for ip in new {
                let route = handle.route().add(host_route(ip, pods.index)?).replace();
                route.execute().await.with_context(|| format!("routing {ip} to a pod"))?;
                pod_addrs.insert(ip);
            }
            Ok(())
        })
    }
}

async fn build() -> Result<(Handle, Link, Link)> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    for knob in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        // The files are those of the namespace of whoever opens them.
        let path = format!("/proc/sys/net/{knob}");
        fs::write(&path, "1").with_context(|| format!("writing {path}"))?;
    }
    raise(&handle, "lo").await?;
    for (name, peer) in [("uplink", "wire"), ("pods", "pod")] {
        handle.link().add(LinkVeth::new(name, peer).build()).execute().await?;
        raise(&handle, name).await?;
        raise(&handle, peer).await?;
    }
    Ok((handle, link("uplink")?, link("pods")?))
}

async fn raise(handle: &Handle, name: &str) -> Result<()> {
    let up = LinkUnspec::new_with_index(if_nametoindex(name)?).up().build();
    handle.link().set(up).execute().await.with_context(|| format!("raising link {name}"))
}

fn link(name: &str) -> Result<Link> {
    let mac = nix::ifaddrs::getifaddrs()?
        .filter(|link| link.interface_name == name)
        .find_map(|link| link.address?.as_link_addr()?.addr());
    let mac = mac.with_context(|| format!("link {name} has no hardware address"))?;
    Ok(Link { index: if_nametoindex(name)?, mac })
}

async fn add_addr(handle: &Handle, index: u32, ip: IpAddr) -> Result<()> {
    let mut request = handle.address().add(index, ip, IpNet::from(ip).prefix_len());
    if ip.is_ipv6() {
        // Nobody else is on the wire: without this the address rests for a second.
        let flags = AddressAttribute::Flags(AddressFlags::Nodad);
        request.message_mut().attributes.push(flags);
    }
    request.execute().await.with_context(|| format!("giving the node the address {ip}"))
}

async fn forget_addr(handle: &Handle, index: u32, ip: IpAddr) -> Result<()> {
    let mut message =
        handle.address().add(index, ip, IpNet::from(ip).prefix_len()).message_mut().clone();
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    let request = handle.address().del(message);
    request.execute().await.with_context(|| format!("taking the address {ip} from the node"))
}

/// Default routes by gateways whose hardware address is known.
async fn lead_out(handle: &Handle, index: u32) -> Result<()> {
    for gateway in GATEWAYS {
        // The kernel takes only a neighbour on the link as another route's gateway.
        let to_gateway = handle.route().add(host_route(gateway, index)?).replace();
        to_gateway.execute().await.context("routing to the gateway")?;
        let default = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(unspecified(gateway), 0)?
            .gateway(gateway)?
            .output_interface(index)
            .build();
        handle.route().add(default).replace().execute().await.context("routing by the gateway")?;
        let neighbour = handle.neighbours().add(index, gateway).link_layer_address(&GATEWAY_MAC);
        neighbour.replace().execute().await.context("making the gateway a neighbour")?;
    }
    Ok(())
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn host_route(ip: IpAddr, index: u32) -> Result<rtnetlink::packet_route::route::RouteMessage> {
    let route = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(ip, IpNet::from(ip).prefix_len())?
        .scope(RouteScope::Link)
        .output_interface(index);
    Ok(route.build())
}
