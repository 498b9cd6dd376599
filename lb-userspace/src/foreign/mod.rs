//! Connections that another proxy translates: kube-proxy's, from before the agent took the node
//! over.
//!
//! netfilter remembers how each connection that it once translated goes on; the rules are asked
//! for its first packet only. Our programs come before netfilter. So each such connection gets an
//! entry in `CONNTRACK` that says "not ours" ([`FlowValue::FOREIGN`]), and lives on to its end.

/// A connection as netfilter follows it.
mod connection;
/// The kernel's table of connections.
mod table;

pub use connection::Connection;
pub use table::translated;

use crate::reconcile::Tables;
use bytemuck::Zeroable as _;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::address::AddressValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::wire::{Addr, IpProto, Port};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The two halves of a flow of another proxy, as `CONNTRACK` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignFlow {
    /// What the client sends.
    pub forward: (FlowKey, FlowValue),
    /// What comes back, where our programs see it.
    pub reply: (FlowKey, FlowValue),
}

/// What is ours on this node.
pub struct Ours<'a> {
    tables: &'a Tables,
    /// Who serves a UDP port: its service, address and port.
    servers: BTreeSet<(u32, Addr, Port)>,
}

impl<'a> Ours<'a> {
    /// What these tables mean.
    pub fn of(tables: &'a Tables) -> Self {
        let udp = tables.backends.values().filter(|backend| backend.proto == IpProto::UDP);
        let servers = udp.map(|backend| (backend.service, backend.addr, backend.port)).collect();
        Self { tables, servers }
    }

    /// The flow of a connection to one of our frontends; `None`: it is none of our business, or
    /// over with its server, as a UDP flow is. `seen`: low half of the jiffies of now.
    pub fn flow(&self, connection: &Connection, seen: u32) -> Option<ForeignFlow> {
        let Connection { proto, client, asked, server, answered, progress } = *connection;
        let frontend = connection.is_translated().then(|| self.frontend(proto, asked))??;
        let key = (frontend.service, server.ip().into(), Port::new(server.port()));
        if proto == IpProto::UDP && !self.servers.contains(&key) {
            return None;
        }
        let value = FlowValue {
            service: frontend.service,
            seen,
            progress,
            flags: FlowValue::FOREIGN,
            ..FlowValue::zeroed()
        };
        Some(if connection.is_masqueraded() {
            ForeignFlow::masqueraded(proto, [client, asked, server, answered], value)
        } else {
            ForeignFlow::kept(proto, [client, asked], value)
        })
    }

    /// The frontend at an address and port (`lookup::at` in `lb-ebpf`).
    fn frontend(&self, proto: IpProto, asked: SocketAddr) -> Option<&FrontendValue> {
        let Tables { addresses, frontends, .. } = self.tables;
        let (addr, port) = (Addr::from(asked.ip()), Port::new(asked.port()));
        let meaning = AddressValue(addresses.get(&addr).copied().unwrap_or_default());
        let own = frontends.get(&FrontendKey::of(addr, port, proto));
        let node_port = FrontendKey::node_port(port, proto, asked.is_ipv6());
        own.filter(|_| meaning.has(AddressValue::FRONTEND))
            .or_else(|| frontends.get(&node_port).filter(|_| meaning.has(AddressValue::NODE_PORTS)))
    }
}

impl ForeignFlow {
    /// The client keeps its address. netfilter has put the frontend back into an answer before it
    /// leaves, so it is the answer to the client's own packet.
    fn kept(proto: IpProto, [client, asked]: [SocketAddr; 2], value: FlowValue) -> Self {
        let forward = key(proto, client, asked, Edge::INGRESS);
        let reply = forward.reply(Edge::EGRESS);
        Self {
            forward: (forward, leading_to(&forward, value)),
            reply: (reply, leading_to(&reply, reply_of(value))),
        }
    }

    /// The client has an address and port of the node. Its reply half also keeps them from being
    /// given to a flow of ours.
    fn masqueraded(
        proto: IpProto,
        [client, asked, server, answered]: [SocketAddr; 4],
        value: FlowValue,
    ) -> Self {
        let value = FlowValue { flags: value.flags | FlowValue::SNAT, ..value };
        let forward = key(proto, client, asked, Edge::INGRESS);
        let reply = key(proto, server, answered, Edge::INGRESS);
        Self {
            forward: (forward, leading_to(&reply.reply(Edge::INGRESS), value)),
            reply: (reply, leading_to(&forward.reply(Edge::INGRESS), reply_of(value))),
        }
    }
}

fn key(proto: IpProto, src: SocketAddr, dst: SocketAddr, edge: Edge) -> FlowKey {
    FlowKey {
        src: src.ip().into(),
        dst: dst.ip().into(),
        sport: Port::new(src.port()),
        dport: Port::new(dst.port()),
        proto,
        edge,
        zero: [0; 2],
    }
}

/// The same with this packet as what a packet becomes.
fn leading_to(packet: &FlowKey, value: FlowValue) -> FlowValue {
    let FlowKey { src, dst, sport, dport, .. } = *packet;
    FlowValue { src, dst, sport, dport, ..value }
}

fn reply_of(value: FlowValue) -> FlowValue {
    FlowValue { flags: value.flags | FlowValue::REPLY, ..value }
}

#[cfg(test)]
mod tests;
