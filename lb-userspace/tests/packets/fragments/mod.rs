//! Datagrams in fragments: the first opens the flow, the others follow it.

/// In the order in which they were sent.
mod order;
/// Out of that order.
mod held;
/// Datagrams that are none of ours.
mod foreign;
/// Fragments that cannot be right.
mod broken;
/// Fragments of SCTP packets.
mod sctp;

use crate::case::Case;
use crate::frame::{Frame, payload};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::fragments;
use lb_common::wire::IpProto;

/// Plays a scene for both families of TCP and UDP, in TC. SCTP's CRC needs the whole datagram where
/// a port changes; [`sctp`] is about that.
pub(super) fn each(scene: impl Fn(&mut Rig)) {
    each_of(cases(), scene);
}

/// Those cases.
pub(super) fn cases() -> impl Iterator<Item = Case> {
    Case::in_tc().filter(|case| case.proto != IpProto::SCTP)
}

/// The identification of a datagram.
pub(super) const ID: u32 = 0x1234;
/// Where it is cut: the first piece has every transport header whole.
pub(super) const CUTS: [usize; 2] = [48, 80];

/// A datagram of three fragments, of an odd length, that opens a flow.
pub(super) fn asked(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip()).carrying(&payload(101))
}

/// One that belongs to it.
pub(super) fn more(case: Case) -> Frame {
    case.later(case.pod(20_000), case.vip()).carrying(&payload(101))
}

/// One that answers it.
pub(super) fn answer(case: Case) -> Frame {
    case.later(case.backend(1), case.pod(20_000)).carrying(&payload(101))
}

/// Its fragments.
pub(super) fn cut(frame: &Frame) -> Vec<Vec<u8>> {
    fragments(&frame.bytes(), ID, &CUTS)
}

/// Sends fragments, each of which must come out as the fragment of another datagram.
#[track_caller]
pub(super) fn become_fragments(
    rig: &mut Rig,
    (hook, verdict): (Hook, Verdict),
    from: &[Vec<u8>],
    to: &[Vec<u8>],
) {
    assert_eq!(from.len(), to.len());
    for (n, (from, to)) in from.iter().zip(to).enumerate() {
        let out = rig.run(hook, from);
        assert_eq!((out.verdict, &out.bytes), (verdict, to), "fragment {n}");
    }
}

/// What goes in by TC and on through the stack.
pub(super) const IN: (Hook, Verdict) = (Hook::TcIngress, Verdict::Passed);
/// What goes out by TC.
pub(super) const OUT: (Hook, Verdict) = (Hook::TcEgress, Verdict::Passed);
