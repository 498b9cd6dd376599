//! Helper calls: one safe function each.
#![expect(unsafe_code, reason = "helpers are foreign functions")]

use crate::maps;
use aya_ebpf::bindings::{bpf_fib_lookup as FibParams, bpf_redir_neigh, bpf_sock_tuple};
use aya_ebpf::helpers;
use core::ffi::c_void;
use lb_common::flow::FlowKey;
use lb_common::wire::{Addr, IpProto, Port};

/// Low half of the kernel's jiffies: wraps, differences count. The cheapest clock (1 ns here;
/// `bpf_ktime_get_ns` costs 37).
#[inline(always)]
pub(crate) fn jiffies() -> u32 {
    // SAFETY: no arguments, no preconditions.
    let now = unsafe { helpers::bpf_jiffies64() };
    now as u32
}

/// The monotonic clock, in nanoseconds.
#[inline(always)]
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { helpers::bpf_ktime_get_ns() }
}

/// A random number.
#[inline(always)]
pub(crate) fn random() -> u32 {
    // SAFETY: no arguments, no preconditions.
    unsafe { helpers::bpf_get_prandom_u32() }
}

/// Sends the packet out by a link as it is.
#[inline(always)]
pub(crate) fn redirect(link: u32) -> i32 {
    // SAFETY: no pointers.
    let action = unsafe { helpers::bpf_redirect(link, 0) };
    action as i32
}

/// Sends the packet out by a link; the kernel resolves the next hop's hardware address.
#[inline(always)]
pub(crate) fn redirect_neigh(link: u32) -> i32 {
    let route: *mut bpf_redir_neigh = core::ptr::null_mut();
    // SAFETY: a null pointer of length 0 asks the kernel to look up the next hop itself.
    let action = unsafe { helpers::bpf_redirect_neigh(link, route, 0, 0) };
    action as i32
}

/// What the routing table says about a destination.
pub(crate) struct Route {
    /// The link to leave by.
    pub(crate) link: u32,
    /// Hardware addresses (own, next hop), if the neighbour is known.
    pub(crate) macs: Option<([u8; 6], [u8; 6])>,
}

/// Addresses and size of the packet to be routed.
pub(crate) struct Leaving<'a> {
    pub(crate) src: &'a Addr,
    pub(crate) dst: &'a Addr,
    pub(crate) v6: bool,
    pub(crate) in_link: u32,
    /// Bytes from the IP header on, to be held against the route's MTU. Not 0: then the kernel
    /// would hold the frame as it is against the link's.
    pub(crate) len: u32,
}

impl Leaving<'_> {
    /// A length that fits everywhere: only the way is asked for.
    pub(crate) const SHORT: u32 = 1;
}

/// IPv6 addresses are copied by words of 8 bytes, which the stack takes aligned only.
#[repr(align(8))]
struct Aligned(FibParams);

/// Looks up the route of a packet that is forwarded. `None`: there is none, or it is for the
/// node itself.
#[inline(always)]
pub(crate) fn route(ctx: *mut c_void, packet: &Leaving<'_>) -> Option<Route> {
    look_up(ctx, packet, 0)
}

/// Whether the link that a packet came in by leads to its destination too.
#[inline(always)]
pub(crate) fn leads(ctx: *mut c_void, packet: &Leaving<'_>) -> bool {
    const OUTPUT: u32 = 2;
    look_up(ctx, packet, OUTPUT).is_some_and(|route| route.link == packet.in_link)
}

#[inline(always)]
fn look_up(ctx: *mut c_void, packet: &Leaving<'_>, flags: u32) -> Option<Route> {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const SUCCESS: i64 = 0;
    const NO_NEIGHBOUR: i64 = 7;
    // SAFETY: all-zero is a valid value of this struct of integers.
    let mut aligned: Aligned = unsafe { core::mem::zeroed() };
    let params = &mut aligned.0;
    params.ifindex = packet.in_link;
    params.__bindgen_anon_1.tot_len = packet.len.min(u32::from(u16::MAX)) as u16;
    if packet.v6 {
        params.family = AF_INET6;
        params.__bindgen_anon_3.ipv6_src = bytemuck::cast(packet.src.0);
        params.__bindgen_anon_4.ipv6_dst = bytemuck::cast(packet.dst.0);
    } else {
        params.family = AF_INET;
        params.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(packet.src.low4());
        params.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(packet.dst.low4());
    }
    // SAFETY: `params` is a valid struct of the length given.
    let result = unsafe {
        helpers::bpf_fib_lookup(ctx, &raw mut *params, size_of::<FibParams>() as i32, flags)
    };
    // Blackhole, unreachable, prohibit: nobody to send to. "Not forwarded" is the node itself.
    // "Forwarding disabled" means that this host is no router. Light-weight tunnels need the
    // host's stack. "Fragmentation needed": too big. None of them can be finished here.
    match result {
        SUCCESS => Some(Route { link: params.ifindex, macs: Some((params.smac, params.dmac)) }),
        NO_NEIGHBOUR => Some(Route { link: params.ifindex, macs: None }),
        _ => None,
    }
}

/// The MTU of a link, in bytes from the IP header on, if the packet is bigger. Segments that a
/// device has yet to cut are held against it one by one.
#[inline(always)]
pub(crate) fn too_big(ctx: *mut c_void, link: u32) -> Option<u32> {
    const CHECK_SEGMENTS: u64 = 1;
    let mut mtu = 0_u32;
    // SAFETY: `ctx` is the context that the kernel passed to the program, `mtu` a word of ours.
    let result = unsafe { helpers::bpf_check_mtu(ctx, link, &raw mut mtu, 0, CHECK_SEGMENTS) };
    // A link that is gone is noticed when the packet is sent.
    (result > 0).then_some(mtu)
}

/// Whether a socket of this machine would take a packet of these addresses and ports.
#[inline(always)]
pub(crate) fn has_socket(ctx: *mut c_void, packet: &FlowKey, v6: bool) -> bool {
    let ports = [packet.sport, packet.dport];
    if v6 {
        let tuple = TupleV6 { addrs: [packet.src.0, packet.dst.0], ports };
        takes(ctx, packet.proto, tuple)
    } else {
        let tuple = TupleV4 { addrs: [packet.src.low4(), packet.dst.low4()], ports };
        takes(ctx, packet.proto, tuple)
    }
}

/// `ipv4` of `struct bpf_sock_tuple`: source first.
#[repr(C, align(4))]
struct TupleV4 {
    addrs: [[u8; 4]; 2],
    ports: [Port; 2],
}

/// `ipv6` of the same.
#[repr(C, align(4))]
struct TupleV6 {
    addrs: [[u8; 16]; 2],
    ports: [Port; 2],
}

#[inline(always)]
fn takes<T>(ctx: *mut c_void, proto: IpProto, mut tuple: T) -> bool {
    const CURRENT_NETNS: u64 = u64::MAX;
    let (at, len) = ((&raw mut tuple).cast::<bpf_sock_tuple>(), size_of::<T>() as u32);
    let socket = match proto {
        // SAFETY: `ctx` is the program's context; the kernel reads `len` bytes of the tuple.
        IpProto::TCP => unsafe { helpers::bpf_skc_lookup_tcp(ctx, at, len, CURRENT_NETNS, 0) },
        // SAFETY: the same.
        IpProto::UDP => unsafe { helpers::bpf_sk_lookup_udp(ctx, at, len, CURRENT_NETNS, 0) },
        // No kernel has a look-up for SCTP.
        _ => return false,
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the look-up gave a reference, which is given back once.
    let _ = unsafe { helpers::bpf_sk_release(socket.cast()) };
    true
}

/// The one's complement sum of a value (a multiple of 4 bytes), for packets that are made here:
/// they are rare, and a loop over bytes on the stack would be unrolled into most of it.
#[inline(always)]
pub(crate) fn sum<T: bytemuck::Pod>(value: &T) -> u32 {
    const { assert!(size_of::<T>().is_multiple_of(4)) };
    let from: *mut u32 = core::ptr::null_mut();
    let to = core::ptr::from_ref(value).cast_mut().cast::<u32>();
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `value` and nothing of the empty `from`.
    let sum = unsafe { helpers::bpf_csum_diff(from, 0, to, size_of::<T>() as u32, 0) };
    u32::from(lb_common::algo::checksum::fold(sum as u32))
}

/// The kernel's name of the socket behind a socket-address context.
#[inline(always)]
pub(crate) fn socket_cookie(ctx: *mut c_void) -> u64 {
    // SAFETY: `ctx` is the context that the kernel passed to the program.
    unsafe { helpers::bpf_get_socket_cookie(ctx) }
}

/// Whether the socket lives in the node's own network namespace, as the agent told us.
#[inline(always)]
pub(crate) fn in_node_namespace(ctx: *mut c_void) -> bool {
    let own = maps::netns_cookie();
    // SAFETY: `ctx` is the context that the kernel passed to the program.
    own == 0 || unsafe { helpers::bpf_get_netns_cookie(ctx) } == own
}

/// Makes the system call that the program runs in fail with `-errno`.
#[inline(always)]
pub(crate) fn fail_with(errno: i32) {
    // SAFETY: no pointers.
    let _ = unsafe { helpers::bpf_set_retval(-errno) };
}
