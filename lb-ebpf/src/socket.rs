//! The address in a system call on a socket: the only code that touches it.
#![expect(unsafe_code, reason = "the context is read and written field by field")]

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::programs::SockAddrContext;
use core::ffi::c_void;
use lb_common::wire::{Addr, IpProto, Port};

/// A system call and the address it is about. The kernel wants every field accessed as a whole
/// word, hence the volatile accesses.
pub(crate) struct Call {
    ctx: *mut bpf_sock_addr,
    /// The address is in the IPv6 field; it may be a mapped IPv4 address.
    v6: bool,
}

impl Call {
    /// The call behind the context of a socket-address program.
    #[inline(always)]
    pub(crate) fn new(ctx: &SockAddrContext, v6: bool) -> Self {
        Self { ctx: ctx.as_ptr().cast(), v6 }
    }

    /// The context for helper calls.
    #[inline(always)]
    pub(crate) fn context(&self) -> *mut c_void {
        self.ctx.cast()
    }

    /// The peer's address.
    #[inline(always)]
    pub(crate) fn addr(&self) -> Addr {
        if !self.v6 {
            return Addr::v4(read(self.ip4()).to_ne_bytes());
        }
        let mut addr = [[0_u8; 4]; 4];
        for (index, chunk) in addr.iter_mut().enumerate() {
            *chunk = read(self.ip6_word(index)).to_ne_bytes();
        }
        Addr(bytemuck::cast(addr))
    }

    /// Whether `addr`, the peer's address, is an IPv6 address and not a mapped one.
    #[inline(always)]
    pub(crate) fn is_v6(&self, addr: &Addr) -> bool {
        self.v6 && !addr.is_v4()
    }

    /// The peer's port.
    #[inline(always)]
    pub(crate) fn port(&self) -> Port {
        let [high, low, ..] = read(self.port_word()).to_ne_bytes();
        Port([high, low])
    }

    /// The socket's protocol.
    #[inline(always)]
    pub(crate) fn proto(&self) -> IpProto {
        // SAFETY: the kernel's context is valid while the program runs.
        let field = unsafe { &raw const (*self.ctx).protocol };
        let [proto, ..] = read(field).to_le_bytes();
        IpProto(proto)
    }

    /// The address that the socket is bound to; all zero: none.
    #[inline(always)]
    pub(crate) fn source(&self) -> Addr {
        // SAFETY: the kernel's context is valid while the program runs.
        let field = unsafe { &raw const (*self.ctx).__bindgen_anon_1 };
        // SAFETY: the union has this one member.
        let socket: *mut bpf_sock = unsafe { field.cast::<*mut bpf_sock>().read_volatile() };
        if socket.is_null() {
            return Addr::ANY;
        }
        if !self.v6 {
            // SAFETY: the kernel keeps the socket for the call; it is not null.
            let field = unsafe { &raw const (*socket).src_ip4 };
            return Addr::v4(read(field).to_ne_bytes());
        }
        // SAFETY: as above.
        let words = unsafe { &raw const (*socket).src_ip6 };
        let mut addr = [[0_u8; 4]; 4];
        for (index, chunk) in addr.iter_mut().enumerate() {
            *chunk = read(words.cast::<u32>().wrapping_add(index)).to_ne_bytes();
        }
        Addr(bytemuck::cast(addr))
    }

    /// Puts another peer in place.
    #[inline(always)]
    pub(crate) fn set(&self, addr: &Addr, port: Port) {
        if self.v6 {
            let (chunks, _) = addr.0.as_chunks::<4>();
            for (index, chunk) in chunks.iter().enumerate() {
                write(self.ip6_word(index), u32::from_ne_bytes(*chunk));
            }
        } else {
            write(self.ip4(), u32::from_ne_bytes(addr.low4()));
        }
        let [high, low] = port.0;
        write(self.port_word(), u32::from_ne_bytes([high, low, 0, 0]));
    }

    #[inline(always)]
    fn ip4(&self) -> *mut u32 {
        // SAFETY: as in `proto`.
        unsafe { &raw mut (*self.ctx).user_ip4 }
    }

    #[inline(always)]
    fn ip6_word(&self, index: usize) -> *mut u32 {
        // SAFETY: as in `proto`.
        let words = unsafe { &raw mut (*self.ctx).user_ip6 };
        words.cast::<u32>().wrapping_add(index)
    }

    #[inline(always)]
    fn port_word(&self) -> *mut u32 {
        // SAFETY: as in `proto`.
        unsafe { &raw mut (*self.ctx).user_port }
    }
}

#[inline(always)]
fn read(field: *const u32) -> u32 {
    // SAFETY: a field of the context, made above.
    unsafe { field.read_volatile() }
}

#[inline(always)]
fn write(field: *mut u32, value: u32) {
    // SAFETY: as in `read`.
    unsafe { field.write_volatile(value) };
}
