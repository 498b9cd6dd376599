//! The agent of this node as a backend: the cluster's name server on the node itself.
//!
//! Who may be answered by it was decided when the choice was written; here it is only looked whether
//! it is there. Its end needs no one who notices it: its socket is gone, and the next packet goes to
//! the Service's endpoints.

use crate::{kernel, maps};
use core::ffi::c_void;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::heartbeat::PATIENCE_NS;
use lb_common::wire::{Addr, Port};

/// Whether a backend may get packets: the agent may while it is there, any other in any case.
#[inline(always)]
pub(crate) fn takes_packets(ctx: *mut c_void, backend: &BackendValue) -> bool {
    backend.flags & BackendValue::AGENT == 0 || answers(ctx, backend)
}

/// Whether the agent is there: it has answered lately, and somebody listens at its address.
#[inline(never)]
fn answers(ctx: *mut c_void, backend: &BackendValue) -> bool {
    let v6 = !backend.addr.is_v4();
    let silent_ns = kernel::monotonic_ns().saturating_sub(maps::heartbeat(v6));
    if silent_ns > PATIENCE_NS {
        return false;
    }
    let packet = FlowKey {
        src: Addr::ANY,
        dst: backend.addr,
        sport: Port::NONE,
        dport: backend.port,
        proto: backend.proto,
        edge: Edge::INGRESS,
        zero: [0; 2],
    };
    kernel::has_socket(ctx, &packet, v6)
}
