use super::entry::{Chosen, Door};
use super::finding::{Meaning, Place, Replaced, Why};
use super::outcome::{Leaves, Verdict};
use super::*;
use crate::cli::lbctl::resource::frontends::{ChoiceView, Verdict as Led};
use crate::cli::lbctl::resource::links::LinkKind;
use crate::cli::lbctl::words::PortRef;

const PLAIN: Style = Style { format: Format::Table, color: false };

fn packet(from: &str, to: &str) -> Packet {
    Packet { protocol: Protocol::Udp, from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn by(name: &str, kind: LinkKind, chosen: Chosen) -> Entry {
    let link =
        Door { index: 7, name: name.to_owned(), kind, tc: true, xdp: kind == LinkKind::Uplink };
    Entry::Link { link, chosen }
}

fn translated(packet: Packet, leaves: Leaves) -> Outcome {
    Outcome {
        verdict: Verdict::Translated,
        sentence: "translated".to_owned(),
        reason: None,
        program: Some("XDP"),
        packet: Some(packet),
        leaves: Some(leaves),
    }
}

fn dropped() -> Outcome {
    Outcome {
        verdict: Verdict::Dropped,
        sentence: "dropped: because".to_owned(),
        reason: Some("Because"),
        program: Some("TC ingress"),
        packet: None,
        leaves: None,
    }
}

fn choice(verdict: Led, endpoints: usize, slots: u32, local: bool) -> Finding {
    Finding::Choice(ChoiceView { verdict, endpoints, slots, snat: false, local, name_server: None })
}

#[test]
fn labels_and_texts_stand_in_columns() {
    let (from, to) = ("[2001:db8::7]:40001", "[fd00:10:96::10]:53");
    let steps = vec![
        Finding::Address {
            address: "fd00:10:96::10".parse().unwrap(),
            means: vec![Meaning::ClusterIp, Meaning::Endpoint],
        },
        Finding::Frontend { service: None, kind: "ClusterIP" },
        Finding::SourceRanges { admitted: true },
        Finding::Client { inside: true, place: Place::Elsewhere },
        choice(Led::Forward, 3, 1024, true),
        Finding::Affinity { backend: None },
        Finding::Backend { address: "[fd00::1]:5353".parse().ok(), local: false },
        Finding::Source {
            replaced: Some(Replaced { by: "[fd00::2]:2000".parse().unwrap(), why: Why::Always }),
        },
    ];
    let outcome =
        translated(packet("[fd00::2]:2000", "[fd00::1]:5353"), Leaves::Link("eth0".into()));
    let entry = by("eth0", LinkKind::Uplink, Chosen::AnyUplink);
    let shown = text::answer(&Answer { packet: packet(from, to), entry, steps, outcome }, PLAIN);
    let expected = "\
UDP [2001:db8::7]:40001 -> [fd00:10:96::10]:53, in by eth0 (uplink with XDP)
  link      an uplink: no route to 2001:db8::7 leaves by a served link
  address   fd00:10:96::10 is a ClusterIP and is an endpoint
  frontend  <gone> (ClusterIP)
  ranges    the client is in them
  client    inside, by its address
  choice    3 endpoints of this node, by a Maglev table of 1024 slots
  affinity  not remembered yet
  backend   [fd00::1]:5353, not on this node
  source    replaced by [fd00::2]:2000: so it is wanted (--snat always)
UDP [fd00::2]:2000 -> [fd00::1]:5353, out by eth0 at once
";
    assert_eq!(shown, expected);
}

#[test]
fn nobody_to_choose_is_told_by_what_follows_from_it() {
    for (finding, expected) in [
        (choice(Led::Reject, 0, 0, false), "no usable endpoint"),
        (choice(Led::Drop, 0, 0, true), "no usable endpoint of this node (Local)"),
        (choice(Led::Forward, 1, 1, false), "1 endpoint of the cluster"),
    ] {
        let steps = vec![finding];
        let entry = by("veth1", LinkKind::Pod, Chosen::AnyPod);
        let packet = packet("10.0.0.1:40001", "10.96.0.1:53");
        let answer = Answer { packet, entry, steps, outcome: dropped() };
        let expected = format!(
            "UDP 10.0.0.1:40001 -> 10.96.0.1:53, in by veth1 (pod)\n  \
             link      one of the pods' links: 10.0.0.1 is behind a bridge\n  \
             choice    {expected}\ndropped: because\n"
        );
        assert_eq!(text::answer(&answer, PLAIN), expected);
    }
}

#[test]
fn connections_are_counted_by_what_became_of_them() {
    let to = |port| packet("10.0.0.1:40001", &format!("10.244.0.11:{port}"));
    let counted = |connections, outcome| Counted { connections, outcome };
    let spread = Spread {
        packet: packet("10.0.0.1:40001", "10.96.0.1:53"),
        entry: Entry::Process { served: true },
        outcomes: vec![
            counted(7, translated(to(1), Leaves::Socket)),
            counted(112, translated(to(2), Leaves::Socket)),
            counted(1, dropped()),
        ],
    };
    let expected = "\
UDP 10.0.0.1 -> 10.96.0.1:53, from a process of this node: 120 connections
    7  10.244.0.11:1
  112  10.244.0.11:2
    1  dropped: because
";
    assert_eq!(text::spread(&spread, PLAIN), expected);
    let service =
        PortRef { namespace: "a".into(), name: "b".into(), port_name: String::new(), port: 5 };
    let named = Finding::Frontend { service: Some(service), kind: "NodePort" };
    let json = serde_json::to_value(named).unwrap();
    assert_eq!(
        (json["step"].as_str(), json["service"]["port"].as_u64()),
        (Some("frontend"), Some(5))
    );
}

#[test]
fn senders_are_addresses_with_or_without_a_port() {
    let from = |typed: &str| typed.parse::<From>().map(|from| (from.ip.to_string(), from.port));
    for (typed, ip, port) in [
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1:80", "10.0.0.1", Some(80)),
        ("fd00::1", "fd00::1", None),
        ("[fd00::1]:80", "fd00::1", Some(80)),
        ("::ffff:10.0.0.1", "10.0.0.1", None),
    ] {
        assert_eq!(from(typed).unwrap(), (ip.to_owned(), port), "{typed}");
    }
    for typed in ["", "kubia", "10.0.0.1:", "10.0.0.0/8", "fd00::1:80:90:x"] {
        assert!(from(typed).is_err(), "{typed}");
    }
}

#[test]
fn ports_that_only_root_may_use_are_left_out() {
    let all: Vec<u16> = ports(FIRST_PORT).collect();
    assert_eq!((all[0], all.len()), (FIRST_PORT, usize::from(u16::MAX - LOWEST_PORT) + 1));
    assert!(all.iter().all(|port| *port >= LOWEST_PORT));
}
