//! Destination to frontend, source to class of client.
//!
//! Before: `conntrack` found no living flow. After: `select`.

use crate::maps;
use crate::parse::Seen;
use crate::stage::Stop;
use lb_common::flow::FlowKey;
use lb_common::layout::address::AddressValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, IpProto, Port};

/// The entry of `LINKS` that is about the node as a whole.
const NODE: u32 = 0;

/// Where a client is.
pub(crate) struct Client {
    /// A pod of the cluster: by its link, or by its address.
    pub(crate) inside: bool,
    /// Its answers need not leave this node to reach it: it is a pod behind one of our links.
    pub(crate) on_this_node: bool,
}

impl Client {
    /// A process of the node.
    pub(crate) const OWN: Self = Self { inside: true, on_this_node: true };
}

/// The client behind a packet that came in by `link`.
#[inline(never)]
pub(crate) fn client(link: u32, src: &Addr) -> Client {
    let on_this_node = maps::link(link).is_some_and(|link| link.kind == LinkValue::POD);
    Client { inside: on_this_node || maps::in_cluster(src), on_this_node }
}

/// Whether a packet without a flow may belong to a connection that another proxy translates.
///
/// While the agent takes a node over it does not know all of them, and only what begins with this
/// packet is certainly none: a SYN.
#[inline(never)]
pub(crate) fn may_be_anothers(seen: &Seen) -> bool {
    !seen.is_syn() && maps::link(NODE).is_some_and(|node| node.kind == LinkValue::TAKING_OVER)
}

/// The node's address on a link, else its primary one: it stands for clients, and says what went
/// wrong.
#[inline(always)]
pub(crate) fn own_addr(link: u32, v6: bool) -> Option<Addr> {
    for index in [link, NODE] {
        if let Some(link) = maps::link(index) {
            let addr = if v6 { &link.masquerade_v6 } else { &link.masquerade_v4 };
            if *addr != Addr::ANY {
                return Some(*addr);
            }
        }
    }
    None
}

/// The frontend that a new flow is aimed at.
#[inline(always)]
pub(crate) fn frontend(key: &FlowKey, v6: bool) -> Result<&'static FrontendValue, Stop> {
    // Port 0 is "none" (RFC 6335 section 6): no connection comes from there.
    if key.sport == Port::NONE {
        return Err(Stop::NotOurs);
    }
    match at(&key.dst, key.dport, key.proto, v6) {
        Some(frontend) => Ok(frontend),
        None if is_closed(&key.dst) => Err(Reason::NoPort.into()),
        None => Err(Stop::NotOurs),
    }
}

/// Whether an address means nothing at a port without a frontend: the client is refused, lest the
/// packet wanders through the network.
#[inline(never)]
pub(crate) fn is_closed(addr: &Addr) -> bool {
    maps::address(addr).has(AddressValue::CLUSTER_IP)
}

/// Whether a client may use a frontend (`loadBalancerSourceRanges`).
#[inline(always)]
pub(crate) fn admits(frontend: &FrontendValue, client: &Addr) -> bool {
    if frontend.flags & FrontendValue::GUARDED == 0 {
        return true;
    }
    let admitted = maps::in_source_range(frontend.service, client);
    maps::step(Step::Guard, u64::from(admitted));
    admitted
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
    maps::step(Step::Address, u64::from(meaning.0));
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
///
/// At external addresses (node ports and their kin) pods of other nodes count as outsiders: what
/// comes from there has left its node, where the short-circuit for pods would have been.
#[inline(always)]
pub(crate) fn choice(frontend: &'static FrontendValue, client: &Client) -> &'static Choice {
    let internal = frontend.kind == FrontendValue::CLUSTER_IP;
    let inside = if internal { client.inside } else { client.on_this_node };
    if inside { &frontend.inside } else { &frontend.outside }
}
