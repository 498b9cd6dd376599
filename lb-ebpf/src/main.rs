//! The packet's path, in packet order.
//!
//! One hook per attach point joins the stages; stages import lb-common, `packet`, `maps` and
//! `kernel` only. No stage knows a Kubernetes rule: what a Service means was decided when its
//! map entries were compiled.
#![no_std]
#![no_main]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lengths and offsets are far below 2^16, and helpers return small numbers as i64"
)]
#![expect(unstable_features, reason = "the BPF target has inline assembly on nightly only")]
#![feature(asm_experimental_arch)]

/// Attach points: context in, action out.
mod hook;
/// Programs that go on with a packet, and what is handed over to them.
mod stage;
/// Headers within bounds, for XDP and TC alike.
mod packet;
/// The address in a system call on a socket.
mod socket;
/// Packet to flow key.
mod parse;
/// The same for what is rare.
mod unusual;
/// Flow key to the translation that it already has.
mod conntrack;
/// Destination to frontend.
mod lookup;
/// The agent of this node as a backend.
mod agent;
/// Frontend to backend.
mod select;
/// Flow and backend to translation.
mod nat;
/// Datagrams in fragments.
mod fragment;
/// ICMP errors about translated packets.
mod icmp;
/// Translation to changed bytes.
mod rewrite;
/// Where the packet leaves.
mod forward;
/// What a client is told whose packet cannot go on.
mod answer;
/// Outcome to action, counted.
mod finish;
/// Every map, with typed access.
mod maps;
/// Helper calls.
mod kernel;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No program contains a panicking operation; the linker would keep this symbol otherwise and
    // the verifier would refuse the endless loop.
    loop {}
}

#[expect(unsafe_code, reason = "the kernel reads the licence from a section of this name")]
// SAFETY: the section holds this one zero-terminated string, as the kernel expects.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
