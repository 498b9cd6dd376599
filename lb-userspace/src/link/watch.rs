//! The kernel's view of links, addresses and routes, kept up to date.
//!
//! Any message of the kernel leads to a fresh dump after a short pause: dumps cannot be wrong
//! about what they missed, and hosts change links some times a second at most.

use super::Link;
use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Changes come in bursts: a pod's link is made, moved, addressed and set up.
const PAUSE: Duration = Duration::from_millis(20);

/// Reports all links now and after every change, until the receiver is gone.
///
/// # Errors
/// The kernel's socket failed.
pub async fn watch(changes: Sender<Vec<Link>>) -> Result<()> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (connection, handle, mut messages) =
        rtnetlink::new_multicast_connection(&groups).context("opening an rtnetlink socket")?;
    let connection = tokio::spawn(connection);
    let mut known = Vec::new();
    loop {
        let links = dump(&handle).await.context("listing links")?;
        if links != known {
            known.clone_from(&links);
            if changes.send(links).await.is_err() {
                break;
            }
        }
        if messages.next().await.is_none() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, messages.next()).await {}
    }
    connection.abort();
    Ok(())
}

/// All links now.
///
/// # Errors
/// The kernel refused a dump.
pub async fn dump(handle: &Handle) -> Result<Vec<Link>> {
    let mut links: BTreeMap<u32, Link> = BTreeMap::new();
    let mut found = handle.link().get().execute();
    while let Some(message) = found.try_next().await? {
        links.insert(message.header.index, link(&message));
    }
    let mut found = handle.address().get().execute();
    while let Some(message) = found.try_next().await? {
        let addr = address(&message.attributes);
        if let (Some(link), Some(addr)) = (links.get_mut(&message.header.index), addr) {
            link.addrs.push((addr, message.header.prefix_len));
        }
    }
    for index in default_routes(handle).await? {
        if let Some(link) = links.get_mut(&index) {
            link.default_route = true;
        }
    }
    Ok(links.into_values().collect())
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        loopback: flags.contains(LinkFlags::Loopback),
        up: flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            link.name.clone_from(name);
        }
        if let LinkAttribute::Controller(index) = attribute {
            link.controller = Some(*index);
        }
        if let LinkAttribute::LinkInfo(infos) = attribute {
            for info in infos {
                if let LinkInfo::Kind(kind) = info {
                    link.kind = kind.to_string();
                }
            }
        }
    }
    link
}

/// The link's own address: `IFA_LOCAL`, which differs from `IFA_ADDRESS` on point-to-point links.
fn address(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let mut address = None;
    for attribute in attributes {
        if let AddressAttribute::Local(ip) = attribute {
            return Some(*ip);
        }
        if let AddressAttribute::Address(ip) = attribute {
            address = Some(*ip);
        }
    }
    address
}

/// Links by which a default route leaves.
async fn default_routes(handle: &Handle) -> Result<BTreeSet<u32>> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut links = BTreeSet::new();
    for family in [v4, v6] {
        let mut routes = handle.route().get(family).execute();
        while let Some(route) = routes.try_next().await? {
            links.extend(default_route_links(&route));
        }
    }
    Ok(links)
}

fn default_route_links(route: &RouteMessage) -> Vec<u32> {
    const MAIN: u8 = 254;
    if route.header.destination_prefix_length != 0 || route.header.table != MAIN {
        return Vec::new();
    }
    let mut links = Vec::new();
    for attribute in &route.attributes {
        if let RouteAttribute::Oif(index) = attribute {
            links.push(*index);
        }
        if let RouteAttribute::MultiPath(hops) = attribute {
            links.extend(hops.iter().map(|hop| hop.interface_index));
        }
    }
    links
}
