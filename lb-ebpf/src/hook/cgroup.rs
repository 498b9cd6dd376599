//! System calls of processes of the node: the address is replaced once, when a socket connects
//! or sends, so no packet has to be changed.
//!
//! `connect` and `sendmsg` put the backend in place of the frontend; `recvmsg` and `getpeername`
//! put the frontend's name back, so the process never sees the backend. IPv4 over an IPv6 socket
//! comes as a mapped address, which is our form of IPv4 anyway.

use crate::lookup::Client;
use crate::socket::Call;
use crate::{agent, kernel, lookup, maps, select};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, IpProto, Port};

const PROCEED: i32 = 1;
const FAIL: i32 = 0;
const ECONNREFUSED: i32 = 111;

/// `connect(2)` on an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub(crate) fn lb_connect4(ctx: SockAddrContext) -> i32 {
    toward(&Call::new(&ctx, false), false)
}

/// `connect(2)` on an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub(crate) fn lb_connect6(ctx: SockAddrContext) -> i32 {
    toward(&Call::new(&ctx, true), false)
}

/// `sendto(2)` and `sendmsg(2)` with an address on an IPv4 UDP socket.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn lb_sendmsg4(ctx: SockAddrContext) -> i32 {
    toward(&Call::new(&ctx, false), true)
}

/// The same on an IPv6 UDP socket.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn lb_sendmsg6(ctx: SockAddrContext) -> i32 {
    toward(&Call::new(&ctx, true), true)
}

/// `recvfrom(2)` and `recvmsg(2)` on an IPv4 UDP socket.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn lb_recvmsg4(ctx: SockAddrContext) -> i32 {
    back(&Call::new(&ctx, false))
}

/// The same on an IPv6 UDP socket.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn lb_recvmsg6(ctx: SockAddrContext) -> i32 {
    back(&Call::new(&ctx, true))
}

/// `getpeername(2)` on an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn lb_getpeername4(ctx: SockAddrContext) -> i32 {
    back(&Call::new(&ctx, false))
}

/// The same on an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn lb_getpeername6(ctx: SockAddrContext) -> i32 {
    back(&Call::new(&ctx, true))
}

/// Puts the backend in place of the frontend. `sticky`: datagrams of one socket to one frontend
/// keep their backend, as those of one 5-tuple do.
#[inline(always)]
fn toward(call: &Call, sticky: bool) -> i32 {
    match backend_for(call, sticky) {
        None | Some(Ok(())) => PROCEED,
        Some(Err(reason)) => {
            maps::count_reason(reason);
            if matches!(reason, Reason::NoEndpoint | Reason::NoPort) {
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
    if !kernel::in_node_namespace(call.context()) {
        return None;
    }
    let (addr, port) = (call.addr(), call.port());
    let v6 = call.is_v6(&addr);
    let Some(frontend) = lookup::at(&addr, port, call.proto(), v6) else {
        return refused(call, &addr);
    };
    maps::step(Step::Frontend, Step::word(frontend.service, u32::from(frontend.kind)));
    if !lookup::admits(frontend, &source(call, v6)) {
        return Some(Err(Reason::SourceRange));
    }
    let send_key = key(call, addr, port, Edge::EGRESS);
    let choice = lookup::choice(frontend, &Client::OWN);
    if sticky
        && let Some(known) = maps::socket(&send_key)
        && may_keep(call, frontend, choice, known)
    {
        call.set(&known.addr, known.port);
        return Some(Ok(()));
    }
    let id = match select::backend(call.context(), frontend, choice, &Addr::ANY, kernel::random()) {
        Ok(id) => id,
        Err(reason) => return Some(Err(reason)),
    };
    let Some(backend) = maps::backend(id) else {
        return Some(Err(Reason::StaleSlot));
    };
    remember(call, &send_key, id, backend, sticky);
    call.set(&backend.addr, backend.port);
    Some(Ok(()))
}

/// Whether a socket goes on with the backend that it had: that is there, and stands in for nobody
/// who is back.
#[inline(always)]
fn may_keep(call: &Call, frontend: &FrontendValue, choice: &Choice, known: &SocketValue) -> bool {
    maps::backend(known.backend).is_some_and(|backend| {
        backend.generation == known.generation
            && if backend.flags & BackendValue::AGENT == 0 {
                !select::prefers_agent(call.context(), frontend, choice)
            } else {
                agent::takes_packets(call.context(), backend)
            }
    })
}

/// What a call meets at an address without a frontend: nothing, or a refusal.
#[inline(always)]
fn refused(call: &Call, addr: &Addr) -> Option<Result<(), Reason>> {
    let has_ports = matches!(call.proto(), IpProto::TCP | IpProto::UDP);
    (has_ports && lookup::is_closed(addr)).then_some(Err(Reason::NoPort))
}

/// Where packets of the call would come from: what the socket is bound to, else the node.
#[inline(always)]
fn source(call: &Call, v6: bool) -> Addr {
    let bound = call.source();
    if bound == Addr::ANY || bound == Addr::v4([0; 4]) {
        lookup::own_addr(0, v6).unwrap_or(Addr::ANY)
    } else {
        bound
    }
}

/// Remembers both directions. A full table costs the name of the peer, not the connection.
///
/// Not inlined: its frame need not be there while a backend is chosen.
#[inline(never)]
fn remember(call: &Call, send_key: &SocketKey, id: u32, backend: &BackendValue, sticky: bool) {
    let value = |addr: Addr, port: Port| SocketValue {
        addr,
        port,
        zero: [0; 6],
        backend: id,
        generation: backend.generation,
    };
    let receive_key = key(call, backend.addr, backend.port, Edge::INGRESS);
    let _ = maps::put_socket(&receive_key, &value(send_key.addr, send_key.port));
    if sticky {
        let _ = maps::put_socket(send_key, &value(backend.addr, backend.port));
    }
    maps::count_connection(backend.service, id);
}

/// Puts the frontend's name in place of the backend's.
#[inline(always)]
fn back(call: &Call) -> i32 {
    if kernel::in_node_namespace(call.context()) {
        let key = key(call, call.addr(), call.port(), Edge::INGRESS);
        if let Some(name) = maps::socket(&key) {
            call.set(&name.addr, name.port);
        }
    }
    PROCEED
}

/// What a socket's entry about a peer is found by.
#[inline(always)]
fn key(call: &Call, addr: Addr, port: Port, edge: Edge) -> SocketKey {
    let cookie = kernel::socket_cookie(call.context());
    SocketKey { cookie, addr, port, proto: call.proto(), edge, zero: [0; 4] }
}
