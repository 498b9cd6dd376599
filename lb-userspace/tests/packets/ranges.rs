//! Who may use a guarded frontend (`loadBalancerSourceRanges`).

use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{LINK, Rig, Verdict, each, each_of};
use crate::tables::{SERVICE, leading_to, nobody};
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;
use lb_userspace::reconcile::Edit;
use std::net::{IpAddr, SocketAddr};

/// A frontend that only clients in ranges of the Service may use.
fn guarded(choice: Choice) -> FrontendValue {
    let flags = FrontendValue::GUARDED;
    FrontendValue { kind: FrontendValue::LOAD_BALANCER, flags, ..leading_to(choice) }
}

/// One backend behind a guarded frontend and behind another one.
fn serve_guarded(rig: &mut Rig) {
    rig.serve(1);
    let choice = rig.range(0, &[1]);
    rig.frontend(rig.case.vip(), guarded(choice));
    rig.frontend(rig.case.other_vip(), leading_to(choice));
}

/// A range of a service port, by the prefix length of its family.
fn range(service: u32, addr: IpAddr, len: u32) -> SourceRangeKey {
    let family = if addr.is_ipv4() { 96 } else { 0 };
    SourceRangeKey { prefix_len: 32 + family + len, service, addr: Addr::from(addr).0 }
}

fn admit(rig: &mut Rig, addr: IpAddr, len: u32) {
    rig.edit(Edit::SourceRange(range(SERVICE, addr, len), true));
}

/// The whole address.
fn all(case: Case) -> u32 {
    if case.v6 { 128 } else { 32 }
}

/// What a client sends whose address ends like this.
fn from(case: Case, host: u8) -> Frame {
    case.opening(case.on_uplink(host, 20_000 + u16::from(host)), case.vip())
}

/// Which of these hosts are admitted.
fn admitted(rig: &mut Rig, hosts: impl Iterator<Item = u8>) -> Vec<u8> {
    let case = rig.case;
    let is_admitted = |rig: &mut Rig, host: u8| {
        rig.count_anew();
        let out = rig.send(&from(case, host));
        let in_range = out.verdict == Verdict::Passed;
        if in_range {
            assert_eq!((out.frame().dst(), rig.reasons()), (case.backend(1), vec![]));
        } else {
            let reasons = vec![(Reason::SourceRange, 1)];
            assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, reasons));
        }
        in_range
    };
    hosts.filter(|host| is_admitted(rig, *host)).collect()
}

#[test]
fn without_a_range_nobody_is_admitted() {
    each(|rig| {
        serve_guarded(rig);
        assert_eq!(admitted(rig, 1..5), [0; 0]);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn one_address_is_a_range() {
    each(|rig| {
        serve_guarded(rig);
        admit(rig, rig.case.on_uplink(3, 0).ip(), all(rig.case));
        assert_eq!(admitted(rig, 1..6), [3]);
    });
}

#[test]
fn a_range_ends_at_a_bit() {
    each(|rig| {
        serve_guarded(rig);
        admit(rig, rig.case.on_uplink(0b0101_1000, 0).ip(), all(rig.case) - 3);
        let expected: Vec<u8> = (0b0101_1000..=0b0101_1111).collect();
        assert_eq!(admitted(rig, 80..104), expected);
    });
}

#[test]
fn several_ranges_add_up_and_lie_in_one_another() {
    each(|rig| {
        serve_guarded(rig);
        let len = all(rig.case);
        for (host, bits) in [(8, 3), (10, 1), (32, 2), (33, 0)] {
            admit(rig, rig.case.on_uplink(host, 0).ip(), len - bits);
        }
        let expected: Vec<u8> = (8..16).chain(32..36).collect();
        assert_eq!(admitted(rig, 1..64), expected);
        // What lay inside another one is missed by nobody.
        let inner = range(SERVICE, rig.case.on_uplink(10, 0).ip(), len - 1);
        rig.edit(Edit::SourceRange(inner, false));
        rig.lose_all();
        assert_eq!(admitted(rig, 1..64), expected);
    });
}

#[test]
fn a_range_of_everybody_admits_everybody_of_its_family() {
    each(|rig| {
        serve_guarded(rig);
        admit(rig, rig.case.on_uplink(0, 0).ip(), 0);
        assert_eq!(admitted(rig, 1..5), [1, 2, 3, 4]);
        let stranger = rig.case.opening(rig.case.stranger(), rig.case.vip());
        assert_eq!(rig.chosen(&stranger), rig.case.backend(1));
    });
}

#[test]
fn a_range_of_another_service_admits_nobody() {
    each(|rig| {
        serve_guarded(rig);
        let anybody = rig.case.on_uplink(0, 0).ip();
        for other in [SERVICE - 1, SERVICE + 1, SERVICE << 8, SERVICE << 24] {
            rig.edit(Edit::SourceRange(range(other, anybody, 0), true));
        }
        assert_eq!(admitted(rig, 1..5), [0; 0]);
    });
}

#[test]
fn a_range_that_is_gone_admits_nobody_new() {
    each(|rig| {
        serve_guarded(rig);
        let case = rig.case;
        admit(rig, case.on_uplink(0, 0).ip(), 0);
        assert_eq!(admitted(rig, 1..3), [1, 2]);
        rig.edit(Edit::SourceRange(range(SERVICE, case.on_uplink(0, 0).ip(), 0), false));
        assert_eq!(admitted(rig, 3..5), [0; 0]);
        let later = case.later(from(case, 1).src(), case.vip());
        assert_eq!(rig.chosen(&later), case.backend(1), "a known flow goes on");
    });
}

#[test]
fn pods_are_judged_too() {
    each(|rig| {
        serve_guarded(rig);
        let case = rig.case;
        for kind in [LinkValue::POD, LinkValue::UPLINK] {
            rig.link(LINK, kind, None);
            rig.drops(&case.opening(case.pod(20_000), case.vip()), Reason::SourceRange);
        }
        admit(rig, case.pod(0).ip(), all(case));
        assert_eq!(rig.chosen(&case.opening(case.pod(20_000), case.vip())), case.backend(1));
    });
}

#[test]
fn a_client_is_judged_before_endpoints_are_looked_for() {
    each(|rig| {
        let case = rig.case;
        for flags in [0, Choice::DROP] {
            rig.frontend(case.vip(), guarded(nobody(flags)));
            rig.drops(&from(case, 1), Reason::SourceRange);
        }
        admit(rig, case.on_uplink(1, 0).ip(), all(case));
        rig.drops(&from(case, 1), Reason::NoLocalEndpoint);
        rig.frontend(case.vip(), guarded(nobody(0)));
        rig.count_anew();
        assert_eq!(rig.send(&from(case, 1)).verdict, rig.turned_back());
        assert_eq!(rig.reasons(), [(Reason::NoEndpoint, 1)]);
    });
}

#[test]
fn other_frontends_of_the_service_are_not_guarded() {
    each(|rig| {
        serve_guarded(rig);
        let case = rig.case;
        let asked = from(case, 1).to(case.other_vip());
        assert_eq!(rig.chosen(&asked), case.backend(1));
        admit(rig, case.on_uplink(2, 0).ip(), all(case));
        let asked = from(case, 3).to(case.other_vip());
        assert_eq!(rig.chosen(&asked), case.backend(1));
    });
}

#[test]
fn sctp_is_judged_too() {
    each_of(Case::sctp(), |rig| {
        serve_guarded(rig);
        admit(rig, rig.case.on_uplink(3, 0).ip(), all(rig.case));
        assert_eq!(admitted(rig, 1..6), [3]);
    });
}

#[test]
fn a_guarded_port_is_no_closed_port() {
    each(|rig| {
        serve_guarded(rig);
        let other = SocketAddr::new(rig.case.vip().ip(), 81);
        rig.passes(&from(rig.case, 1).to(other));
    });
}
