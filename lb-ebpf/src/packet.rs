//! Headers within bounds: the only code that touches packet memory.
//!
//! XDP and TC are one path over the [`Packet`] trait. Reading borrows the packet, whatever may
//! move its memory borrows it mutably, so a stale header reference does not compile.
#![expect(unsafe_code, reason = "packet memory is bounds-checked here, once")]

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers;
use core::ffi::c_void;
use lb_common::algo::checksum;
use lb_common::verdict::Reason;

/// Where the checksum of a TCP or UDP header lies and how it changes.
pub(crate) struct ChecksumChange {
    /// Offset of the field from the start of the frame, in bytes.
    pub(crate) at: usize,
    /// Difference by the addresses of the pseudo-header.
    pub(crate) addr_diff: u16,
    /// Difference by the ports.
    pub(crate) port_diff: u16,
    /// UDP: an absent checksum stays absent.
    pub(crate) udp: bool,
    /// The pseudo-header is IPv6's: no IP header checksum makes up for changed addresses.
    pub(crate) v6: bool,
}

/// A frame in the kernel's hands.
pub(crate) trait Packet {
    /// Address of its first byte.
    fn start(&self) -> usize;
    /// Address behind its last directly readable byte.
    fn end(&self) -> usize;
    /// Length of the frame in bytes.
    fn len(&self) -> u32;
    /// Its bytes that are directly readable; on most frames all of them.
    #[inline(always)]
    fn readable(&self) -> u32 {
        // Opaque, lest the compiler mixes the subtraction of pointers with other arithmetic.
        opaque(self.end() - self.start()) as u32
    }
    /// Index of the link that it came in by, or leaves by.
    fn link(&self) -> u32;
    /// Whether it carries a VLAN tag beside its bytes, as devices hand them over.
    fn is_tagged(&self) -> bool;
    /// The context for helper calls.
    fn context(&self) -> *mut c_void;
    /// Makes the first `len` bytes directly readable, if the frame has them.
    fn pull(&mut self, len: u32);
    /// Changes the checksum of the transport header.
    fn change_checksum(&mut self, change: &ChecksumChange) -> Result<(), Reason>;
    /// Tells the kernel that the bytes of a frame changed by a difference that nothing in it makes
    /// up for, in case a device summed up all of them.
    fn add_to_sum(&mut self, diff: u16);
    /// Makes the frame `len` bytes long.
    fn resize(&mut self, len: u32) -> Result<(), Reason>;

    /// The header `T` at `offset`, if the frame holds it whole.
    #[inline(always)]
    fn header<T: bytemuck::Pod>(&self, offset: usize) -> Option<&T> {
        let at = within::<T>(self.start(), self.end(), offset)?;
        // SAFETY: `within` has shown that `size_of::<T>()` bytes are inside; frames and
        // offsets are even, and T has an alignment of 2 at most.
        Some(unsafe { &*at })
    }

    /// The same for writing.
    #[inline(always)]
    fn header_mut<T: bytemuck::Pod>(&mut self, offset: usize) -> Option<&mut T> {
        let at = within::<T>(self.start(), self.end(), offset)?;
        // SAFETY: as in `header`; the borrow of `self` keeps this the only reference.
        Some(unsafe { &mut *at })
    }
}

#[inline(always)]
fn within<T>(start: usize, end: usize, offset: usize) -> Option<*mut T> {
    const { assert!(align_of::<T>() <= 2) };
    let at = opaque(start + offset);
    (at + size_of::<T>() <= end).then_some(at as *mut T)
}

/// Hides how `at` was computed, so that the compiler cannot compute it anew after the bounds
/// check: the verifier ties a check to the very register that was compared. The move is there
/// because the kernel refuses two line records for one instruction.
#[inline(always)]
fn opaque(mut at: usize) -> usize {
    // SAFETY: moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) at, options(pure, nomem, nostack)) };
    at
}

/// A frame in the XDP hook.
pub(crate) struct XdpFrame(*mut xdp_md);

impl XdpFrame {
    /// The frame of a context that the kernel passed to an XDP program.
    #[inline(always)]
    pub(crate) fn new(ctx: *mut xdp_md) -> Self {
        Self(ctx)
    }

    /// The context that the kernel passed.
    #[inline(always)]
    pub(crate) fn frame(&self) -> *mut xdp_md {
        self.0
    }
}

impl Packet for XdpFrame {
    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel's context is valid while the program runs.
        unsafe { (*self.0).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as in `start`.
        unsafe { (*self.0).data_end as usize }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // A jumbo frame lies in several buffers, and only the first is directly readable.
        // SAFETY: the kernel's context is valid while the program runs.
        let len = unsafe { helpers::bpf_xdp_get_buff_len(self.0) };
        len as u32
    }

    #[inline(always)]
    fn link(&self) -> u32 {
        // SAFETY: as in `start`.
        unsafe { (*self.0).ingress_ifindex }
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        false
    }

    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.cast()
    }

    /// XDP frames begin with all their headers.
    #[inline(always)]
    fn pull(&mut self, _len: u32) {}

    #[inline(always)]
    fn change_checksum(&mut self, change: &ChecksumChange) -> Result<(), Reason> {
        let field = self.header_mut::<[u8; 2]>(change.at).ok_or(Reason::Rewrite)?;
        let diff = checksum::add(change.addr_diff, change.port_diff);
        *field = if change.udp {
            checksum::update_udp(*field, diff)
        } else {
            checksum::update(*field, diff)
        };
        Ok(())
    }

    /// Nobody has summed up a frame that is not a socket buffer yet.
    #[inline(always)]
    fn add_to_sum(&mut self, _diff: u16) {}

    #[inline(always)]
    fn resize(&mut self, len: u32) -> Result<(), Reason> {
        let delta = len as i32 - self.len() as i32;
        // SAFETY: the context is valid; the helper checks the length.
        let result = unsafe { helpers::bpf_xdp_adjust_tail(self.0, delta) };
        if result == 0 { Ok(()) } else { Err(Reason::Rewrite) }
    }
}

/// A frame in a TC hook.
pub(crate) struct TcFrame(*mut __sk_buff);

impl TcFrame {
    /// The frame of a context that the kernel passed to a TC program.
    #[inline(always)]
    pub(crate) fn new(ctx: *mut __sk_buff) -> Self {
        Self(ctx)
    }

    /// Tells the kernel about a changed checksum. Helpers know whether the frame holds a finished
    /// checksum or only the pseudo-header's part, which a device completes later; direct writes
    /// cannot know.
    #[inline(always)]
    fn replace(&mut self, at: usize, diff: u16, flags: u64) -> bool {
        // SAFETY: the context is valid; the helper checks the offset. Size 0 in the flags makes
        // the fourth argument a difference.
        let result =
            unsafe { helpers::bpf_l4_csum_replace(self.0, at as u32, 0, u64::from(diff), flags) };
        result == 0
    }
}

impl Packet for TcFrame {
    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel's context is valid while the program runs.
        unsafe { (*self.0).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as in `start`.
        unsafe { (*self.0).data_end as usize }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: as in `start`.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn link(&self) -> u32 {
        // SAFETY: as in `start`.
        unsafe { (*self.0).ifindex }
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        // SAFETY: as in `start`.
        unsafe { (*self.0).vlan_present != 0 }
    }

    #[inline(always)]
    fn context(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline(always)]
    fn pull(&mut self, len: u32) {
        if self.readable() < len && self.len() >= len {
            // A failure leaves the frame as it was, and the bounds checks refuse it.
            // SAFETY: the context is valid; the helper checks the length.
            let _ = unsafe { helpers::bpf_skb_pull_data(self.0, len) };
        }
    }

    #[inline(always)]
    fn change_checksum(&mut self, change: &ChecksumChange) -> Result<(), Reason> {
        const PSEUDO_HEADER: u64 = 1 << 4;
        const MARK_MANGLED_0: u64 = 1 << 5;
        const IPV6: u64 = 1 << 7;
        let udp = if change.udp { MARK_MANGLED_0 } else { 0 };
        // Without the IPv6 flag the kernel adjusts a device's sum over the whole packet although
        // nothing changed in sum (net/core/utils.c, inet_proto_csum_replace_by_diff). Kernels
        // before 6.16 refuse the flag, and have no better way.
        let flags = udp | PSEUDO_HEADER;
        let done = if change.v6 {
            self.replace(change.at, change.addr_diff, flags | IPV6)
                || self.replace(change.at, change.addr_diff, flags)
        } else {
            self.replace(change.at, change.addr_diff, flags)
        };
        if done && self.replace(change.at, change.port_diff, udp) {
            Ok(())
        } else {
            Err(Reason::Rewrite)
        }
    }

    #[inline(always)]
    fn add_to_sum(&mut self, diff: u16) {
        // SAFETY: the context is valid.
        let _ = unsafe { helpers::bpf_csum_update(self.0, u32::from(diff)) };
    }

    #[inline(always)]
    fn resize(&mut self, len: u32) -> Result<(), Reason> {
        // SAFETY: the context is valid; the helper checks the length.
        let result = unsafe { helpers::bpf_skb_change_tail(self.0, len, 0) };
        if result == 0 { Ok(()) } else { Err(Reason::Rewrite) }
    }
}

/// What only a socket buffer can do.
impl TcFrame {
    /// The socket buffer.
    #[inline(always)]
    pub(crate) fn buffer(&self) -> *mut __sk_buff {
        self.0
    }

    /// Takes off all VLAN tags: one beside the bytes, two in them.
    #[inline(always)]
    pub(crate) fn untag(&mut self) -> Result<(), Reason> {
        for _ in 0..3 {
            // SAFETY: the context is valid; without a tag nothing happens.
            if unsafe { helpers::bpf_skb_vlan_pop(self.0) } != 0 {
                return Err(Reason::Rewrite);
            }
        }
        Ok(())
    }

    /// Copies the first `len` bytes, or as many as `to` has, out of the frame.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, to: &mut [u8; N], len: u32) -> bool {
        let (ctx, len) = (self.0.cast_const().cast(), bounded::<N>(len));
        // SAFETY: `to` has room for `len` bytes; the helper checks the frame.
        let result = unsafe { helpers::bpf_skb_load_bytes(ctx, 0, to.as_mut_ptr().cast(), len) };
        result == 0
    }

    /// Writes the first `len` bytes of `from` over the beginning of the frame.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, from: &[u8; N], len: u32) -> bool {
        const RECOMPUTE_CSUM: u64 = 1;
        let len = bounded::<N>(len);
        // SAFETY: `from` has `len` bytes; the helper checks the frame.
        let result = unsafe {
            helpers::bpf_skb_store_bytes(self.0, 0, from.as_ptr().cast(), len, RECOMPUTE_CSUM)
        };
        result == 0
    }

    /// Sends a copy out of a link, or into it as if it had come from there.
    #[inline(always)]
    pub(crate) fn send_copy(&mut self, link: u32, into: bool) -> bool {
        const INGRESS: u64 = 1;
        // SAFETY: the context is valid; the kernel knows if the link is gone.
        let result =
            unsafe { helpers::bpf_clone_redirect(self.0, link, if into { INGRESS } else { 0 }) };
        result == 0
    }
}

/// A length that the verifier knows to be 1 to `N`.
#[inline(always)]
fn bounded<const N: usize>(len: u32) -> u32 {
    // Opaque, lest the compiler moves the comparison to where the verifier loses it.
    (opaque(len as usize) as u32).clamp(1, N as u32)
}
