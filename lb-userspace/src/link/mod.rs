//! Links and addresses of the node, followed through rtnetlink.
//!
//! Turns the kernel's messages into [`Link`] values, and those into what the programs have to know
//! of each link. Never changes a link.

/// What a link is to us. Pure.
pub mod role;
/// The kernel's view, kept up to date.
pub mod watch;
/// The kernel's routes.
pub mod route;

use std::net::IpAddr;

pub use role::{Role, Settings};

/// A network link as the kernel describes it.
#[expect(clippy::struct_excessive_bools, reason = "flags of the kernel, each by itself")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind (`IFLA_INFO_KIND`: veth, bridge, vxlan); empty for hardware.
    pub kind: String,
    /// The bridge or bond that it is a port of (`IFLA_MASTER`).
    pub controller: Option<u32>,
    /// Frames begin with an Ethernet header.
    pub ethernet: bool,
    /// The loopback link.
    pub loopback: bool,
    /// It is up.
    pub up: bool,
    /// A default route leaves by it.
    pub default_route: bool,
    /// Its addresses and prefix lengths, in the kernel's order: the first of a family and scope
    /// is the primary one.
    pub addrs: Vec<(IpAddr, u8)>,
}
