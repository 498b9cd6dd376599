//! Flows that exist before a step: opened for real, then looked at by their next packet.
//!
//! For the time in which they are opened, the Services in front of them have exactly the endpoints
//! that the flows name, and let everybody in. What is true then is the step's to say.

use super::expect::Keep;
use super::fate::{Client, Fate, Seen};
use super::judge::backend;
use super::report::{Check, json};
use super::scenario::{Class, Flow};
use super::stage::Stage;
use super::world::{self, World};
use crate::compile::{PortName, proto};
use crate::model::{
    Endpoint, EndpointPort, EndpointSlice, ObjectName, Service, Snapshot, TrafficPolicy,
};
use crate::probe::frame::Ends;
use anyhow::Result;
use lb_common::layout::frontend::FrontendKey;
use lb_common::wire::{Addr, Port};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who has opened the flows: somebody outside.
const CLIENTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2600, 0x5200, 0, 0, 0, 0, 0, 1)),
];
/// How often it is tried to reach a certain backend, for each that there is and one more.
const TRIES_PER_BACKEND: usize = 24;

/// A flow that is there.
pub(super) struct Opened<'a> {
    flow: &'a Flow,
    ends: Ends,
    state: State,
}

enum State {
    /// Translated to its backend.
    Translated,
    /// Never ours: its packets pass.
    Untouched,
    /// It could not be opened: what happened instead.
    Failed(String),
}

/// Opens them. Afterwards all of `touched` have to be planned again.
///
/// # Errors
/// The kernel refused a run or a write.
pub(super) fn open<'a>(
    stage: &mut Stage,
    world: &mut World<'_>,
    flows: &'a [Flow],
    touched: &mut BTreeSet<ObjectName>,
) -> Result<Vec<Opened<'a>>> {
    if flows.is_empty() {
        // Nothing happens before its time: an agent that is down must not see the step's events.
        return Ok(Vec::new());
    }
    let owners: Vec<Option<PortName>> = flows.iter().map(|flow| owner(world, flow)).collect();
    let before = before(&world.snapshot, flows, &owners);
    let services = owners.iter().flatten().map(|port| port.service.clone());
    touched.extend(services);

    let now = std::mem::replace(&mut world.snapshot, before);
    let edits = world.plan(touched);
    stage.datapath.apply(&edits)?;
    let mut opened = Vec::new();
    for (flow, owner) in flows.iter().zip(&owners) {
        let rivals = owner.as_ref().filter(|_| flow.is_translated()).map(|_| flows.len());
        opened.push(open_one(stage, world, flow, rivals)?);
    }
    world.snapshot = now;
    Ok(opened)
}

/// The service port that a flow was aimed at.
fn owner(world: &World<'_>, flow: &Flow) -> Option<PortName> {
    let (addr, port) = (Addr::from(flow.dst_ip), Port::new(flow.dst().port()));
    let number = proto(flow.proto);
    let own = FrontendKey::of(addr, port, number);
    let node_port = FrontendKey::node_port(port, number, flow.dst_ip.is_ipv6());
    let is_meant =
        |key: &FrontendKey| *key == own || (*key == node_port && world.own().addrs.contains(&addr));
    let plans = world.snapshot.services.keys();
    let plans = plans.filter_map(|name| world::plan(&world.snapshot, name, &world.view));
    let mut ports = plans.flat_map(|plan| plan.ports);
    ports.find(|port| port.frontends.iter().any(|plan| is_meant(&plan.key))).map(|port| port.name)
}

/// The cluster as it was when the flows were opened.
fn before(now: &Snapshot, flows: &[Flow], owners: &[Option<PortName>]) -> Snapshot {
    let mut before = now.clone();
    for port in owners.iter().flatten() {
        before.slices.remove(&port.service);
        if let Some(service) = before.services.get_mut(&port.service) {
            open_to_all(service);
        }
    }
    for (number, (flow, owner)) in flows.iter().zip(owners).enumerate() {
        if let Some(port) = owner.as_ref().filter(|_| flow.is_translated()) {
            let slice = slice(port, flow, number);
            let slices = before.slices.entry(port.service.clone()).or_default();
            slices.insert(slice.name.name.clone(), slice);
        }
    }
    before
}

/// Who opened a flow was let in, and not because of an earlier one.
fn open_to_all(service: &mut Service) {
    service.source_ranges = Vec::new();
    service.affinity_timeout_s = None;
    service.internal_policy = TrafficPolicy::Cluster;
    service.external_policy = TrafficPolicy::Cluster;
}

/// The endpoint that answered a flow.
fn slice(port: &PortName, flow: &Flow, number: usize) -> EndpointSlice {
    let endpoint = Endpoint {
        address: flow.reply_src_ip,
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        hostname: None,
        pod: None,
        unready: None,
    };
    EndpointSlice {
        name: ObjectName::new(&port.service.namespace, format!("flow-{number}")),
        service: port.service.name.clone(),
        ports: vec![EndpointPort {
            name: port.port.clone(),
            protocol: port.protocol,
            port: flow.reply_src().port(),
        }],
        endpoints: vec![endpoint],
        unusable: Vec::new(),
        trigger: None,
    }
}

/// Opens a flow that has so many rivals for backends; `None`: it is none of ours.
fn open_one<'a>(
    stage: &mut Stage,
    world: &World<'_>,
    flow: &'a Flow,
    rivals: Option<usize>,
) -> Result<Opened<'a>> {
    let client = client(world, flow);
    let wanted = flow.reply_src();
    let mut seen = Seen::default();
    let Some(rivals) = rivals else {
        let ends = client.ends(stage.next_port(), flow.proto, flow.dst());
        return Ok(Opened { flow, ends, state: State::Untouched });
    };
    for _ in 0..TRIES_PER_BACKEND * (rivals + 1) {
        let ends = client.ends(stage.next_port(), flow.proto, flow.dst());
        let fate = stage.open(&client, &ends, true)?;
        if backend(&fate) == Some(wanted) {
            return Ok(Opened { flow, ends, state: State::Translated });
        }
        seen.add(fate, &client);
    }
    let ends = client.ends(stage.next_port(), flow.proto, flow.dst());
    let instead = format!("it could not be opened: {}", seen.actual().summary());
    Ok(Opened { flow, ends, state: State::Failed(instead) })
}

fn client<'a>(world: &World<'a>, flow: &Flow) -> Client<'a> {
    let [v4, v6] = CLIENTS;
    let ip = if flow.dst_ip.is_ipv4() { v4 } else { v6 };
    Client { node: world.node, class: Class::External, ip }
}

impl Opened<'_> {
    /// Judges it by its next packet.
    ///
    /// # Errors
    /// The kernel refused a run.
    pub(super) fn judge(&self, stage: &mut Stage, world: &World<'_>) -> Result<Check> {
        let Self { flow, ends, state } = self;
        let services = &world.tables().services;
        let before = stage.flows_opened(services.keys())?;
        let fate = stage.go_on(&client(world, flow), ends)?;
        // A flow that was forgotten may be opened anew to the same backend.
        let is_new = stage.flows_opened(services.keys())? != before;
        let kept = match state {
            State::Translated => backend(&fate) == Some(flow.reply_src()) && !is_new,
            // A port that nobody has is refused to whoever begins there. What somebody else
            // translated there is in his table, and stays there.
            State::Untouched | State::Failed(_) => {
                fate == Fate::Pass || (fate == Fate::Reject && owner(world, flow).is_none())
            }
        };
        let actual = if kept { Keep::Keep } else { Keep::Delete };
        let next = format!("{}{}", next(&fate), if is_new { " as a new flow" } else { "" });
        let mut differences = Vec::new();
        match (state, &fate) {
            (State::Failed(why), _) | (_, Fate::Odd(why)) => differences.push(why.clone()),
            _ if actual == flow.expect => {}
            _ => differences.push(format!("expected {}, its next packet {next}", flow.expect)),
        }
        let about =
            format!("{} {} answered by {}", flow.proto.name(), flow.dst(), flow.reply_src());
        Ok(Check {
            name: flow.name.clone().unwrap_or_else(|| format!("flow {about}")),
            about,
            summary: format!("{actual}, {next}"),
            expected: json(&flow.expect),
            actual: json(&actual),
            ok: differences.is_empty(),
            differences,
        })
    }
}

/// What became of a packet, as the rest of a sentence.
fn next(fate: &Fate) -> String {
    match fate {
        Fate::Dnat(backend, _) => format!("goes to {backend}"),
        Fate::Pass => "passes untouched".to_owned(),
        Fate::Drop => "is dropped".to_owned(),
        Fate::Reject => "is refused".to_owned(),
        Fate::Odd(_) => "is lost".to_owned(),
    }
}
