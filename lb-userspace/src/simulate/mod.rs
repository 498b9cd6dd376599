//! Scenarios through the real programs: objects in, packets in, verdicts out.
//!
//! A scenario is one node's view of a cluster, what is sent, and what must come out
//! (`docs/simulate.md`). Its objects take the agent's own way (`source`, `compile`, `reconcile`)
//! into maps that nobody else sees; its packets are handed to the loaded programs, in a network
//! namespace that only this process is in. Nothing on the machine is touched or used, but a control
//! group of this name, while processes of the node are played.
//!
//! The engine knows nothing of kube-proxy's rules: what is right stands in the file.

/// The words of the format.
mod scenario;
/// What must come out.
mod expect;
/// The text of a file to a scenario.
mod read;
/// What came out.
mod report;
/// What became of packets.
mod fate;
/// A node in a network namespace.
mod network;
/// The loaded programs on it.
mod stage;
/// Its processes.
mod socket;
/// Its agent.
mod world;
/// First packets of connections.
mod judge;
/// Flows that exist before a step.
mod flows;
/// Connections in order, with time.
mod sequence;
/// Questions to the health check server.
mod http;
/// What the agent knows and wants.
mod facts;

pub use read::BadFile;
pub use report::{Check, Report};
pub use scenario::Scenario;

use crate::compile::node::SnatMode;
use crate::health::Server;
use crate::model::ObjectName;
use crate::reconcile::ids::Limits;
use anyhow::{Context as _, Result, anyhow};
use facts::{Happened, facts};
use lb_common::layout::capacity;
use scenario::{Class, Step};
use sequence::Timeline;
use stage::{CAPACITIES, Stage};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use world::World;

const LIMITS: Limits = Limits {
    services: CAPACITIES.services,
    backends: CAPACITIES.backends,
    slots: CAPACITIES.slots,
    frontends: CAPACITIES.frontends,
    source_ranges: capacity::SOURCE_RANGES,
    siblings: capacity::SIBLINGS,
};

/// Runs scenarios, one after another, over programs that are loaded once.
///
/// The work is done by a thread that lives in its own network namespace.
pub struct Simulator {
    /// `None` while it ends.
    scenarios: Option<Sender<Scenario>>,
    reports: Receiver<Result<Report>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Loads the programs. `snat`: when clients' addresses are replaced.
    ///
    /// # Errors
    /// No rights, or the kernel lacks something.
    pub fn start(snat: SnatMode) -> Result<Self> {
        let (scenarios, jobs) = channel();
        let (out, reports) = channel();
        let (ready_out, ready) = channel();
        let work = move || match Stage::build() {
            Ok(stage) => {
                let _ = ready_out.send(Ok(()));
                work(stage, snat, &jobs, &out);
            }
            Err(error) => drop(ready_out.send(Err(error))),
        };
        let thread = thread::Builder::new().name("simulate".to_owned()).spawn(work)?;
        ready.recv().unwrap_or_else(|_| Err(ended()))?;
        Ok(Self { scenarios: Some(scenarios), reports, thread: Some(thread) })
    }

    /// Runs one.
    ///
    /// # Errors
    /// It cannot be played: the kernel refused an address, a packet or a call of it.
    pub fn run(&mut self, scenario: Scenario) -> Result<Report> {
        let scenarios = self.scenarios.as_ref().ok_or_else(ended)?;
        scenarios.send(scenario).map_err(|_| ended())?;
        self.reports.recv().unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.scenarios.take();
        if let Some(thread) = self.thread.take() {
            // A panic has been told on standard error already.
            let _ = thread.join();
        }
    }
}

fn ended() -> anyhow::Error {
    anyhow!("the thread that runs scenarios has ended")
}

fn work(mut stage: Stage, snat: SnatMode, jobs: &Receiver<Scenario>, out: &Sender<Result<Report>>) {
    for scenario in jobs {
        if out.send(run(&mut stage, snat, &scenario)).is_err() {
            return;
        }
    }
}

fn run(stage: &mut Stage, snat: SnatMode, scenario: &Scenario) -> Result<Report> {
    stage.datapath.clear()?;
    stage.network.set_addrs(&scenario.node)?;
    let links = stage.network.links(&scenario.node);
    let server = Server::new(stage.network.runtime());
    let world = World::new(&scenario.node, snat, links, LIMITS);
    let mut run = Run { stage, world, server, timeline: Timeline::default() };
    // An agent without objects: the tables have to know the node before anything is opened.
    run.restart()?;

    let mut checks = Vec::new();
    for (number, step) in scenario.steps.iter().enumerate() {
        let name = if number == 0 { "start".to_owned() } else { format!("then {number}") };
        let judged = run.play(step, number == 0).with_context(|| name.clone())?;
        let prefix = if number == 0 { String::new() } else { name + ": " };
        checks.extend(judged.into_iter().map(|check| check.within(&prefix)));
    }
    Ok(Report::new(scenario, checks, run.world.problems()))
}

/// A scenario that is being played.
struct Run<'a> {
    stage: &'a mut Stage,
    world: World<'a>,
    server: Server,
    timeline: Timeline,
}

impl Run<'_> {
    /// Lets a step happen and judges what is expected of it.
    fn play(&mut self, step: &Step, start: bool) -> Result<Vec<Check>> {
        let before = self.world.tables().clone();
        let known = self.world.snapshot.clone();
        let mut touched = self.world.observe(&step.changes);
        let opened = flows::open(self.stage, &mut self.world, &step.flows, &mut touched)?;
        let edits = if start || step.restart { self.restart()? } else { self.plan(&touched)? };
        let pods = self.pods(step);
        self.stage.network.set_pods(&pods)?;
        http::settle(&mut self.server, &self.world, step);

        let Self { stage, world, timeline, .. } = self;
        let changed = world.snapshot != known || edits != 0;
        let mut checks = Vec::new();
        for packet in &step.packets {
            checks.push(judge::packet(stage, world, packet)?);
        }
        for flow in &opened {
            checks.push(flow.judge(stage, world)?);
        }
        for connection in &step.sequence {
            checks.push(timeline.judge(stage, world, connection)?);
        }
        checks.extend(http::judge(&stage.network, world, step)?);
        checks.extend(facts(&step.expected, world, &Happened { before: &before, changed }));
        Ok(checks)
    }

    /// Another agent takes over what the tables hold. Gives the number of its edits.
    fn restart(&mut self) -> Result<usize> {
        let held = self.stage.datapath.maps().tables()?;
        let edits = self.world.restart(held);
        self.stage.datapath.apply(&edits)?;
        Ok(edits.len())
    }

    /// Plans these Services. Gives the number of edits.
    fn plan(&mut self, services: &BTreeSet<ObjectName>) -> Result<usize> {
        let edits = self.world.plan(services);
        self.stage.datapath.apply(&edits)?;
        Ok(edits.len())
    }

    /// Addresses of pods of this node: endpoints here, and clients that are told to be pods.
    fn pods(&self, step: &Step) -> BTreeSet<IpAddr> {
        let node = self.world.node;
        let packets = step.packets.iter().map(|packet| (packet.from, packet.src));
        let connections = step.sequence.iter().map(|connection| (connection.from, connection.src));
        let clients = packets.chain(connections).filter(|(from, ip)| {
            from.unwrap_or_else(|| node.class(ip)) == Class::Pod && node.takes_for_pod(ip)
        });
        let mut pods = self.world.local_pods();
        pods.extend(clients.map(|(_, ip)| ip));
        pods
    }
}
