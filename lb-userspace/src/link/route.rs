//! Where this node's own routes lead.

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use nix::errno::Errno;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Error, RouteMessageBuilder};
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(to)).with_context(|| format!("asking for the route to {to}"))
}

async fn ask(to: IpAddr) -> Result<Way> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let host = if to.is_ipv4() { 32 } else { 128 };
    let question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, host)?.build();
    let answer = handle.route().get(question).execute().try_next().await;
    connection.abort();
    match answer {
        Ok(route) => Ok(route.as_ref().map_or(Way::None, told)),
        Err(Error::NetlinkError(error)) if is_no_way(error.raw_code()) => Ok(Way::None),
        Err(error) => Err(error.into()),
    }
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
