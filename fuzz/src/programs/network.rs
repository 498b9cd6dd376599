//! A network namespace with an uplink and its neighbours: what the kernel needs to find a way for a
//! packet.

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Puts the thread into a network namespace that dies with it; the index of the uplink. Loopback
/// counts as a link like others.
pub(super) fn enter() -> Result<u32> {
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace (needs root)")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(build())
}

async fn build() -> Result<u32> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    handle.link().add(LinkVeth::new("uplink", "wire").build()).execute().await?;
    for name in ["lo", "uplink", "wire"] {
        let up = LinkUnspec::new_with_index(if_nametoindex(name)?).up().build();
        handle.link().set(up).execute().await.with_context(|| format!("raising {name}"))?;
    }
    for knob in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        fs::write(format!("/proc/sys/net/{knob}"), "1")
            .with_context(|| format!("setting {knob}"))?;
    }
    let uplink = if_nametoindex("uplink")?;
    for v6 in [false, true] {
        handle.address().add(uplink, node(v6), if v6 { 64 } else { 24 }).execute().await?;
        neighbours(&handle, uplink, v6).await?;
    }
    Ok(uplink)
}

/// Hosts 1 to 5 on the uplink are known, the others are not.
async fn neighbours(handle: &Handle, uplink: u32, v6: bool) -> Result<()> {
    for n in 1..6 {
        let mac = [2, 0, 0, 0, u8::from(v6), n];
        handle
            .neighbours()
            .add(uplink, on_uplink(v6, n))
            .link_layer_address(&mac)
            .execute()
            .await?;
    }
    Ok(())
}

/// The node's address.
pub(super) fn node(v6: bool) -> IpAddr {
    on_uplink(v6, 254)
}

/// Host `n` on the uplink.
pub(super) fn on_uplink(v6: bool, n: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, n).into()
    }
}
