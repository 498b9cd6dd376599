//! An uplink with neighbours, in the network namespace of the test: what `bpf_fib_lookup` needs.

use crate::case::{neighbour_mac, node_addr, on_uplink};
use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use std::fs;

/// An uplink that is up. It dies with the namespace.
pub(crate) struct Uplink {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

/// Makes this node a router with one uplink; the loopback link counts as a link like others.
pub(crate) fn uplink() -> Uplink {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(build()).expect("building the network of a test")
}

async fn build() -> Result<Uplink> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    handle.link().add(LinkVeth::new("uplink", "wire").build()).execute().await?;
    for name in ["lo", "uplink", "wire"] {
        let up = LinkUnspec::new_with_index(if_nametoindex(name)?).up().build();
        handle.link().set(up).execute().await.with_context(|| format!("raising {name}"))?;
    }
    forward()?;
    let index = if_nametoindex("uplink")?;
    for (v6, prefix_len) in [(false, 24), (true, 64)] {
        handle.address().add(index, node_addr(v6), prefix_len).execute().await?;
        neighbours(&handle, index, v6).await?;
    }
    Ok(Uplink { index, mac: mac()? })
}

/// The first hosts on the uplink are known, the others are not.
async fn neighbours(handle: &Handle, index: u32, v6: bool) -> Result<()> {
    for host in (1..10).map(|n| on_uplink(v6, n)) {
        let mac = neighbour_mac(host);
        handle.neighbours().add(index, host).link_layer_address(&mac).execute().await?;
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
fn mac() -> Result<[u8; 6]> {
    let link = nix::ifaddrs::getifaddrs()?
        .filter(|link| link.interface_name == "uplink")
        .find_map(|link| link.address?.as_link_addr()?.addr())
        .context("the uplink has no hardware address")?;
    Ok(link)
}
