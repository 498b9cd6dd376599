//! What a device has yet to do to a frame stays to be done: checksums that only begin with the
//! pseudo-header, and segments that are cut on the way out.

use crate::case::Case;
use crate::fragments::cases;
use crate::frame::{Frame, payload};
use crate::network::set_mtu;
use crate::rig::{Rig, each_wired};
use crate::snat::{client, node, remote, serve_elsewhere};
use crate::transport::Transport;
use crate::wire::{Far, Todo, Wire};
use crate::wired::{coming, going};
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Icmpv6Type};
use lb_common::verdict::Reason;
use std::ops::Range;

/// Where the checksum of TCP or UDP begins to sum up, and where it lies from there on.
fn checksum(frame: &Frame, case: Case) -> (u16, u16) {
    (u16::try_from(frame.l4()).unwrap(), if case.is_tcp() { 16 } else { 6 })
}

/// The bytes of a frame whose checksum a device has yet to finish.
fn unfinished(frame: &Frame, checksum: (u16, u16)) -> Vec<u8> {
    let mut bytes = frame.bytes();
    let (begin, field) = places(checksum);
    // What the rest of the sum lacks: that of the pseudo-header.
    let finished = u16::from_be_bytes([bytes[field.start], bytes[field.start + 1]]);
    bytes[field.clone()].fill(0);
    let pseudo = add(!finished, !sum(&bytes[begin..]));
    bytes[field].copy_from_slice(&pseudo.to_be_bytes());
    bytes
}

/// What a device makes of it.
fn finished(mut bytes: Vec<u8>, checksum: (u16, u16)) -> Frame {
    let (begin, field) = places(checksum);
    let check = match !sum(&bytes[begin..]) {
        // UDP has no other zero (RFC 768); TCP sums never come out like this.
        0 => u16::MAX,
        check => check,
    };
    bytes[field].copy_from_slice(&check.to_be_bytes());
    Frame::read(&bytes)
}

fn places((start, offset): (u16, u16)) -> (usize, Range<usize>) {
    let (begin, field) = (usize::from(start), usize::from(start + offset));
    (begin, field..field + 2)
}

/// The one's complement sum of big-endian words (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
    bytes.chunks(2).map(word).fold(0, add)
}

fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Sends a frame with an unfinished checksum, which must come out like this one, unfinished.
#[track_caller]
fn stays_unfinished(
    wire: &Wire,
    case: Case,
    (at, from): (Far, &Frame),
    (there, to): (Far, &Frame),
) {
    let place = checksum(from, case);
    let todo = Todo { checksum: Some(place), ..Todo::default() };
    wire.send_unfinished(at, &unfinished(from, place), todo);
    let (heard, left) = wire.hear_unfinished(there);
    assert_eq!((left, finished(heard, place)), (todo, to.clone()));
}

#[test]
fn a_checksum_that_a_device_has_yet_to_finish_is_still_to_be_finished() {
    each_wired(cases(), |rig, wire| {
        let case = rig.case;
        rig.serve(1);
        let (from, backend) = (client(case), case.backend(1));
        for asked in [case.opening(from, case.vip()), case.later(from, case.vip())].map(Box::new) {
            let asked = coming(&asked, wire.uplink);
            let sent = going(&asked.to(backend), wire.pods);
            stays_unfinished(wire, case, (Far::Wire, &asked), (Far::Cable, &sent));
        }
        let answer = coming(&case.later(backend, from), wire.pods);
        let heard = going(&answer.from(case.vip()), wire.uplink);
        stays_unfinished(wire, case, (Far::Cable, &answer), (Far::Wire, &heard));
    });
}

#[test]
fn a_checksum_that_a_device_has_yet_to_finish_survives_a_replaced_source() {
    each_wired(cases(), |rig, wire| {
        let case = rig.case;
        serve_elsewhere(rig);
        let asked = coming(&case.opening(client(case), case.vip()), wire.uplink);
        let sent = going(&asked.between(node(case, 20_000), remote(case)), wire.uplink);
        stays_unfinished(wire, case, (Far::Wire, &asked), (Far::Wire, &sent));
        let answer = coming(&case.later(remote(case), node(case, 20_000)), wire.uplink);
        let heard = going(&answer.between(case.vip(), client(case)), wire.uplink);
        stays_unfinished(wire, case, (Far::Wire, &answer), (Far::Wire, &heard));
    });
}

/// What the uplink carries, in bytes from the IP header on.
const MTU: u16 = 1_280;

/// Plays a scene of TCP with a masqueraded flow over a small uplink.
fn each_small(scene: impl Fn(&mut Rig, &Wire, &Frame)) {
    each_wired(cases().filter(|case| case.is_tcp()), |rig, wire| {
        set_mtu(wire.uplink, MTU.into());
        let case = rig.case;
        serve_elsewhere(rig);
        let later = case.later(client(case), case.vip());
        scene(rig, wire, &coming(&later, wire.uplink));
    });
}

/// Segments of this size that a device has yet to cut.
fn in_segments(frame: &Frame, size: u16) -> Todo {
    let kind = if frame.src().is_ipv4() { Todo::TCP_V4 } else { Todo::TCP_V6 };
    Todo { segments: Some((kind, size)), checksum: Some((u16::try_from(frame.l4()).unwrap(), 16)) }
}

/// The largest segment that the uplink carries.
fn fitting(frame: &Frame) -> u16 {
    MTU - u16::try_from(frame.l4() - 14 + 20).unwrap()
}

#[test]
fn segments_that_are_yet_to_be_cut_are_measured_one_by_one() {
    each_small(|rig, wire, asked| {
        let case = rig.case;
        let size = fitting(asked);
        let asked = asked.carrying(&payload(usize::from(size) * 3));
        let todo = in_segments(&asked, size);
        let place = todo.checksum.unwrap();
        wire.send_unfinished(Far::Wire, &unfinished(&asked, place), todo);
        let (heard, left) = wire.hear_unfinished(Far::Wire);
        let sent = going(&asked.between(node(case, 20_000), remote(case)), wire.uplink);
        assert_eq!((left, finished(heard, place)), (todo, sent));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn segments_that_will_not_fit_are_told_the_size() {
    each_small(|rig, wire, asked| {
        let asked = asked.carrying(&payload(usize::from(fitting(asked)) * 3));
        let todo = in_segments(&asked, fitting(&asked) + 1);
        let unfinished = unfinished(&asked, todo.checksum.unwrap());
        wire.send_unfinished(Far::Wire, &unfinished, todo);
        // The frame keeps its mark: such a sender is on this machine, and does not check.
        let told = Frame::read(&wire.hear_unfinished(Far::Wire).0);
        match told.transport {
            Transport::Icmpv4(told) => {
                let mtu = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: MTU };
                assert_eq!(told.icmp_type, Icmpv4Type::DestinationUnreachable(mtu));
            }
            Transport::Icmpv6(told) => {
                assert_eq!(told.icmp_type, Icmpv6Type::PacketTooBig { mtu: MTU.into() });
            }
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Sctp(_) => panic!("no message"),
        }
        assert_eq!(rig.reasons(), [(Reason::TooBig, 1)]);
    });
}
