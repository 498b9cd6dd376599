//! System calls of processes of the node: the address is replaced once, when a socket connects
//! or sends, so no packet has to be changed.
//!
//! `connect` and `sendmsg` put the backend in place of the frontend; `recvmsg` and `getpeername`
//! put the frontend's name back, so the process never sees the backend. IPv4 over an IPv6 socket
//! comes as a mapped address, which is our form of IPv4 anyway.
#![expect(unsafe_code, reason = "socket contexts are read and written field by field")]

use crate::{kernel, lookup, maps, select};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, IpProto, Port};

const PROCEED: i32 = 1;
const FAIL: i32 = 0;
const ECONNREFUSED: i32 = 111;

/// `connect(2)` on an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub(crate) fn lb_connect4(ctx: SockAddrContext) -> i32 {
    toward(&Call { ctx, v6: false }, false)
}

/// `connect(2)` on an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub(crate) fn lb_connect6(ctx: SockAddrContext) -> i32 {
    toward(&Call { ctx, v6: true }, false)
}

/// `sendto(2)` and `sendmsg(2)` with an address on an IPv4 UDP socket.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn lb_sendmsg4(ctx: SockAddrContext) -> i32 {
    toward(&Call { ctx, v6: false }, true)
}

/// The same on an IPv6 UDP socket.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn lb_sendmsg6(ctx: SockAddrContext) -> i32 {
    toward(&Call { ctx, v6: true }, true)
}

/// `recvfrom(2)` and `recvmsg(2)` on an IPv4 UDP socket.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn lb_recvmsg4(ctx: SockAddrContext) -> i32 {
    back(&Call { ctx, v6: false })
}

/// The same on an IPv6 UDP socket.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn lb_recvmsg6(ctx: SockAddrContext) -> i32 {
    back(&Call { ctx, v6: true })
}

/// `getpeername(2)` on an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn lb_getpeername4(ctx: SockAddrContext) -> i32 {
    back(&Call { ctx, v6: false })
}

/// The same on an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn lb_getpeername6(ctx: SockAddrContext) -> i32 {
    back(&Call { ctx, v6: true })
}

/// A system call and the address it is about.
struct Call {
    ctx: SockAddrContext,
    /// The address is in the IPv6 field.
    v6: bool,
}

/// The field `$field` of the context; the kernel checks width and permission of each access.
macro_rules! field {
    ($call:expr, $field:ident) => {{
        let ctx: *mut bpf_sock_addr = $call.ctx.sock_addr;
        // SAFETY: the kernel's context is valid while the program runs.
        unsafe { (&raw mut (*ctx).$field) }
    }};
}

impl Call {
    #[inline(always)]
    fn read(&self, field: *const u32) -> u32 {
        // SAFETY: made by `field!`; volatile keeps the access one whole word.
        unsafe { field.read_volatile() }
    }

    #[inline(always)]
    fn write(&self, field: *mut u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { field.write_volatile(value) };
    }

    #[inline(always)]
    fn addr(&self) -> Addr {
        if !self.v6 {
            return Addr::v4(self.read(field!(self, user_ip4)).to_ne_bytes());
        }
        let words = field!(self, user_ip6).cast::<u32>();
        let mut addr = [[0_u8; 4]; 4];
        for (index, chunk) in addr.iter_mut().enumerate() {
            *chunk = self.read(words.wrapping_add(index)).to_ne_bytes();
        }
        Addr(bytemuck::cast(addr))
    }

    #[inline(always)]
    fn port(&self) -> Port {
        let bytes = self.read(field!(self, user_port)).to_ne_bytes();
        Port([bytes[0], bytes[1]])
    }

    #[inline(always)]
    fn proto(&self) -> IpProto {
        IpProto(self.read(field!(self, protocol)) as u8)
    }

    #[inline(always)]
    fn set(&self, addr: &Addr, port: Port) {
        if self.v6 {
            let words = field!(self, user_ip6).cast::<u32>();
            let (chunks, _) = addr.0.as_chunks::<4>();
            for (index, chunk) in chunks.iter().enumerate() {
                self.write(words.wrapping_add(index), u32::from_ne_bytes(*chunk));
            }
        } else {
            self.write(field!(self, user_ip4), u32::from_ne_bytes(addr.low4()));
        }
        let [high, low] = port.0;
        self.write(field!(self, user_port), u32::from_ne_bytes([high, low, 0, 0]));
    }

    #[inline(always)]
    fn key(&self, addr: Addr, port: Port, edge: Edge) -> SocketKey {
        let cookie = kernel::socket_cookie(self.ctx.as_ptr());
        SocketKey { cookie, addr, port, proto: self.proto(), edge, zero: [0; 4] }
    }
}

/// Puts the backend in place of the frontend. `sticky`: datagrams of one socket to one frontend
/// keep their backend, as those of one 5-tuple do.
#[inline(always)]
fn toward(call: &Call, sticky: bool) -> i32 {
    match backend_for(call, sticky) {
        None | Some(Ok(())) => PROCEED,
        Some(Err(reason)) => {
            maps::count_reason(reason);
            if reason == Reason::NoEndpoint {
                kernel::fail_with(ECONNREFUSED);
            }
            // Without an errno of ours the call fails with EPERM, as a local firewall would do.
            FAIL
        }
    }
}

/// `None`: not a frontend.
#[inline(always)]
fn backend_for(call: &Call, sticky: bool) -> Option<Result<(), Reason>> {
    if !kernel::in_node_namespace(call.ctx.as_ptr()) {
        return None;
    }
    let (addr, port) = (call.addr(), call.port());
    let v6 = call.v6 && addr.0[..12] != Addr::v4([0; 4]).0[..12];
    let frontend = lookup::at(&addr, port, call.proto(), v6)?;
    let send_key = call.key(addr, port, Edge::EGRESS);
    if sticky && let Some(known) = maps::socket(&send_key) {
        let alive = maps::backend(known.backend).is_some_and(|b| b.generation == known.generation);
        if alive {
            call.set(&known.addr, known.port);
            return Some(Ok(()));
        }
    }
    let choice = lookup::choice(frontend, true);
    if let Some(reason) = select::nobody(choice) {
        return Some(Err(reason));
    }
    let id = select::backend(frontend, choice, &Addr::ANY, kernel::random());
    let Some(backend) = maps::backend(id).filter(|_| id != select::NONE) else {
        return Some(Err(Reason::StaleSlot));
    };
    remember(call, &send_key, id, backend, sticky);
    call.set(&backend.addr, backend.port);
    Some(Ok(()))
}

/// Remembers both directions. A full table costs the name of the peer, not the connection.
#[inline(always)]
fn remember(call: &Call, send_key: &SocketKey, id: u32, backend: &BackendValue, sticky: bool) {
    let value = |addr: Addr, port: Port| SocketValue {
        addr,
        port,
        zero: [0; 6],
        backend: id,
        generation: backend.generation,
    };
    let receive_key = call.key(backend.addr, backend.port, Edge::INGRESS);
    let _ = maps::put_socket(&receive_key, &value(send_key.addr, send_key.port));
    if sticky {
        let _ = maps::put_socket(send_key, &value(backend.addr, backend.port));
    }
    maps::count_connection(backend.service, id);
}

/// Puts the frontend's name in place of the backend's.
#[inline(always)]
fn back(call: &Call) -> i32 {
    if kernel::in_node_namespace(call.ctx.as_ptr()) {
        let key = call.key(call.addr(), call.port(), Edge::INGRESS);
        if let Some(name) = maps::socket(&key) {
            call.set(&name.addr, name.port);
        }
    }
    PROCEED
}
