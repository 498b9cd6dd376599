//! Links with neighbours, in the network namespace of the test: what `bpf_fib_lookup` needs.

use crate::case::{neighbour_mac, node_addr, on_uplink, pod_addr};
use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::LinkAddr;
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use std::fs;
use std::net::IpAddr;

/// A link that is up. It dies with the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

/// Makes this node a router with one uplink; the loopback link counts as a link like others.
pub(crate) fn uplink() -> Link {
    build(|handle| async move {
        let uplink = link(&handle, "uplink", "wire").await?;
        outside(&handle, uplink).await?;
        Ok(uplink)
    })
}

/// The same, and a link with pods behind it: uplink, pods.
pub(crate) fn uplink_and_pods() -> [Link; 2] {
    build(|handle| async move {
        let uplink = link(&handle, "uplink", "wire").await?;
        outside(&handle, uplink).await?;
        let pods = link(&handle, "pods", "cable").await?;
        inside(&handle, pods).await?;
        Ok([uplink, pods])
    })
}

/// Makes a link smaller.
pub(crate) fn set_mtu(link: Link, mtu: u32) {
    build(|handle| async move {
        let change = LinkUnspec::new_with_index(link.index).mtu(mtu).build();
        handle.link().set(change).execute().await.context("setting an MTU")
    });
}

fn build<T, F: Future<Output = Result<T>>>(work: impl FnOnce(Handle) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let built = runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        work(handle).await
    });
    built.expect("building the network of a test")
}

/// A link and its far end, both up; and the loopback link.
async fn link(handle: &Handle, name: &str, far: &str) -> Result<Link> {
    handle.link().add(LinkVeth::new(name, far).build()).execute().await?;
    for name in ["lo", name, far] {
        let up = LinkUnspec::new_with_index(if_nametoindex(name)?).up().build();
        handle.link().set(up).execute().await.with_context(|| format!("raising {name}"))?;
    }
    forward()?;
    Ok(Link { index: if_nametoindex(name)?, mac: mac(name)? })
}

/// The first hosts on the uplink are known, the others are not.
async fn outside(handle: &Handle, uplink: Link) -> Result<()> {
    for (v6, prefix_len) in [(false, 24), (true, 64)] {
        handle.address().add(uplink.index, node_addr(v6), prefix_len).execute().await?;
        neighbours(handle, uplink, (1..10).map(|n| on_uplink(v6, n))).await?;
    }
    Ok(())
}

/// Backends and pods that scenes use are known.
async fn inside(handle: &Handle, pods: Link) -> Result<()> {
    for (v6, prefix_len) in [(false, 24), (true, 64)] {
        handle.address().add(pods.index, pod_addr(v6, 254), prefix_len).execute().await?;
        let known = (10..15).chain(101..105);
        neighbours(handle, pods, known.map(|host| pod_addr(v6, host))).await?;
    }
    Ok(())
}

async fn neighbours(
    handle: &Handle,
    link: Link,
    hosts: impl Iterator<Item = IpAddr>,
) -> Result<()> {
    for host in hosts {
        let mac = neighbour_mac(host);
        handle.neighbours().add(link.index, host).link_layer_address(&mac).execute().await?;
    }
    Ok(())
}

/// `/proc/sys/net` is that of the namespace of whoever opens it.
fn forward() -> Result<()> {
    for knob in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        fs::write(format!("/proc/sys/net/{knob}"), "1")
            .with_context(|| format!("setting {knob}"))?;
    }
    Ok(())
}

/// `/sys/class/net` is that of the namespace in which it was mounted; the socket is not.
fn mac(name: &str) -> Result<[u8; 6]> {
    at(name)?.addr().with_context(|| format!("{name} has no hardware address"))
}

/// Where frames are sent to that go into a link.
pub(crate) fn at(name: &str) -> Result<LinkAddr> {
    nix::ifaddrs::getifaddrs()?
        .filter(|link| link.interface_name == name)
        .find_map(|link| link.address?.as_link_addr().copied())
        .with_context(|| format!("no link {name}"))
}
