//! What becomes of frames on links: fragments that were put back on their way, and tags beside
//! the bytes of a frame, where the kernel puts the outer one before a TC program sees it.

use crate::case::{Case, TARGET_PORT, neighbour_mac};
use crate::fragments::{answer, asked, cases, cut};
use crate::frame::{Frame, HOPS, PEER_MAC};
use crate::ip::addresses;
use crate::network::Link;
use crate::rig::each_wired;
use crate::shape::{reassembled, tagged};
use crate::snat::{self, client, node, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to, nobody};
use crate::wire::{Far, Wire};
use lb_common::verdict::Reason;

/// Orders in which three fragments may come.
const ORDERS: [[usize; 3]; 5] = [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// A frame that the node gets.
pub(super) fn coming(frame: &Frame, link: Link) -> Frame {
    frame.over((PEER_MAC, link.mac))
}

/// The frame that the node sends on to the next hop.
pub(super) fn going(frame: &Frame, link: Link) -> Frame {
    frame.hops(HOPS - 1).over((link.mac, neighbour_mac(frame.dst().ip())))
}

/// Sends fragments of `from` in this order, whose node sends on `to`.
#[track_caller]
fn arrives(wire: &Wire, (at, from): (Far, &Frame), (there, to): (Far, &Frame), order: [usize; 3]) {
    let pieces = cut(from);
    for n in order {
        wire.send(at, &pieces[n]);
    }
    let mut heard = wire.hear(there, pieces.len());
    assert_eq!(reassembled(&heard).payload, to.payload, "{order:?}");
    let mut expected = cut(to);
    heard.sort();
    expected.sort();
    assert_eq!(heard, expected, "{order:?}");
}

/// How many fragments wait in an order.
fn waits(order: [usize; 3]) -> Vec<(Reason, u64)> {
    let early = order.iter().take_while(|n| **n != 0).count() as u64;
    if early == 0 { vec![] } else { vec![(Reason::FragmentHeld, early)] }
}

#[test]
fn fragments_in_any_order_reach_a_backend_of_this_node() {
    for order in ORDERS {
        each_wired(cases(), |rig, wire| {
            let case = rig.case;
            rig.serve(1);
            let asked = coming(&asked(case).from(client(case)), wire.uplink);
            let sent = going(&asked.to(case.backend(1)), wire.pods);
            arrives(wire, (Far::Wire, &asked), (Far::Cable, &sent), order);
            assert_eq!(rig.reasons(), waits(order));
        });
    }
}

#[test]
fn fragments_in_any_order_reach_a_backend_elsewhere_and_are_answered() {
    for order in ORDERS {
        each_wired(cases(), |rig, wire| {
            let case = rig.case;
            serve_elsewhere(rig);
            rig.backend_address_of(remote(case));
            let asked = coming(&asked(case).from(client(case)), wire.uplink);
            let sent = going(&asked.between(node(case, 20_000), remote(case)), wire.uplink);
            arrives(wire, (Far::Wire, &asked), (Far::Wire, &sent), order);
            assert_eq!(rig.reasons(), waits(order));
            rig.count_anew();
            let answer = answer(case).between(remote(case), node(case, 20_000));
            let answer = coming(&answer, wire.uplink);
            let heard = going(&answer.between(case.vip(), client(case)), wire.uplink);
            arrives(wire, (Far::Wire, &answer), (Far::Wire, &heard), order);
            assert_eq!(rig.reasons(), waits(order));
        });
    }
}

#[test]
fn answers_in_fragments_leave_in_any_order() {
    for order in ORDERS {
        each_wired(cases(), |rig, wire| {
            let case = rig.case;
            rig.serve(1);
            rig.backend_address();
            rig.chosen(&case.opening(client(case), case.vip()));
            rig.count_anew();
            let answer = coming(&answer(case).to(client(case)), wire.pods);
            let heard = going(&answer.from(case.vip()), wire.uplink);
            arrives(wire, (Far::Cable, &answer), (Far::Wire, &heard), order);
            assert_eq!(rig.reasons(), waits(order));
        });
    }
}

/// What two switches on the way have put in front of a frame; the outer tag goes beside its bytes.
const TAGS: [&[(u16, u16)]; 3] =
    [&[(0x8100, 0x6007)], &[(0x88a8, 12)], &[(0x88a8, 12), (0x8100, 0x0fff)]];

#[test]
fn tags_come_off_packets_whose_source_is_replaced() {
    for tags in TAGS {
        each_wired(Case::in_tc(), |rig, wire| {
            let case = rig.case;
            serve_elsewhere(rig);
            let asked = coming(&snat::asked(case), wire.uplink);
            let sent = going(&asked.between(node(case, 20_000), remote(case)), wire.uplink);
            // The first one of a flow, and another.
            for _ in 0..2 {
                wire.send(Far::Wire, &tagged(&asked.bytes(), tags));
                assert_eq!(wire.hear(Far::Wire, 1), [sent.bytes()]);
            }
            let answer = coming(&case.later(remote(case), node(case, 20_000)), wire.uplink);
            let heard = going(&answer.between(case.vip(), client(case)), wire.uplink);
            wire.send(Far::Wire, &tagged(&answer.bytes(), tags));
            assert_eq!(wire.hear(Far::Wire, 1), [heard.bytes()]);
            assert_eq!(rig.reasons(), []);
        });
    }
}

#[test]
fn fragments_with_tags_wait_for_their_first_and_lose_them() {
    for tags in TAGS {
        each_wired(cases(), |rig, wire| {
            let case = rig.case;
            serve_elsewhere(rig);
            let asked = coming(&asked(case).from(client(case)), wire.uplink);
            let sent = going(&asked.between(node(case, 20_000), remote(case)), wire.uplink);
            for fragment in cut(&asked).iter().rev() {
                wire.send(Far::Wire, &tagged(fragment, tags));
            }
            let (mut heard, mut expected) = (wire.hear(Far::Wire, 3), cut(&sent));
            heard.sort();
            expected.sort();
            assert_eq!(heard, expected);
        });
    }
}

#[test]
fn a_tagged_client_that_is_its_own_backend_hears_from_the_node_in_its_vlan() {
    for tags in TAGS {
        each_wired(Case::in_tc(), |rig, wire| {
            let case = rig.case;
            let server = case.on_uplink(1, TARGET_PORT);
            let choice = rig.behind(&[server], HERE);
            rig.frontend(case.vip(), leading_to(choice));
            let asked = coming(&snat::asked(case), wire.uplink);
            let sent = asked.between(node(case, 20_000), server).hops(HOPS - 1);
            let sent = sent.over((wire.uplink.mac, PEER_MAC));
            wire.send(Far::Wire, &tagged(&asked.bytes(), tags));
            assert_eq!(wire.hear(Far::Wire, 1), [tagged(&sent.bytes(), tags)]);
        });
    }
}

#[test]
fn a_tagged_client_is_refused_in_its_vlan() {
    for tags in TAGS {
        each_wired(Case::in_tc(), |rig, wire| {
            let case = rig.case;
            rig.frontend(case.vip(), leading_to(nobody(0)));
            let asked = coming(&snat::asked(case), wire.uplink);
            wire.send(Far::Wire, &tagged(&asked.bytes(), tags));
            let heard = wire.hear(Far::Wire, 1);
            let (told, without) = (&heard[0], 12 + 4 * tags.len());
            assert_eq!(told[12..without], tagged(&asked.bytes(), tags)[12..without]);
            let refusal = Frame::read(&[&told[..12], &told[without..]].concat());
            assert_eq!(addresses(&refusal.ip), (case.vip().ip(), client(case).ip()));
            assert_eq!(rig.reasons(), [(Reason::NoEndpoint, 1)]);
        });
    }
}
