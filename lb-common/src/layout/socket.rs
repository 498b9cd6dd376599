//! `SOCKETS`: LRU hash, [`SocketKey`] to [`SocketValue`].
//!
//! Written by the socket programs when a process of the node connects or sends to a service;
//! read when it receives (the sender's name is put back), asks for its peer, or sends again. The
//! two directions are two entries of one form: an address, and the one that stands for it.

use crate::flow::Edge;
use crate::wire::{Addr, IpProto, Port};
use bytemuck::{Pod, Zeroable};

/// An address in the eyes of one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SocketKey {
    /// The kernel's name of the socket (`bpf_get_socket_cookie`).
    pub cookie: u64,
    /// The peer: a frontend when sending, a backend when receiving.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
    /// Its protocol.
    pub proto: IpProto,
    /// [`Edge::EGRESS`] when sending, [`Edge::INGRESS`] when receiving.
    pub edge: Edge,
    /// Always zero.
    pub zero: [u8; 4],
}

/// What stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SocketValue {
    /// The backend when sending, the frontend when receiving.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
    /// Always zero.
    pub zero: [u8; 6],
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// Its generation when the entry was made.
    pub generation: u32,
}

const _: () = assert!(size_of::<SocketKey>() == 32);
const _: () = assert!(size_of::<SocketValue>() == 32);
