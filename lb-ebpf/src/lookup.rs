//! Destination to frontend, source to class of client.
//!
//! Before: `conntrack` found no living flow. After: `select`.

use crate::maps;
use crate::parse::Stop;
use lb_common::flow::FlowKey;
use lb_common::layout::address::AddressValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, IpProto, Port};

/// Where a client is.
pub(crate) struct Client {
    /// A pod of the cluster: by its link, or by its address.
    pub(crate) inside: bool,
    /// Its answers need not leave this node to reach it: it is a pod behind one of our links.
    pub(crate) on_this_node: bool,
}

/// The client behind a packet that came in by `link`.
#[inline(never)]
pub(crate) fn client(link: u32, src: &Addr) -> Client {
    let on_this_node = maps::link(link).is_some_and(|link| link.kind == LinkValue::POD);
    Client { inside: on_this_node || maps::in_cluster(src), on_this_node }
}

/// The frontend that a new flow is aimed at.
#[inline(always)]
pub(crate) fn frontend(key: &FlowKey, v6: bool) -> Result<&'static FrontendValue, Stop> {
    // Port 0 is "none" (RFC 6335 section 6): no connection comes from there.
    if key.sport == Port::NONE {
        return Err(Stop::NotOurs);
    }
    at(&key.dst, key.dport, key.proto, v6).ok_or(Stop::NotOurs)
}

/// The frontend at an address and port: of the address itself, else a node port.
#[inline(never)]
pub(crate) fn at(
    addr: &Addr,
    port: Port,
    proto: IpProto,
    v6: bool,
) -> Option<&'static FrontendValue> {
    let meaning = maps::address(addr);
    if meaning.has(AddressValue::FRONTEND)
        && let Some(frontend) = maps::frontend(&FrontendKey::of(*addr, port, proto))
    {
        return Some(frontend);
    }
    if !meaning.has(AddressValue::NODE_PORTS) {
        return None;
    }
    maps::frontend(&FrontendKey::node_port(port, proto, v6))
}

/// The backends that this client may reach.
#[inline(always)]
pub(crate) fn choice(frontend: &'static FrontendValue, inside: bool) -> &'static Choice {
    if inside { &frontend.inside } else { &frontend.outside }
}
