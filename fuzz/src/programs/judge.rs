//! What must hold for a packet, whatever it is.
//!
//! One that is cut, or whose lengths lie, is never translated and opens no flow. One that ends here
//! is counted. One that goes on as another differs in what a translation changes and in nothing
//! else, and what was right in it is right afterwards.

use super::capture::Step;
use super::coverage;
use super::mask::masked;
use super::rig::{Outcome, Rig, Verdict};
use super::strict::{Parts, Reading};
use lb_common::verdict::Reason;

/// What became of a packet.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    pub(super) outcome: Outcome,
    /// It is not what it was.
    pub(super) changed: bool,
    /// What was counted for it.
    pub(super) reasons: Vec<Reason>,
}

impl Fate {
    /// Which of the few things that may become of a packet.
    pub(super) fn kind(&self) -> (Verdict, bool, Vec<u8>) {
        let reasons = self.reasons.iter().map(|reason| *reason as u8).collect();
        (self.outcome.verdict, self.changed, reasons)
    }
}

/// Hands a packet to its program and judges what comes out; `None`: it has no test run.
pub(super) fn meet(rig: &mut Rig, step: &Step) -> Option<Fate> {
    let reading = Reading::of(&step.frame);
    let lies = matches!(reading, Reading::Lying(_));
    let flows = lies.then(|| rig.flows().unwrap());
    let outcome = rig.run(step).unwrap()?;
    let changed = outcome.bytes != step.frame;
    let fate = Fate { outcome, changed, reasons: rig.reasons().unwrap() };
    judge(&step.frame, &reading, &fate);
    if let Some(flows) = flows {
        assert_eq!(rig.flows().unwrap(), flows, "a flow of a packet that lies");
    }
    note(step, &reading, &fate);
    Some(fate)
}

/// Tells libFuzzer what kind of packet met which fate.
fn note(step: &Step, reading: &Reading, fate: &Fate) {
    let kind = match reading {
        Reading::Other | Reading::Odd => None,
        Reading::Lying(_) => Some((0, [false; 3], 0)),
        Reading::Read(parts) => {
            let bare = parts.l3 + if parts.v6 { 40 } else { 20 };
            let shape = [parts.v6, parts.l3 != 14, parts.l4.start != bare];
            Some((parts.proto, shape, parts.fragment as u8))
        }
    };
    coverage::note((step.hook as u8, step.link as u8, kind, fate.kind()));
}

fn judge(frame: &[u8], reading: &Reading, fate: &Fate) {
    let Fate { outcome, changed, reasons } = fate;
    if outcome.verdict == Verdict::Dropped {
        assert!(!reasons.is_empty(), "dropped without a reason");
        return;
    }
    match reading {
        Reading::Read(parts) if *changed => became(frame, parts, fate),
        Reading::Odd => {}
        Reading::Read(_) | Reading::Other => {
            assert_eq!((outcome.verdict, changed), (Verdict::Passed, &false));
        }
        Reading::Lying(lie) => {
            assert_eq!((outcome.verdict, changed), (Verdict::Passed, &false), "{lie}");
        }
    }
}

/// Judges a packet that goes on as another one.
fn became(frame: &[u8], parts: &Parts, fate: &Fate) {
    let bytes = &fate.outcome.bytes;
    let Reading::Read(now) = Reading::of(bytes) else { panic!("became {:?}", Reading::of(bytes)) };
    match fate.reasons[..] {
        [] => translated((frame, parts), (bytes, &now)),
        [reason] if reason.is_answered() => answered((frame, parts), (bytes, &now), reason),
        _ => panic!("changed, and counted as {:?}", fate.reasons),
    }
}

/// A packet and where its parts are.
type Packet<'a> = (&'a [u8], &'a Parts);

fn answered((frame, parts): Packet<'_>, (bytes, now): Packet<'_>, reason: Reason) {
    let half = parts.addresses().len() / 2;
    let sender = &frame[parts.addresses()][..half];
    assert_eq!(&bytes[now.addresses()][half..], sender, "answered to somebody else");
    // An echo comes back as it was, with its mistakes.
    if reason != Reason::Echo || parts.is_sound(frame) {
        assert!(now.is_sound(bytes), "an answer with a wrong checksum: {reason:?}");
    }
}

fn translated((frame, parts): Packet<'_>, (bytes, now): Packet<'_>) {
    // Tags are taken off a packet that leaves by another link.
    let untagged = frame.len().saturating_sub(bytes.len());
    assert!(untagged % 4 == 0 && untagged <= parts.l3 - 14, "{untagged} bytes are missing");
    let frame = [&frame[..12], &frame[12 + untagged..]].concat();
    let parts = &parts.moved(untagged);
    assert_eq!(parts, now, "headers are somewhere else");
    assert_hop(&frame, bytes, parts);
    assert_eq!(masked(&frame, parts), masked(bytes, now), "more than a translation has changed");
    if parts.is_sound(&frame) {
        assert!(now.is_sound(bytes), "a checksum is wrong now");
    }
}

/// At most one hop was taken.
fn assert_hop(frame: &[u8], bytes: &[u8], parts: &Parts) {
    let at = parts.l3 + if parts.v6 { 7 } else { 8 };
    let taken = frame[at].wrapping_sub(bytes[at]);
    assert!(taken < 2, "{taken} hops were taken");
}
