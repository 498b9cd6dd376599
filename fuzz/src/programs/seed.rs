//! Captures with a name, from which fuzzing begins: what the programs are for, once each.
//!
//! `UPDATE_SEEDS=1 cargo test -p lb-fuzz seeds` writes them to `corpus/programs`.

use super::capture::{self, Hook, Link, Step};
use super::packet::{Family, PROTOCOLS, echo, error, extend, fragments, packet, tag, turn};
use super::strict::{TCP, UDP};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FIN: u8 = 0x11;

/// All captures by name.
pub fn seeds() -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for family in [Family(false), Family(true)] {
        for (name, steps) in named(&family) {
            let name = format!("{name}-v{}.pcap", if family.0 { 6 } else { 4 });
            seeds.insert(name, capture::write(&steps));
        }
    }
    seeds
}

fn named(family: &Family) -> [(&'static str, Vec<Step>); 10] {
    [
        ("connections", connections(family)),
        ("masqueraded", masqueraded(family)),
        ("hairpin", hairpin(family)),
        ("refused", refused(family)),
        ("ping", ping(family)),
        ("fragments", in_fragments(family)),
        ("errors", errors(family)),
        ("tags", tags(family)),
        ("extended", extended(family)),
        ("cut", cut(family)),
    ]
}

fn pod(hook: Hook, frame: Vec<u8>) -> Step {
    Step { hook, link: Link::Pod, frame }
}

fn uplink(hook: Hook, frame: Vec<u8>) -> Step {
    Step { hook, link: Link::Uplink, frame }
}

/// The pod asks this Service from this port.
fn asked(family: &Family, proto: u8, vip: u8, flags: u8) -> Vec<u8> {
    packet(
        proto,
        SocketAddr::new(family.pod(), 20_000),
        SocketAddr::new(family.vip(vip), 80),
        flags,
    )
}

/// The endpoint of `one` answers.
fn answer(family: &Family, proto: u8, flags: u8) -> Vec<u8> {
    let (backend, pod) = (family.backend(), family.pod());
    packet(proto, SocketAddr::new(backend, 8080), SocketAddr::new(pod, 20_000), flags)
}

/// A pod asks, is answered, goes on and ends, with every protocol.
fn connections(family: &Family) -> Vec<Step> {
    let connection = |proto| {
        [
            pod(Hook::TcIngress, asked(family, proto, 1, SYN)),
            pod(Hook::TcEgress, answer(family, proto, SYN | ACK)),
            pod(Hook::TcIngress, asked(family, proto, 1, FIN)),
        ]
    };
    PROTOCOLS.into_iter().flat_map(connection).collect()
}

/// An outsider asks for an endpoint elsewhere, by XDP and by TC, and the endpoint answers.
fn masqueraded(family: &Family) -> Vec<Step> {
    let client = SocketAddr::new(family.host(5), 20_000);
    let service = SocketAddr::new(family.balanced(3), 80);
    let node_port = SocketAddr::new(family.node(), 30_080);
    let backend = SocketAddr::new(family.host(1), 8080);
    let connection = |proto| {
        [
            uplink(Hook::Xdp, packet(proto, client, service, SYN)),
            uplink(Hook::TcIngress, packet(proto, client, node_port, SYN)),
            uplink(Hook::Xdp, packet(proto, backend, SocketAddr::new(family.node(), 20_000), ACK)),
        ]
    };
    PROTOCOLS.into_iter().flat_map(connection).collect()
}

/// A pod that is its own endpoint.
fn hairpin(family: &Family) -> Vec<Step> {
    PROTOCOLS.map(|proto| pod(Hook::TcIngress, asked(family, proto, 6, SYN))).into()
}

/// Nobody is there, nobody is here, the port is closed, the client may not ask.
fn refused(family: &Family) -> Vec<Step> {
    let from = |client, to, port| {
        let (client, to) = (SocketAddr::new(client, 20_000), SocketAddr::new(to, port));
        uplink(Hook::TcIngress, packet(TCP, client, to, SYN))
    };
    vec![
        pod(Hook::TcIngress, asked(family, TCP, 4, SYN)),
        pod(Hook::TcIngress, asked(family, UDP, 4, 0)),
        from(family.host(5), family.balanced(5), 80),
        from(family.host(5), family.vip(1), 81),
        from(family.stranger(), family.balanced(5), 80),
    ]
}

fn ping(family: &Family) -> Vec<Step> {
    vec![
        pod(Hook::TcIngress, echo(family.pod(), family.vip(1))),
        pod(Hook::TcIngress, echo(family.pod(), family.vip(4))),
    ]
}

/// A datagram in two fragments: in order, the other way round, and one that is not ours.
fn in_fragments(family: &Family) -> Vec<Step> {
    let cut = |frame: &[u8], id| fragments(frame, 2, id).unwrap();
    let [first, last] = cut(&asked(family, UDP, 1, 0), 1);
    let [late_first, early_last] = cut(&asked(family, UDP, 1, 0), 2);
    let [answer_first, answer_last] = cut(&answer(family, UDP, 0), 3);
    vec![
        pod(Hook::TcIngress, first),
        pod(Hook::TcIngress, last),
        pod(Hook::TcIngress, early_last),
        pod(Hook::TcIngress, late_first),
        pod(Hook::TcEgress, answer_first),
        pod(Hook::TcEgress, answer_last),
    ]
}

/// An endpoint and a router complain about packets of a flow.
fn errors(family: &Family) -> Vec<Step> {
    let unreachable = if family.0 { 1 } else { 3 };
    let mut steps = Vec::new();
    for proto in [TCP, UDP] {
        let mut sent = answer(family, proto, SYN);
        turn(&mut sent);
        steps.push(pod(Hook::TcIngress, asked(family, proto, 1, SYN)));
        for (from, len) in [(family.backend(), 48), (family.stranger(), 500)] {
            steps.push(pod(Hook::TcEgress, error(from, &sent, unreachable, len).unwrap()));
        }
    }
    steps
}

/// One tag, and two.
fn tags(family: &Family) -> Vec<Step> {
    let mut once = asked(family, TCP, 1, SYN);
    tag(&mut once, false);
    let mut twice = asked(family, UDP, 1, 0);
    tag(&mut twice, false);
    tag(&mut twice, true);
    vec![pod(Hook::TcIngress, once), pod(Hook::TcIngress, twice)]
}

/// IPv4 options, IPv6 extension headers.
fn extended(family: &Family) -> Vec<Step> {
    let kinds = [60, 43, 44, 51, 0];
    let mut frame = asked(family, TCP, 1, SYN);
    let mut steps = Vec::new();
    for kind in kinds {
        extend(&mut frame, kind);
        steps.push(pod(Hook::TcIngress, frame.clone()));
    }
    steps
}

/// Packets of a flow that are cut.
fn cut(family: &Family) -> Vec<Step> {
    let whole = asked(family, UDP, 1, 0);
    let l4 = if family.0 { 54 } else { 34 };
    vec![
        pod(Hook::TcIngress, whole.clone()),
        pod(Hook::TcIngress, whole[..whole.len() - 1].to_vec()),
        pod(Hook::Xdp, whole[..l4 + 3].to_vec()),
    ]
}
