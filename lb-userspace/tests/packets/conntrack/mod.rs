//! Flows that age, end, or lose an entry.

/// How a connection goes on and ends.
mod progress;
/// Flows to a backend that is gone.
mod stale;
/// Entries that are lost or renewed.
mod entry;
/// Clients that leave the Service out.
mod direct;

use crate::case::Case;
use crate::frame::Frame;
use crate::rig::Rig;
use crate::tables::{HERE, leading_to};
use etherparse::TcpHeader;

/// What a client on port 40,000 sends to open a flow.
pub(super) fn asked(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip())
}

/// What it sends afterwards.
pub(super) fn more(case: Case) -> Frame {
    case.later(case.pod(20_000), case.vip())
}

/// What the first backend answers.
pub(super) fn answer(case: Case) -> Frame {
    case.later(case.backend(1), case.pod(20_000))
}

/// One backend and a flow to it.
pub(super) fn open(rig: &mut Rig) {
    rig.serve(1);
    rig.chosen(&asked(rig.case));
}

/// From now on only backend 2 is chosen.
pub(super) fn second_only(rig: &mut Rig) {
    let case = rig.case;
    rig.backend(2, case.backend(2), HERE);
    let choice = rig.range(1, &[2]);
    rig.frontend(case.vip(), leading_to(choice));
}

/// The same with these control bits only.
pub(super) fn flags(frame: &Frame, set: impl Fn(&mut TcpHeader)) -> Frame {
    frame.tcp(|tcp| {
        (tcp.syn, tcp.ack, tcp.psh) = (false, false, false);
        set(tcp);
    })
}

/// The same, agreeing to a connection.
pub(super) fn syn_ack(frame: &Frame) -> Frame {
    flags(frame, |tcp| (tcp.syn, tcp.ack) = (true, true))
}
