//! The harness of `cargo xtask bench datapath`.
//!
//! A test run with repetitions hands a program its own output again, so a program that rewrites
//! would be measured once on the packet and then on its result. Here a small program restores the
//! packet from a template, makes it one of many flows, and tail-calls the program under test; the
//! cost of the same with an empty program under test is taken off by the reader.
#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    clippy::cast_possible_truncation,
    reason = "a bench harness: packet and map memory, checked where it is touched"
)]

use aya_ebpf::bindings::{TC_ACT_PIPE, xdp_action};
use aya_ebpf::macros::{classifier, map, xdp};
use aya_ebpf::maps::{Array, LruHashMap, ProgramArray};
use aya_ebpf::programs::{TcContext, XdpContext};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// SAFETY: the section holds this one zero-terminated string, as the kernel expects.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The longest template, in words of 8 bytes.
const WORDS: usize = 10;

/// What to make of a packet; written by the runner.
#[repr(C)]
#[derive(Clone, Copy)]
struct Template {
    /// The packet. Always [`WORDS`] words are written.
    words: [u64; WORDS],
    /// Number of flows less one; the number is a power of two.
    flow_mask: u32,
    /// Offset of the low 4 bytes of the source address.
    src_offset: u32,
    /// Offset of the source port.
    port_offset: u32,
    /// Always zero.
    zero: u32,
}

#[map]
static TEMPLATE: Array<Template> = Array::with_max_entries(1, 0);
#[map]
static COUNT: Array<u64> = Array::with_max_entries(1, 0);
// An array of programs takes the type of the first program that names it.
#[map]
static XDP_UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static TC_UNDER_TEST: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static LRU: LruHashMap<[u32; 4], [u64; 4]> = LruHashMap::with_max_entries(1024, 0);

/// Restores the packet between `start` and `end`, as the next flow.
#[inline(always)]
fn restore(start: usize, end: usize) -> Option<()> {
    let template = TEMPLATE.get(0)?;
    let count = COUNT.get_ptr_mut(0)?;
    // SAFETY: the runner runs one program at a time.
    let number = unsafe {
        *count += 1;
        *count
    };
    if start + WORDS * 8 > end {
        return None;
    }
    for (index, word) in template.words.iter().enumerate() {
        // SAFETY: the whole template is inside, as just checked.
        unsafe { ((start + index * 8) as *mut u64).write_unaligned(*word) };
    }
    // Knuth's multiplicative hash visits every flow once in a scattered order.
    let flow = (number as u32).wrapping_mul(2_654_435_761) & template.flow_mask;
    let src = start + (template.src_offset as usize & 63);
    let port = start + (template.port_offset as usize & 63);
    if src + 4 > end || port + 2 > end {
        return None;
    }
    // SAFETY: both are inside, as just checked.
    unsafe {
        let src = src as *mut u32;
        src.write_unaligned(src.read_unaligned().wrapping_add((flow >> 12).swap_bytes()));
        (port as *mut u16).write_unaligned((20_000 + (flow & 4095) as u16).swap_bytes());
    }
    Some(())
}

/// Restores the packet and runs the program under test.
#[xdp(frags)]
pub(crate) fn bench_xdp(ctx: XdpContext) -> u32 {
    if restore(ctx.data(), ctx.data_end()).is_some() {
        // SAFETY: the runner has put a program of this type there.
        unsafe { XDP_UNDER_TEST.tail_call(&ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// The same for TC.
#[classifier]
pub(crate) fn bench_tc(ctx: TcContext) -> i32 {
    if restore(ctx.data(), ctx.data_end()).is_some() {
        // SAFETY: as in `bench_xdp`.
        unsafe { TC_UNDER_TEST.tail_call(&ctx, 0) };
    }
    -1
}

/// The empty program.
#[xdp(frags)]
pub(crate) fn bench_empty_xdp(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The empty program for TC.
#[classifier]
pub(crate) fn bench_empty_tc(_: TcContext) -> i32 {
    TC_ACT_PIPE
}

/// The yardstick: one hit in an LRU hash by a key of 16 bytes.
#[xdp(frags)]
pub(crate) fn bench_lru_xdp(_: XdpContext) -> u32 {
    let key = [1, 2, 3, 4];
    // SAFETY: nobody writes the map meanwhile.
    match unsafe { LRU.get(key) } {
        Some(value) if value[0] != 0 => xdp_action::XDP_PASS,
        _ => xdp_action::XDP_ABORTED,
    }
}
