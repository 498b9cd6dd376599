//! The layout lock: a map layout cannot change without its version.
//!
//! `layout.lock` keeps one line per version: the version and a hash of every layout's fields,
//! offsets and sizes. When this test fails, either the change was an accident, or
//! `layout::VERSION` has to move and the new line has to be added.

#![expect(clippy::unwrap_used, reason = "writing to a string does not fail")]

use lb_common::flow::FlowKey;
use lb_common::layout::address::AddressValue;
use lb_common::layout::affinity::{AffinityKey, AffinityValue, SiblingKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::{CidrKey, Clock, LinkValue};
use lb_common::layout::service::ServiceValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::layout::{VERSION, name};
use lb_common::verdict::Reason;
use std::fmt::Write as _;
use std::mem::offset_of;

const LOCK: &str = include_str!("../layout.lock");

/// Appends the shape of a struct; naming its fields in a pattern makes a forgotten one an error.
macro_rules! shape {
    ($out:ident, $type:ident { $($field:ident),+ $(,)? }) => {
        let $type { $($field: _),+ } = bytemuck::Zeroable::zeroed();
        write!($out, "{} {}", stringify!($type), size_of::<$type>()).unwrap();
        $(write!($out, " {}@{}", stringify!($field), offset_of!($type, $field)).unwrap();)+
        $out.push('\n');
    };
}

#[rustfmt::skip]
fn shapes() -> String {
    let mut out = String::new();
    shape!(out, FlowKey { src, dst, sport, dport, proto, edge, zero });
    shape!(out, FlowValue {
        src, dst, sport, dport, addr_diff, port_diff, backend, generation, service, link, seen,
        progress, flags, zero,
    });
    shape!(out, FrontendKey { addr, port, proto, family, zero });
    shape!(out, FrontendValue {
        service, affinity, affinity_timeout_s, inside, outside, kind, flags, zero,
    });
    shape!(out, Choice { base, len, flags });
    shape!(out, BackendValue { addr, port, proto, flags, service, generation, zero });
    shape!(out, AffinityKey { client, affinity, zero });
    shape!(out, AffinityValue { backend, generation, seen });
    shape!(out, SiblingKey { addr, service, zero });
    shape!(out, SourceRangeKey { prefix_len, service, addr });
    shape!(out, FragmentKey { src, dst, id, proto, edge, zero });
    shape!(out, FragmentValue { flow, held, zero });
    shape!(out, HeldKey { datagram, number, zero });
    shape!(out, HeldValue { len, seen, frame });
    writeln!(out, "AddressValue {}", size_of::<AddressValue>()).unwrap();
    shape!(out, SocketKey { cookie, addr, port, proto, edge, zero });
    shape!(out, SocketValue { addr, port, zero, backend, generation });
    shape!(out, LinkValue { masquerade_v4, masquerade_v6, kind, tc, xdp, zero, name });
    shape!(out, CidrKey { prefix_len, addr });
    shape!(out, Clock { jiffies, monotonic_ns, hz });
    shape!(out, ServiceValue {
        namespace, name, port_name, target_port, port, node_port, proto, kind, flags, family,
    });
    shape!(out, Traffic { packets, bytes, connections });
    let maps = [&name::ALL[..], &name::OF_A_LOAD[..]].concat();
    writeln!(out, "maps {}", maps.join(" ")).unwrap();
    for reason in Reason::ALL {
        writeln!(out, "{} {}", reason as u8, reason.name()).unwrap();
    }
    out
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn layouts_change_with_their_version_only() {
    let line = format!("v{VERSION} {:016x}", hash(&shapes()));
    let locked = LOCK.lines().rfind(|line| !line.starts_with('#'));
    assert_eq!(locked, Some(line.as_str()), "the layouts are now:\n{}", shapes());
}

#[test]
fn map_names_fit_into_the_kernels_15_bytes() {
    for name in name::ALL.into_iter().chain(name::OF_A_LOAD) {
        assert!(name.len() <= 15, "{name}");
    }
}
