//! Fields that contradict one another, though each by itself can be read.

use super::{BadFile, joined};
use crate::simulate::expect::{Expect, Verdict};
use crate::simulate::scenario::{Node, Step};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Looks at the whole.
pub(super) fn coherent(node: &Node, steps: &[Step]) -> Result<(), BadFile> {
    if let Some(number) = node.ips.iter().position(|ip| !is_host(ip)) {
        let message = "expected an address that a node can have".to_owned();
        return Err(BadFile { place: format!("node.ips[{number}]"), message });
    }
    let mut named = BTreeSet::new();
    for (number, one) in steps.iter().enumerate() {
        let place = number.checked_sub(1).map(|number| format!("then[{number}]"));
        step(one, &place.unwrap_or_default(), &mut named)?;
    }
    Ok(())
}

/// What is wrong in a step. `named`: connections of the sequence so far.
fn step<'a>(step: &'a Step, place: &str, named: &mut BTreeSet<&'a str>) -> Result<(), BadFile> {
    for (number, packet) in step.packets.iter().enumerate() {
        let place = joined(place, &format!("packets[{number}]"));
        same_family(packet.src, packet.dst_ip, &place, "dstIP")?;
        has_backends(&packet.expect, &joined(&place, "expect"))?;
        for (number, expect) in packet.also_accept.iter().enumerate() {
            has_backends(expect, &joined(&place, &format!("alsoAccept[{number}]")))?;
        }
    }
    for (number, flow) in step.flows.iter().enumerate() {
        let place = joined(place, &format!("flows[{number}]"));
        same_family(flow.dst_ip, flow.reply_src_ip, &place, "replySrcIP")?;
    }
    for (number, connection) in step.sequence.iter().enumerate() {
        let place = joined(place, &format!("sequence[{number}]"));
        same_family(connection.src, connection.dst_ip, &place, "dstIP")?;
        let earlier = connection.expect.same_backend_as.as_deref();
        if let Some(earlier) = earlier.filter(|earlier| !named.contains(earlier)) {
            let place = joined(&place, "expect.sameBackendAs");
            let message = format!("no earlier connection is called {earlier:?}");
            return Err(BadFile { place, message });
        }
        named.insert(&connection.id);
    }
    Ok(())
}

fn is_host(ip: &IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

fn same_family(one: IpAddr, other: IpAddr, place: &str, field: &str) -> Result<(), BadFile> {
    if one.is_ipv4() == other.is_ipv4() {
        return Ok(());
    }
    let message = format!("{other} is not of the address family of {one}");
    Err(BadFile { place: joined(place, field), message })
}

fn has_backends(expect: &Expect, place: &str) -> Result<(), BadFile> {
    if expect.verdict != Verdict::Dnat || !expect.backends.is_empty() {
        return Ok(());
    }
    let message = "missing or empty, expected the backends of dnat, such as [\"10.0.0.1:80\"]";
    Err(BadFile { place: joined(place, "backends"), message: message.to_owned() })
}
