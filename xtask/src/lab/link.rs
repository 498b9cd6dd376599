//! Links, addresses, routes and neighbours through rtnetlink.

use super::netns;
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Numbers the Ethernet addresses of this process.
static NEXT_MAC: AtomicU32 = AtomicU32::new(1);

/// One end of a veth pair before it has addresses.
pub(super) struct Plug<'a> {
    /// The namespace it is made in.
    pub(super) netns: &'a Path,
    /// Its name.
    pub(super) name: &'a str,
    /// Its Ethernet address.
    pub(super) mac: Mac,
    /// Its MTU, or the kernel's default.
    pub(super) mtu: Option<u32>,
}

/// A locally administered Ethernet address that this process has not given before.
pub(super) fn next_mac() -> Mac {
    let [a, b, c, d] = NEXT_MAC.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    [0x02, 0x6c, a, b, c, d]
}

/// Talks to the kernel about the links of a namespace.
pub(super) fn talk<T: Send>(
    netns: &Path,
    work: impl AsyncFnOnce(&Handle) -> Result<T> + Send,
) -> Result<T> {
    netns::within(netns, || {
        super::runtime()?.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().context("opening netlink")?;
            tokio::spawn(connection);
            work(&handle).await
        })
    })
}

/// Creates a veth pair, each end in its namespace, both up.
pub(super) fn veth(one: &Plug<'_>, other: &Plug<'_>) -> Result<()> {
    let file = netns::open(other.netns)?;
    let peer = plug(LinkUnspec::new_with_name(other.name), other).setns_by_fd(file.as_raw_fd());
    let pair = plug(LinkVeth::new(one.name, other.name), one)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
    talk(one.netns, async |handle| Ok(handle.link().add(pair.build()).execute().await?))
        .with_context(|| format!("creating veth pair {} {}", one.name, other.name))?;
    [one, other].into_iter().try_for_each(|end| {
        talk(end.netns, async |handle| set(handle, end.name, LinkMessageBuilder::up).await)
    })
}

fn plug<T>(link: LinkMessageBuilder<T>, end: &Plug<'_>) -> LinkMessageBuilder<T> {
    let link = link.address(end.mac.to_vec());
    match end.mtu {
        Some(mtu) => link.mtu(mtu),
        None => link,
    }
}

/// Creates a bridge that is up. Its own address is fixed: else it would change with its ports.
pub(super) async fn bridge(handle: &Handle, name: &str) -> Result<()> {
    let bridge = LinkBridge::new(name).address(next_mac().to_vec()).up().build();
    handle.link().add(bridge).execute().await.with_context(|| format!("creating bridge {name}"))
}

/// Makes `port` a port of `bridge`.
pub(super) async fn attach(handle: &Handle, bridge: &str, port: &str) -> Result<()> {
    let bridge = index(handle, bridge).await?;
    set(handle, port, |link| link.controller(bridge)).await
}

/// Changes a link.
pub(super) async fn set(
    handle: &Handle,
    name: &str,
    change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
) -> Result<()> {
    let link = change(LinkUnspec::new_with_index(index(handle, name).await?));
    let request = handle.link().set(link.build());
    request.execute().await.with_context(|| format!("changing link {name}"))
}

/// Removes a link, and its peer if it is one of a pair.
pub(super) async fn delete(handle: &Handle, name: &str) -> Result<()> {
    let request = handle.link().del(index(handle, name).await?);
    request.execute().await.with_context(|| format!("removing link {name}"))
}

/// Gives a link an address that is usable at once.
pub(super) async fn address(handle: &Handle, link: &str, address: IpNet) -> Result<()> {
    let index = index(handle, link).await?;
    let mut request = handle.address().add(index, address.addr(), address.prefix_len());
    if address.addr().is_ipv6() {
        // Nobody else is on the wire: without this the address rests for a second.
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    request.execute().await.with_context(|| format!("adding {address} to {link}"))
}

/// Where a route leads.
pub(super) enum Hop<'a> {
    /// To a router.
    Gateway(IpAddr),
    /// Straight onto a link.
    Link(&'a str),
}

/// Adds a route, or replaces it.
pub(super) async fn route(
    handle: &Handle,
    to: IpNet,
    hop: Hop<'_>,
    metric: Option<u32>,
) -> Result<()> {
    let mut message = route_message(handle, to, hop).await?;
    message.attributes.extend(metric.map(RouteAttribute::Priority));
    let request = handle.route().add(message).replace();
    request.execute().await.with_context(|| format!("adding a route to {to}"))
}

async fn route_message(handle: &Handle, to: IpNet, hop: Hop<'_>) -> Result<RouteMessage> {
    let builder =
        RouteMessageBuilder::<IpAddr>::new().destination_prefix(to.network(), to.prefix_len())?;
    let builder = match hop {
        Hop::Gateway(gateway) => builder.gateway(gateway)?,
        Hop::Link(link) => {
            // The kernel takes only a route of this scope as the way to another route's gateway.
            builder.scope(RouteScope::Link).output_interface(index(handle, link).await?)
        }
    };
    Ok(builder.build())
}

/// Adds a permanent neighbour, or replaces it.
pub(super) async fn neighbour(handle: &Handle, link: &str, ip: IpAddr, mac: Mac) -> Result<()> {
    let index = index(handle, link).await?;
    let request = handle.neighbours().add(index, ip).link_layer_address(&mac).replace();
    request.execute().await.with_context(|| format!("adding neighbour {ip} to {link}"))
}

/// A link's number.
pub(super) async fn index(handle: &Handle, name: &str) -> Result<u32> {
    Ok(find(handle, name).await?.header.index)
}

/// A link's Ethernet address.
pub(super) async fn mac(handle: &Handle, name: &str) -> Result<Mac> {
    let attributes = find(handle, name).await?.attributes;
    let address = attributes.into_iter().find_map(|attribute| {
        if let LinkAttribute::Address(bytes) = attribute { Mac::try_from(bytes).ok() } else { None }
    });
    address.with_context(|| format!("link {name} has no Ethernet address"))
}

/// The names of all links.
pub(super) async fn names(handle: &Handle) -> Result<Vec<String>> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let attributes = links.into_iter().flat_map(|link| link.attributes);
    Ok(attributes.filter_map(name).collect())
}

fn name(attribute: LinkAttribute) -> Option<String> {
    if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
}

async fn find(handle: &Handle, name: &str) -> Result<LinkMessage> {
    let request = handle.link().get().match_name(name.to_owned());
    let link = std::pin::pin!(request.execute()).try_next().await;
    link.with_context(|| format!("looking for link {name}"))?
        .with_context(|| format!("there is no link {name}"))
}
