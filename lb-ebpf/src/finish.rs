//! Outcome to action, counted: the only place that returns an action number.

use crate::forward::Verdict;
use crate::parse::Stop;
use crate::{kernel, maps};
use aya_ebpf::bindings::{TC_ACT_PIPE, TC_ACT_SHOT, xdp_action};
use lb_common::verdict::Reason;

/// The action of a TC program on a frame of `link`.
///
/// "Pipe" rather than "OK": on TCX it is `TCX_NEXT`, so programs attached behind ours still run.
#[inline(always)]
pub(crate) fn tc(link: u32, outcome: Result<Verdict, Stop>) -> i32 {
    match outcome {
        Ok(Verdict::Stack) | Err(Stop::NotOurs) => TC_ACT_PIPE,
        Ok(Verdict::Neighbour(link)) => kernel::redirect_neigh(link),
        Ok(Verdict::Redirect(link)) => kernel::redirect(link),
        Ok(Verdict::Bounce) => kernel::redirect(link),
        Err(Stop::Because(reason)) => {
            maps::count_reason(reason);
            if is_fatal(reason) { TC_ACT_SHOT } else { TC_ACT_PIPE }
        }
    }
}

/// The action of the XDP program, which sends frames back out of their own link only.
#[inline(always)]
pub(crate) fn xdp(outcome: Result<Verdict, Stop>) -> u32 {
    match outcome {
        Ok(Verdict::Stack | Verdict::Neighbour(_)) | Err(Stop::NotOurs) => xdp_action::XDP_PASS,
        Ok(Verdict::Bounce | Verdict::Redirect(_)) => xdp_action::XDP_TX,
        Err(Stop::Because(reason)) => {
            maps::count_reason(reason);
            if is_fatal(reason) { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
        }
    }
}

/// Whether a packet that met this reason ends here. The others were never found to be ours.
#[inline(always)]
fn is_fatal(reason: Reason) -> bool {
    !matches!(reason, Reason::Malformed | Reason::Headers)
}
