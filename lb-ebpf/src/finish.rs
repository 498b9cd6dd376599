//! Outcome to action, counted: the only place that returns an action number.

use crate::forward::Verdict;
use crate::packet::{Packet, TcFrame, XdpFrame};
use crate::parse::Seen;
use crate::stage::{Errand, Stage, Stop};
use crate::{kernel, maps};
use aya_ebpf::bindings::{TC_ACT_PIPE, TC_ACT_SHOT, xdp_action};
use lb_common::verdict::Reason;

/// The action of a TC program that read the packet itself.
///
/// "Pipe" rather than "OK": on TCX it is `TCX_NEXT`, so programs attached behind ours still run.
#[inline(always)]
pub(crate) fn tc(packet: &TcFrame, seen: &Seen, outcome: Result<Verdict, Stop>) -> i32 {
    match outcome {
        Ok(verdict) => tc_action(packet, verdict),
        Err(stop) => {
            maps::hand_over(seen);
            tc_stop(packet, stop)
        }
    }
}

/// The action of a TC program that was handed the packet over.
#[inline(always)]
pub(crate) fn tc_stage(packet: &TcFrame, outcome: Result<Verdict, Stop>) -> i32 {
    match outcome {
        Ok(verdict) => tc_action(packet, verdict),
        Err(stop) => tc_stop(packet, stop),
    }
}

#[inline(always)]
fn tc_action(packet: &TcFrame, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Stack => TC_ACT_PIPE,
        Verdict::Neighbour(link) => kernel::redirect_neigh(link),
        Verdict::Redirect(link) => kernel::redirect(link),
        Verdict::Bounce => kernel::redirect(packet.link()),
    }
}

#[inline(always)]
fn tc_stop(packet: &TcFrame, stop: Stop) -> i32 {
    let reason = match next(stop) {
        Next::NotOurs => return TC_ACT_PIPE,
        Next::Because(reason) => reason,
        Next::Program(stage, errand) => {
            maps::send_on(errand);
            maps::go_on(packet.buffer(), stage);
            Reason::Stage
        }
    };
    maps::count_reason(reason);
    if is_fatal(reason) { TC_ACT_SHOT } else { TC_ACT_PIPE }
}

/// The action of the TC program that answers.
#[inline(always)]
pub(crate) fn tc_answer(packet: &TcFrame, reason: u32, answered: bool) -> i32 {
    maps::count_number(reason);
    if answered { kernel::redirect(packet.link()) } else { TC_ACT_SHOT }
}

/// The action of the XDP program that read the packet itself. XDP sends frames back out of their
/// own link only.
#[inline(always)]
pub(crate) fn xdp(packet: &XdpFrame, seen: &Seen, outcome: Result<Verdict, Stop>) -> u32 {
    match outcome {
        Ok(verdict) => xdp_action_of(verdict),
        Err(stop) => {
            maps::hand_over(seen);
            xdp_stop(packet, stop)
        }
    }
}

/// The action of an XDP program that was handed the packet over.
#[inline(always)]
pub(crate) fn xdp_stage(packet: &XdpFrame, outcome: Result<Verdict, Stop>) -> u32 {
    match outcome {
        Ok(verdict) => xdp_action_of(verdict),
        Err(stop) => xdp_stop(packet, stop),
    }
}

#[inline(always)]
fn xdp_action_of(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Stack | Verdict::Neighbour(_) => xdp_action::XDP_PASS,
        Verdict::Bounce | Verdict::Redirect(_) => xdp_action::XDP_TX,
    }
}

#[inline(always)]
fn xdp_stop(packet: &XdpFrame, stop: Stop) -> u32 {
    let reason = match next(stop) {
        // What is unusual is left to TC.
        Next::Program(Stage::Unusual, _) | Next::NotOurs => return xdp_action::XDP_PASS,
        Next::Because(reason) => reason,
        Next::Program(stage, errand) => {
            maps::send_on(errand);
            maps::go_on_in_xdp(packet.frame(), stage);
            Reason::Stage
        }
    };
    maps::count_reason(reason);
    if is_fatal(reason) { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

/// The action of the XDP program that answers.
#[inline(always)]
pub(crate) fn xdp_answer(reason: u32, answered: bool) -> u32 {
    maps::count_number(reason);
    if answered { xdp_action::XDP_TX } else { xdp_action::XDP_DROP }
}

/// How a packet goes on that was not finished.
enum Next {
    NotOurs,
    Program(Stage, Errand),
    Because(Reason),
}

#[inline(always)]
fn next(stop: Stop) -> Next {
    let answered = |reason, mtu| {
        Next::Program(Stage::Answer, Errand { reason: reason as u32, mtu, ..Errand::default() })
    };
    match stop {
        Stop::NotOurs => Next::NotOurs,
        Stop::Next(stage) => Next::Program(stage, Errand::default()),
        Stop::Foreign => Next::Program(Stage::Known, Errand { foreign: 1, ..Errand::default() }),
        Stop::Release(held) => Next::Program(Stage::Release, Errand { held, ..Errand::default() }),
        Stop::TooBig(mtu) => answered(Reason::TooBig, mtu),
        Stop::Because(reason) if reason.is_answered() => answered(reason, 0),
        Stop::Because(reason) => Next::Because(reason),
    }
}

/// Whether a packet that met this reason ends here. The others were never found to be ours.
#[inline(always)]
fn is_fatal(reason: Reason) -> bool {
    !matches!(reason, Reason::Malformed | Reason::Headers)
}
