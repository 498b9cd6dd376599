//! Where this node's own routes lead.

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use std::net::IpAddr;

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the node itself.
    Own,
    /// Out by the link of this index.
    Link(u32),
    /// Nowhere.
    None,
}

/// Asks the kernel for the way to an address.
///
/// # Errors
/// The kernel's socket failed.
pub fn way(to: IpAddr) -> Result<Way> {
    ask(to).with_context(|| format!("asking for the route to {to}"))
}

/// One question and one answer, which the kernel gives before the question's system call ends.
fn ask(to: IpAddr) -> Result<Way> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let host = if to.is_ipv4() { 32 } else { 128 };
    let question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, host)?.build();
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::deserialize(&bytes)?.payload;
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = &answer {
        return Ok(told(route));
    }
    let NetlinkPayload::Error(error) = answer else { bail!("an answer of another kind") };
    if is_no_way(error.raw_code()) { Ok(Way::None) } else { Err(error.to_io().into()) }
}

fn told(route: &RouteMessage) -> Way {
    if route.header.kind == RouteType::Local {
        return Way::Own;
    }
    let oif = |attribute: &RouteAttribute| {
        if let RouteAttribute::Oif(link) = attribute { Some(*link) } else { None }
    };
    let is_unicast = route.header.kind == RouteType::Unicast;
    let mut links = route.attributes.iter().filter(|_| is_unicast).filter_map(oif);
    links.next().map_or(Way::None, Way::Link)
}

/// No route, and routes that refuse: unreachable, prohibit, blackhole.
fn is_no_way(code: i32) -> bool {
    const NO_WAY: [Errno; 4] =
        [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL];
    NO_WAY.contains(&Errno::from_raw(-code))
}
