//! Who is chosen.

use crate::case::Case;
use crate::rig::{Rig, each, each_where};
use crate::tables::{HERE, SERVICE, leading_to};
use lb_common::algo::maglev::{self, Permutation};
use lb_common::layout::backend::BackendValue;
use lb_common::verdict::Reason;
use lb_userspace::reconcile::Edit;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[test]
fn three_thousand_flows_spread_evenly_over_three_backends() {
    each(|rig| {
        rig.serve(3);
        let chosen = open(rig, 3_000);
        assert_eq!(chosen.len(), 3);
        // Four standard deviations of a fair draw.
        assert!(chosen.values().all(|n| (900..=1100).contains(n)), "{chosen:?}");
    });
}

#[test]
fn a_backend_in_most_slots_gets_most_flows() {
    each(|rig| {
        let case = rig.case;
        rig.serve(2);
        let choice = rig.range(1, &[1, 2, 1, 1]);
        rig.frontend(case.vip(), leading_to(choice));
        let chosen = open(rig, 1_000);
        assert!((700..=800).contains(&chosen[&case.backend(1)]), "{chosen:?}");
    });
}

#[test]
fn a_maglev_table_is_a_range_like_others() {
    each(|rig| {
        rig.serve(3);
        let table = maglev_table(rig);
        let choice = rig.range(1, &table);
        rig.frontend(rig.case.vip(), leading_to(choice));
        let chosen = open(rig, 1_500);
        assert!(chosen.values().all(|n| (400..=600).contains(n)), "{chosen:?}");
    });
}

/// Backends 1 to 3 by cell.
fn maglev_table(rig: &Rig) -> Vec<u32> {
    const LEN: u32 = 1021;
    let name = |addr: &SocketAddr| Permutation::new(addr.to_string().as_bytes(), LEN);
    let mut backends: Vec<_> = rig.case.backends(3).iter().map(name).collect();
    let mut table = vec![0; maglev::TABLE_LEN];
    maglev::fill(&mut table, &mut backends);
    table.into_iter().map(|index| index + 1).collect()
}

/// Opens flows from consecutive ports; counts them by backend.
fn open(rig: &mut Rig, flows: u16) -> BTreeMap<SocketAddr, u32> {
    let case = rig.case;
    let mut chosen = BTreeMap::new();
    for port in (20_000..).take(flows.into()) {
        let out = rig.send(&case.opening(case.pod(port), case.vip()));
        *chosen.entry(out.frame().dst()).or_default() += 1;
    }
    chosen
}

#[test]
fn a_flow_whose_entries_were_lost_chooses_the_same_backend_again() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        for port in 20_000..20_010 {
            let asked = case.opening(case.pod(port), case.vip());
            let backend = rig.chosen(&asked);
            rig.lose(&asked);
            assert_eq!(rig.chosen(&case.later(case.pod(port), case.vip())), backend);
        }
    });
}

#[test]
fn a_slot_that_names_a_backend_of_another_service_drops_and_is_counted() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let stranger = BackendValue { service: SERVICE + 1, ..rig.backend_value(case.backend(1)) };
        rig.edit(Edit::Backend(1, stranger));
        rig.drops(&case.opening(case.pod(20_000), case.vip()), Reason::StaleSlot);
    });
}

#[test]
fn a_slot_without_a_backend_drops_and_is_counted() {
    each_where(Case::is_tcp, |rig| {
        let case = rig.case;
        rig.backend(1, case.backend(1), HERE);
        let choice = rig.range(0, &[60]);
        rig.frontend(case.vip(), leading_to(choice));
        rig.drops(&case.opening(case.pod(20_000), case.vip()), Reason::StaleSlot);
    });
}
