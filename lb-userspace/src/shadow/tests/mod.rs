//! `nftables.json` is what nft 1.0.6 printed of what kube-proxy 1.36.3 had programmed on a node,
//! `iptables.txt` what iptables-save 1.8.9 printed of the same Services in the other mode.

use super::*;
use crate::reconcile::Tables;
use bytemuck::Zeroable as _;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::wire::Port;

const NFTABLES: &str = include_str!("nftables.json");
const IPTABLES: &str = include_str!("iptables.txt");

fn at(addr: Option<&str>, port: u16, proto: IpProto) -> Frontend {
    let addr = addr.map(|addr| addr.parse().unwrap());
    Frontend { addr, family: Family::V4, port, proto }
}

fn to(endpoints: &[&str]) -> Lead {
    Lead::To(endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect())
}

/// What both rulesets mean.
fn programmed() -> Leads {
    let (tcp, udp, sctp) = (IpProto::TCP, IpProto::UDP, IpProto::SCTP);
    let web = to(&["10.244.0.11:8080", "10.244.1.12:8080"]);
    let dns = to(&["10.244.0.2:53", "10.244.1.2:53"]);
    Leads::from([
        (at(Some("10.96.0.1"), 443, tcp), to(&["172.30.0.1:6443"])),
        (at(Some("10.96.0.10"), 53, tcp), dns.clone()),
        (at(Some("10.96.0.10"), 53, udp), dns),
        (at(Some("10.96.0.20"), 80, tcp), web.clone()),
        (at(Some("198.51.100.7"), 80, tcp), web.clone()),
        (at(None, 30_081, tcp), web),
        // Session affinity.
        (at(Some("10.96.0.21"), 80, tcp), to(&["10.244.0.15:8080", "10.244.1.16:8080"])),
        // The external traffic policy Local, with and without an endpoint here.
        (at(Some("10.96.0.30"), 53, udp), to(&["10.244.0.13:5353", "10.244.1.14:5353"])),
        (at(None, 30_053, udp), to(&["10.244.0.13:5353"])),
        (at(Some("10.96.0.31"), 99, sctp), to(&["10.244.1.17:9999"])),
        (at(None, 30_099, sctp), Lead::Dropped),
        // Nobody serves it.
        (at(Some("10.96.0.40"), 80, tcp), Lead::Refused),
        // Source ranges.
        (at(Some("10.96.0.50"), 80, tcp), to(&["10.244.0.18:8080"])),
        (at(Some("198.51.100.9"), 80, tcp), to(&["10.244.0.18:8080"])),
    ])
}

#[test]
fn rules_of_nftables_are_read() {
    assert_eq!(nftables::read(NFTABLES, Family::V4).unwrap(), programmed());
}

#[test]
fn rules_of_iptables_are_read() {
    assert_eq!(iptables::read(IPTABLES, Family::V4), programmed());
}

/// As earlier versions of kube-proxy have it.
#[test]
fn endpoints_may_have_chains_of_their_own() {
    let json = r#"{"nftables": [
        {"map": {"name": "service-ips", "elem": [
            [{"elem": {"val": {"concat": ["10.96.0.20", "tcp", 80]}, "comment": "default/web"}},
             {"goto": {"target": "service-web"}}]]}},
        {"rule": {"chain": "service-web", "expr": [{"vmap": {
            "key": {"numgen": {"mode": "random", "mod": 1, "offset": 0}},
            "data": {"set": [[0, {"goto": {"target": "endpoint-web"}}]]}}}]}},
        {"rule": {"chain": "endpoint-web", "expr": [{"dnat": {"addr": "10.244.0.11", "port": 8080}}]}}
    ]}"#;
    let leads =
        Leads::from([(at(Some("10.96.0.20"), 80, IpProto::TCP), to(&["10.244.0.11:8080"]))]);
    assert_eq!(nftables::read(json, Family::V4).unwrap(), leads);
}

#[test]
fn rules_that_are_cut_off_are_read_or_refused() {
    for (end, _) in NFTABLES.char_indices().step_by(97) {
        let _ = nftables::read(&NFTABLES[..end], Family::V4);
    }
    for (end, _) in IPTABLES.char_indices() {
        iptables::read(&IPTABLES[..end], Family::V4);
    }
}

#[test]
fn chains_that_lead_in_circles_have_an_end() {
    let circle = "-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp --dport 80 -j KUBE-SVC-A\n\
                  -A KUBE-SVC-A -j KUBE-SVC-B\n-A KUBE-SVC-B -j KUBE-SVC-A\n";
    let leads = iptables::read(circle, Family::V4);
    assert_eq!(leads.into_values().collect::<Vec<_>>(), [to(&[])]);
}

#[test]
fn a_difference_counts_when_it_has_lasted() {
    let start = std::time::Instant::now();
    let frontend = at(None, 30_080, IpProto::TCP);
    let one = Difference { frontend, ours: Some(Lead::Refused), theirs: None };
    let other = Difference { ours: Some(Lead::Dropped), ..one.clone() };
    let mut settling = settling::Settling::default();
    settling.note([one.clone()].into(), start);
    assert_eq!(settling.settled(start + settling::LASTS / 2), [].into());
    settling.note([one.clone()].into(), start + settling::LASTS);
    assert_eq!(settling.settled(start + settling::LASTS), [one].into());
    settling.note([other].into(), start + settling::LASTS);
    assert_eq!((settling.settled(start + settling::LASTS), settling.count()), ([].into(), 1));
}

/// What `tables` mean.
fn expected() -> Leads {
    let web = to(&["10.244.0.11:8080", "10.244.1.12:8080"]);
    Leads::from([
        (at(Some("10.96.0.20"), 80, IpProto::TCP), web.clone()),
        (at(Some("198.51.100.7"), 80, IpProto::TCP), web.clone()),
        (at(None, 30_080, IpProto::TCP), web),
        (at(Some("10.96.0.30"), 53, IpProto::UDP), to(&["10.244.0.13:5353", "10.244.1.14:5353"])),
        (at(None, 30_053, IpProto::UDP), to(&["10.244.0.13:5353"])),
        (at(None, 30_099, IpProto::SCTP), Lead::Dropped),
        (at(Some("10.96.0.40"), 80, IpProto::TCP), Lead::Refused),
    ])
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    let endpoints =
        ["10.244.0.11:8080", "10.244.1.12:8080", "10.244.0.13:5353", "10.244.1.14:5353"];
    for (id, endpoint) in (1..).zip(endpoints) {
        let endpoint: SocketAddr = endpoint.parse().unwrap();
        let (addr, port) = (endpoint.ip().into(), Port::new(endpoint.port()));
        tables.backends.insert(id, BackendValue { addr, port, ..BackendValue::zeroed() });
    }
    tables.slots = BTreeMap::from([(0, vec![1, 2]), (2, vec![3, 4]), (4, vec![3])]);
    let choice = |base, len, flags| Choice { base, len, flags };
    let nobody = choice(0, 0, 0);
    let drop = choice(0, 0, Choice::LOCAL | Choice::DROP);
    let (web, edge, local) = (choice(0, 2, 0), choice(2, 2, 0), choice(4, 1, Choice::LOCAL));
    let (own, outer) = (FrontendValue::CLUSTER_IP, FrontendValue::NODE_PORT);
    for (addr, port, proto, kind, inside, outside) in [
        (Some("10.96.0.20"), 80, IpProto::TCP, own, web, web),
        (Some("198.51.100.7"), 80, IpProto::TCP, outer, web, web),
        (None, 30_080, IpProto::TCP, outer, web, web),
        (Some("10.96.0.30"), 53, IpProto::UDP, own, edge, local),
        (None, 30_053, IpProto::UDP, outer, edge, local),
        (None, 30_099, IpProto::SCTP, outer, edge, drop),
        (Some("10.96.0.40"), 80, IpProto::TCP, own, nobody, nobody),
    ] {
        let port = Port::new(port);
        let key = match addr {
            Some(addr) => FrontendKey::of(addr.parse::<IpAddr>().unwrap().into(), port, proto),
            None => FrontendKey::node_port(port, proto, false),
        };
        let value = FrontendValue { kind, inside, outside, ..FrontendValue::zeroed() };
        tables.frontends.insert(key, value);
    }
    tables
}

#[test]
fn tables_that_mean_the_same_do_not_differ() {
    assert_eq!(differences(&ours(&tables()), &expected()), BTreeSet::new());
}

#[test]
fn what_differs_is_told_from_both_sides() {
    let mut tables = tables();
    tables.slots.insert(4, vec![4]);
    let missing = FrontendKey::node_port(Port::new(30_080), IpProto::TCP, false);
    tables.frontends.remove(&missing);
    let told: Vec<_> = differences(&ours(&tables), &expected())
        .into_iter()
        .map(|one| {
            let side = |lead: Option<Lead>| lead.map_or("-".to_owned(), |lead| lead.to_string());
            format!("{}: {} | {}", one.frontend, side(one.ours), side(one.theirs))
        })
        .collect();
    assert_eq!(
        told,
        [
            "node port 30053/UDP (IPv4): 10.244.1.14:5353 | 10.244.0.13:5353",
            "node port 30080/TCP (IPv4): - | 10.244.0.11:8080,10.244.1.12:8080",
        ]
    );
}
