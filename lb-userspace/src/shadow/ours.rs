//! Tables to leads.

use super::{Frontend, Lead, Leads};
use crate::compile::Family;
use crate::reconcile::Tables;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use std::net::SocketAddr;

/// Where frontends of these tables lead.
pub fn ours(tables: &Tables) -> Leads {
    tables.frontends.iter().map(|(key, value)| (frontend(key), lead(tables, value))).collect()
}

fn frontend(key: &FrontendKey) -> Frontend {
    let family = match key.family {
        4 => Family::V4,
        6 => Family::V6,
        _ => Family::of(key.addr),
    };
    let addr = (key.family == 0).then(|| key.addr.to_ip());
    Frontend { addr, family, port: key.port.number(), proto: key.proto }
}

fn lead(tables: &Tables, value: &FrontendValue) -> Lead {
    let inside = value.kind == FrontendValue::CLUSTER_IP;
    let choice = if inside { value.inside } else { value.outside };
    match tables.slots.get(&choice.base).filter(|_| choice.len != 0) {
        // kube-proxy knows no name server of the node.
        Some(slots) => {
            let slots = slots.iter().take(choice.len as usize);
            let backends = slots.filter_map(|id| tables.backends.get(id));
            let addr = |addr: lb_common::wire::Addr| addr.to_ip();
            let socket = backends.map(|one| SocketAddr::new(addr(one.addr), one.port.number()));
            Lead::To(socket.collect())
        }
        None if choice.flags & Choice::DROP != 0 => Lead::Dropped,
        None => Lead::Refused,
    }
}
