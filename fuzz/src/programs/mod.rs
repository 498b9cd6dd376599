//! Packets, through the programs in the kernel: whatever they are, [`judge`] says what must hold
//! for them.
//!
//! An input is a capture ([`capture`]): packets in order, each handed to a program by a test run
//! (`BPF_PROG_TEST_RUN`), so that later ones meet the flows and fragments of earlier ones. Bytes
//! that are no capture are one packet, and each program gets it. The tables are those of
//! `services.yaml`. Needs root; leaves nothing behind.

/// Inputs as files.
mod capture;
/// Valid packets.
mod packet;
/// Captures to other captures.
pub mod mutate;
/// Captures with a name, from which fuzzing begins.
pub mod seed;
/// What a frame is, by another parser.
mod strict;
/// A packet without what may change.
mod mask;
/// What libFuzzer is told.
mod coverage;
/// Where the programs run.
mod network;
/// The programs.
mod rig;
/// What must hold.
mod judge;

use capture::{Hook, Link, Step};
use judge::Fate;
use rig::{Rig, Verdict};
use std::cell::RefCell;

/// Packets of one capture; more would take long and meet nothing new.
const MAX_STEPS: usize = 24;

thread_local! {
    // A network namespace belongs to a thread.
    static RIG: RefCell<Rig> = RefCell::new(Rig::load().unwrap());
}

/// Plays a capture, or hands one packet to each program.
pub fn run(bytes: &[u8]) {
    RIG.with_borrow_mut(|rig| match capture::read(bytes) {
        Some(steps) => drop(play(rig, &steps)),
        None => each(rig, bytes),
    });
}

/// Plays a capture in tables without flows.
fn play(rig: &mut Rig, steps: &[Step]) -> Vec<Fate> {
    rig.forget().unwrap();
    let steps = steps.iter().take(MAX_STEPS);
    let fates: Vec<Fate> = steps.filter_map(|step| judge::meet(rig, step)).collect();
    // What follows on what.
    fates.windows(2).for_each(|pair| coverage::note([pair[0].kind(), pair[1].kind()]));
    assert!(!rig.has_complained().unwrap(), "the kernel has complained: see dmesg");
    fates
}

/// Hands a packet to each program, in tables without flows.
fn each(rig: &mut Rig, frame: &[u8]) {
    let [xdp, ingress, _] = Hook::ALL
        .map(|hook| play(rig, &[Step { hook, link: Link::Uplink, frame: frame.to_vec() }]).pop());
    if let (Some(xdp), Some(ingress)) = (xdp, ingress) {
        agree(&xdp, &ingress);
    }
}

/// XDP leaves to TC what it cannot finish. What it finishes is finished as TC would.
fn agree(xdp: &Fate, ingress: &Fate) {
    // What it sends out has the next hop's address already.
    let finished = xdp.changed && xdp.outcome.verdict == Verdict::Passed;
    if finished || !xdp.reasons.is_empty() {
        assert_eq!((&xdp.outcome, &xdp.reasons), (&ingress.outcome, &ingress.reasons));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What became of a packet: translated, sent by another way, answered, dropped, untouched.
    fn letter(fate: &Fate) -> char {
        match (fate.outcome.verdict, fate.changed, fate.reasons.is_empty()) {
            (Verdict::Passed, true, true) => 't',
            (Verdict::Sent, true, true) => 's',
            (Verdict::Sent, true, false) => 'a',
            (Verdict::Dropped, ..) => 'd',
            (Verdict::Passed, false, _) => '-',
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_seed_meets_what_it_is_about() {
        let expected = [
            ("connections", "ttttttttt"),
            // XDP leaves SCTP to TC.
            ("masqueraded", "ssssss-s-"),
            ("hairpin", "sss"),
            ("refused", "aadad"),
            ("ping", "a-"),
            // The third comes before the first of its datagram and is held.
            ("fragments", "ttdttt"),
            ("errors", "tttttt"),
            ("tags", "tt"),
            ("extended", "ttttt"),
            ("cut", "t--"),
        ];
        let mut rig = Rig::load().unwrap();
        for (name, letters) in expected {
            for family in ["v4", "v6"] {
                let name = format!("{name}-{family}.pcap");
                let steps = capture::read(&seed::seeds()[&name]).unwrap();
                let met: String = play(&mut rig, &steps).iter().map(letter).collect();
                assert_eq!(met, letters, "{name}");
            }
        }
        assert_eq!(seed::seeds().len(), 2 * expected.len());
    }
}
