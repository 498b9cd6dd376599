//! `SERVICES`: hash, service id to [`ServiceValue`].
//!
//! Written by the agent; read by `lbctl`, and by the next agent to give every service port the id
//! it had. The packet programs never read it.

use crate::wire::{IpProto, Port};
use bytemuck::{Pod, Zeroable};

/// The name of a service port and the facts that a person asks for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ServiceValue {
    /// `metadata.namespace`, at most 63 bytes, zero-filled.
    pub namespace: [u8; 64],
    /// `metadata.name`, at most 63 bytes, zero-filled.
    pub name: [u8; 64],
    /// `spec.ports[].name`, at most 63 bytes, zero-filled; may be empty.
    pub port_name: [u8; 64],
    /// `spec.ports[].targetPort` as written, zero-filled.
    pub target_port: [u8; 64],
    /// `spec.ports[].port`.
    pub port: Port,
    /// `spec.ports[].nodePort`.
    pub node_port: Port,
    /// `spec.ports[].protocol`.
    pub proto: IpProto,
    /// `spec.type`: [`ServiceValue::CLUSTER_IP`] and its kin.
    pub kind: u8,
    /// Bits: [`ServiceValue::EXTERNAL_LOCAL`] and its kin.
    pub flags: u8,
    /// Address family: 4 or 6.
    pub family: u8,
}

impl ServiceValue {
    /// `type: ClusterIP`.
    pub const CLUSTER_IP: u8 = 1;
    /// `type: NodePort`.
    pub const NODE_PORT: u8 = 2;
    /// `type: LoadBalancer`.
    pub const LOAD_BALANCER: u8 = 3;
    /// `externalTrafficPolicy: Local`.
    pub const EXTERNAL_LOCAL: u8 = 1;
    /// `internalTrafficPolicy: Local`.
    pub const INTERNAL_LOCAL: u8 = 2;
}

/// `text` in a zero-filled field; what does not fit into 63 bytes is cut.
pub fn field(text: &str) -> [u8; 64] {
    let mut out = [0; 64];
    for (to, from) in out.iter_mut().take(63).zip(text.bytes()) {
        *to = from;
    }
    out
}

/// The text of a zero-filled field; empty if it is not UTF-8.
pub fn text(field: &[u8; 64]) -> &str {
    let len = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    field.get(..len).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
}

const _: () = assert!(size_of::<ServiceValue>() == 264);
