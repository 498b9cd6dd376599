//! What is planned, what the kernel's maps hold, and what the next agent reads there are the same.
//! Needs root.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use bytemuck::Zeroable as _;
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::wire::{Addr, Port};
use lb_userspace::bpf::loader::{self, Capacities, Constants, Pins};
use lb_userspace::bpf::maps::{self, Maps};
use lb_userspace::compile::{self, NodeView};
use lb_userspace::model::{EndpointSlice, Service};
use lb_userspace::reconcile::ids::Limits;
use lb_userspace::reconcile::planner::NodeTables;
use lb_userspace::reconcile::{Edit, Planner, Tables};
use lb_userspace::source::{Report, convert};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A Service that needs every table, in both families, and its slices.
fn objects() -> (Service, BTreeMap<String, EndpointSlice>) {
    let service = convert::service(
        &serde_json::from_value(json!({
            "metadata": {"name": "web", "annotations": {"service.lb/affinity-scope": "service"}},
            "spec": {
                "type": "LoadBalancer",
                "clusterIPs": ["10.96.0.1", "fd00:10:96::1"],
                "externalTrafficPolicy": "Local",
                "loadBalancerSourceRanges": [
                    "203.0.113.0/25", "192.0.2.0/24", "203.0.113.7/32", "fd00:2::/64",
                ],
                "sessionAffinity": "ClientIP",
                "ports": [
                    {"name": "http", "port": 80, "nodePort": 30080},
                    {"name": "https", "port": 443},
                ],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"ip": "fd00:3::1"}]}},
        }))
        .unwrap(),
        &mut Report::new("web"),
    );
    let slices = [("IPv4", "10.244.0.1"), ("IPv6", "fd00:10:244::1")];
    let slices = slices.map(|(family, addr)| slice(family, addr));
    let named = slices.into_iter().map(|slice| (slice.name.name.clone(), slice));
    (service.unwrap(), named.collect())
}

fn slice(family: &str, addr: &str) -> EndpointSlice {
    let labels = json!({"kubernetes.io/service-name": "web"});
    let object: Value = json!({
        "metadata": {"name": format!("web-{}", family.to_lowercase()), "labels": labels},
        "addressType": family,
        "endpoints": [{"addresses": [addr], "nodeName": "node"}],
        "ports": [{"name": "http", "port": 8080}, {"name": "https", "port": 8443}],
    });
    let object = serde_json::from_value(object).unwrap();
    convert::endpoint_slice(&object, &mut Report::new("slice")).unwrap()
}

/// An agent that takes over what the tables hold, and what it writes.
fn plan(held: Tables) -> (Planner, Vec<Edit>) {
    let addrs = ["192.0.2.200", "2001:db8::200"].map(|addr| addr.parse::<IpAddr>().unwrap());
    let (service, slices) = objects();
    let view = NodeView { name: "node".to_owned(), primary: addrs.to_vec(), ..NodeView::default() };
    let mut planner = Planner::adopt(held, Limits::default());
    let mut edits = planner.update_node(&NodeTables {
        addrs: addrs.into_iter().map(Addr::from).collect(),
        answer_ping: true,
        ..NodeTables::default()
    });
    let plan = compile::plan(&service, &slices, &view);
    edits.extend(planner.update(&service.name, Some(&plan)));
    edits.extend(planner.forget_unplanned());
    (planner, edits)
}

#[test]
fn the_kernel_holds_what_is_planned_and_the_next_agent_finds_it() {
    let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0, watched: false };
    let mut ebpf = loader::load(&constants, &Capacities::default(), None).unwrap();
    let mut maps = Maps::take(&mut ebpf).unwrap();
    let (planner, edits) = plan(maps.tables().unwrap());
    for edit in &edits {
        maps.apply(edit).unwrap();
    }
    let Tables { source_ranges, siblings, addresses, frontends, .. } = planner.actual();
    // For each of two ports: three ranges of IPv4 and the own address, one of IPv6.
    assert_eq!((source_ranges.len(), siblings.len(), addresses.len()), (10, 4, 8));
    assert_eq!(frontends.len(), 10);
    assert_eq!(maps.tables().unwrap(), *planner.actual());

    let (mut next, edits) = plan(maps.tables().unwrap());
    assert_eq!(edits, []);

    for edit in next.update(&objects().0.name, None) {
        maps.apply(&edit).unwrap();
    }
    let left = maps.tables().unwrap();
    assert!(left.source_ranges.is_empty() && left.siblings.is_empty());
    assert_eq!(left, *next.actual());
}

/// Flows are counted in batches; these are several.
#[test]
fn entries_of_a_large_table_are_counted() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .unwrap();
    let bpffs = tempfile::tempdir().unwrap();
    mount(Some("bpf"), bpffs.path(), Some("bpf"), MsFlags::empty(), None::<&str>).unwrap();
    let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0, watched: false };
    let pins = Pins { maps: bpffs.path(), load: bpffs.path() };
    let mut ebpf = loader::load(&constants, &Capacities::default(), Some(pins)).unwrap();
    let mut maps = Maps::take(&mut ebpf).unwrap();
    let evicting = || maps::evicting(bpffs.path()).unwrap();
    assert!(evicting().iter().all(|(_, entries)| *entries == 0), "{:?}", evicting());
    for flow in 0..10_000_u32 {
        let [a, b, c, d] = flow.to_be_bytes();
        let key =
            FlowKey { src: Addr::v4([10, b, c, d]), sport: Port([a, 1]), ..FlowKey::zeroed() };
        maps.put_flow(key, FlowValue::zeroed()).unwrap();
    }
    assert_eq!(evicting(), [("CONNTRACK", 10_000), ("AFFINITY", 0), ("SOCKETS", 0)]);
    assert_eq!(maps.flows().unwrap().len(), 10_000);
    umount2(bpffs.path(), MntFlags::MNT_DETACH).unwrap();
}
