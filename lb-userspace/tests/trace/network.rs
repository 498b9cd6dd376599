//! The network of the node, in the namespace of the test's thread; it dies with the thread.

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Error, Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs;
use std::net::IpAddr;

const GATEWAY: &str = "192.0.2.1";

/// Enters a namespace with the link `veth1` to pods, and `uplink`.
pub(crate) fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
    talk(async |handle| build(handle).await);
}

/// The index of a link.
pub(crate) fn index(name: &str) -> u32 {
    if_nametoindex(name).unwrap()
}

/// Makes the gateway of the uplink a neighbour.
pub(crate) fn know_neighbour() {
    talk(async |handle| {
        let neighbour = handle.neighbours().add(index("uplink"), ip(GATEWAY));
        neighbour.link_layer_address(&[2, 0, 0, 0, 0, 9]).replace().execute().await
    });
}

/// Gives the node another address.
pub(crate) fn add_address(address: &str) {
    talk(async |handle| handle.address().add(index("uplink"), ip(address), 32).execute().await);
}

/// Gives a link another name.
pub(crate) fn rename_link(name: &str, new: &str) {
    talk(async |handle| {
        let renamed = LinkUnspec::new_with_index(index(name)).name(new.to_owned()).build();
        handle.link().set(renamed).execute().await
    });
}

async fn build(handle: &Handle) -> Result<(), Error> {
    for knob in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        fs::write(format!("/proc/sys/net/{knob}"), "1").unwrap();
    }
    for (name, peer) in [("veth1", "pod1"), ("uplink", "wire")] {
        handle.link().add(LinkVeth::new(name, peer).build()).execute().await?;
    }
    for name in ["lo", "veth1", "pod1", "uplink", "wire"] {
        let up = LinkUnspec::new_with_index(index(name)).up().build();
        handle.link().set(up).execute().await?;
    }
    for (address, prefix_len) in [("192.0.2.2", 24), ("2001:db8:1::2", 64)] {
        let mut request = handle.address().add(index("uplink"), ip(address), prefix_len);
        if address.contains(':') {
            let flags = AddressAttribute::Flags(AddressFlags::Nodad);
            request.message_mut().attributes.push(flags);
        }
        request.execute().await?;
    }
    for (range, prefix_len) in [("10.244.0.0", 24), ("fd00:10:244::", 64)] {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(ip(range), prefix_len)
            .unwrap()
            .scope(RouteScope::Link)
            .output_interface(index("veth1"));
        handle.route().add(route.build()).execute().await?;
    }
    let default = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(ip("0.0.0.0"), 0)
        .unwrap()
        .gateway(ip(GATEWAY))
        .unwrap();
    handle.route().add(default.build()).execute().await
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn talk(work: impl AsyncFnOnce(&Handle) -> Result<(), Error>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        work(&handle).await.unwrap();
    });
}
