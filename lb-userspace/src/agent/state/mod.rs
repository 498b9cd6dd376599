//! What the agent knows, and what it does about it.

/// What it says when it is asked.
mod asked;
/// What it says unasked.
mod told;

use crate::agent::cgroup::cgroup;
use crate::agent::links::Links;
use crate::agent::measures::Measures;
use crate::agent::objects::{Objects, set};
use crate::agent::takeover::Takeover;
use crate::agent::tell::Teller;
use crate::agent::web::{self, Desk, Web};
use crate::bpf::datapath::{Datapath, Options};
use crate::bpf::loader::Capacities;
use crate::bpf::pin::PinFolder;
use crate::compile::health::{Check, check};
use crate::compile::{self, NodeView};
use crate::config::{RunArgs, SocketLb};
use crate::dns;
use crate::link::Link;
use crate::metrics::{Progress, Reader};
use crate::model::{Change, ObjectName, Problem};
use crate::reconcile::planner::NodeTables;
use crate::reconcile::{Edit, Planner, ids};
use crate::sockets;
use crate::status::Events;
use anyhow::Result;
use bytemuck::Zeroable as _;
use lb_common::layout::node::LinkValue;
use lb_common::wire::IpProto;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::mpsc::Sender;

/// The agent's state.
pub(super) struct State {
    args: RunArgs,
    datapath: Datapath,
    planner: Planner,
    objects: Objects,
    /// The node as the rules see it.
    view: NodeView,
    links: Links,
    /// What load balancers are told.
    checks: BTreeMap<ObjectName, Check>,
    teller: Teller,
    sockets: sockets::Closer,
    takeover: Takeover,
    web: Web,
    /// The name server, if there is one.
    dns: Option<dns::Handle>,
    measures: Measures,
    started: bool,
    /// Whoever waits has been told that all is done.
    announced: bool,
    settings_problem: Option<Problem>,
    failures: Vec<String>,
}

impl State {
    /// Loads or takes over the datapath.
    pub(super) fn load(
        args: &RunArgs,
        node: String,
        source: String,
        (events, conditions, dns): (Option<Events>, Sender<web::Asked>, Option<dns::Handle>),
    ) -> Result<Self> {
        let pins = PinFolder::new(&args.places.bpffs);
        let progress = Progress::default();
        let desk = Desk {
            progress: progress.clone(),
            conditions,
            reader: Arc::new(Mutex::new(Reader::new(pins.maps()))),
            limits: args.metrics.limits(),
            dns: dns.as_ref().map(|dns| dns.numbers().clone()),
        };
        let mut datapath = Datapath::load(Options {
            pins,
            capacities: Capacities::default(),
            tc: args.tc.into(),
        })?;
        let planner = adopted(&mut datapath)?;
        let takeover = Takeover::new(planner.actual());
        let teller = Teller::new(
            args.places.state_dir.clone(),
            node.clone(),
            source,
            (args.healthz.addrs(), events),
        );
        Ok(Self {
            links: Links::new(args)?,
            view: NodeView::default(),
            objects: Objects::new(&node),
            teller,
            args: args.clone(),
            datapath,
            planner,
            checks: BTreeMap::new(),
            sockets: sockets::Closer::default(),
            takeover,
            web: Web::new(args.metrics.addrs(), desk),
            dns,
            measures: Measures::new(progress),
            started: false,
            announced: false,
            settings_problem: None,
            failures: Vec::new(),
        })
    }

    /// Takes in changes of the model.
    pub(super) fn change(&mut self, changes: Vec<Change>) {
        let mut node_changed = false;
        for change in changes {
            if !self.objects.is_news(&change) {
                continue;
            }
            self.measures.note(&change, &self.objects);
            node_changed |= self.objects.take_in(change);
        }
        if node_changed {
            self.renew_view();
        }
    }

    /// The file of settings cannot be used as it is now.
    pub(super) fn set_settings_problem(&mut self, problem: Problem) {
        tracing::warn!("{problem}");
        self.settings_problem = Some(problem);
    }

    /// Takes in the node's links.
    pub(super) fn set_links(&mut self, links: Vec<Link>) {
        self.links.set(links);
        if let Some(dns) = &self.dns {
            dns.access().set_node(self.links.addrs(), self.links.of_pods());
        }
        self.renew_view();
        if self.started {
            self.settle_links();
        }
    }

    /// The loop's own numbers.
    pub(super) fn progress(&self) -> &Progress {
        self.measures.progress()
    }

    /// Whether load balancers are answered by another than they should be.
    pub(super) fn has_other_answers(&self) -> bool {
        self.teller.has_other_answers()
    }

    /// Lets people and their tools ask over HTTP.
    pub(super) fn open_web(&mut self) {
        self.web.open();
    }

    /// Whether the kernel refused something.
    fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether something is to be tried again.
    pub(super) fn is_unfinished(&self) -> bool {
        let closed = !self.teller.problems().is_empty()
            || !self.web.problems().is_empty()
            || !self.dns_problems().is_empty();
        self.has_failed() || self.sockets.is_unfinished() || closed
    }

    /// What is asked for names, if anything is.
    pub(super) fn dns(&self) -> Option<&dns::Handle> {
        self.dns.as_ref()
    }

    fn dns_problems(&self) -> Vec<Problem> {
        self.dns.as_ref().map(dns::Handle::problems).unwrap_or_default()
    }

    /// Gets ready for another try: if the kernel refused something, reads its tables anew and
    /// plans everything again.
    pub(super) fn retry(&mut self) -> Result<()> {
        self.open_web();
        self.sockets.close_late(|key| self.datapath.maps().socket(key));
        if !self.has_failed() {
            return Ok(());
        }
        self.failures.clear();
        self.planner = adopted(&mut self.datapath)?;
        self.started = false;
        self.links.forget_attached();
        self.objects.look_at_all();
        Ok(())
    }

    /// Brings the kernel to what is wanted now, as far as everything is known.
    pub(super) fn settle(&mut self) {
        if !self.objects.are_known() || !self.links.are_known() {
            // Whoever waits wants to know for what.
            self.tell();
            return;
        }
        let first = !self.started;
        let began = (first || self.objects.have_changed()).then(Instant::now);
        if first {
            self.start();
        } else {
            self.settle_services();
        }
        if let Some(began) = began {
            let succeeded = !self.has_failed();
            self.measures.round(began, succeeded);
        }
        self.sockets.close(|key| self.datapath.maps().socket(key));
        self.settle_health();
        self.tell();
        if !self.announced && !self.has_failed() {
            self.announce();
            self.announced = true;
        }
    }

    /// The first time: tables, then programs, so that no packet meets empty tables.
    fn start(&mut self) {
        self.objects.look_at_all();
        self.settle_node();
        self.settle_services();
        let edits = self.planner.forget_unplanned();
        self.apply(&edits);
        if self.takeover.is_open() {
            self.take_over();
        } else {
            self.attach();
        }
        match self.datapath.replace_other_layouts() {
            Ok(true) => {
                tracing::warn!("replaced an agent with another map layout; its flows are lost");
            }
            Ok(false) => {}
            Err(error) => self.note(Err(error)),
        }
        // Where an attachment failed, earlier programs may still be at work.
        if !self.has_failed() {
            let replaced = self.datapath.replace_other_loads();
            self.note(replaced);
        }
        self.started = true;
    }

    fn attach(&mut self) {
        self.settle_links();
        self.attach_sockets();
    }

    /// Attaches for the first time: connections that another proxy translates are left to it.
    fn take_over(&mut self) {
        self.look_for_others();
        self.attach();
        self.look_for_others();
        self.takeover.close();
        self.settle_node();
        self.look_for_others();
        if let Some(count) = self.takeover.left().filter(|count| *count != 0) {
            tracing::info!(count, "connections of another proxy are left to it until they end");
        }
    }

    /// Looks for connections that another proxy translates; the last one takes the mark away.
    pub(super) fn look_for_others(&mut self) {
        self.takeover.look(&mut self.datapath, self.planner.actual());
        self.settle_node();
        self.teller.status.foreign_connections = self.takeover.left();
    }

    /// Whether connections of another proxy may be left.
    pub(super) fn is_taking_over(&self) -> bool {
        self.started && self.takeover.is_unfinished()
    }

    fn settle_services(&mut self) {
        for name in self.objects.take_changed() {
            let (service, slices) = self.objects.service(&name);
            let plan = service.map(|service| compile::plan(service, slices, &self.view));
            let check = service.and_then(|service| check(service, slices, &self.view.name));
            let edits = self.planner.update(&name, plan.as_ref());
            set(&mut self.checks, name, check);
            self.apply(&edits);
        }
    }

    /// Looks at the node anew; if it is another one to the rules, all Services are planned again.
    fn renew_view(&mut self) {
        let view = self.view();
        if view != self.view {
            self.view = view;
            self.objects.look_at_all();
        }
    }

    fn view(&self) -> NodeView {
        self.links.view(&self.args, self.objects.node())
    }

    /// Tells the programs what the node is.
    fn settle_node(&mut self) {
        let mut node = NodeTables { answer_ping: self.args.answer_ping, ..self.links.tables() };
        node.links.entry(0).or_insert_with(LinkValue::zeroed).kind = self.takeover.mark();
        let edits = self.planner.update_node(&node);
        self.apply(&edits);
    }

    /// Tells the programs of the links first, and attaches them then.
    fn settle_links(&mut self) {
        self.settle_node();
        for error in self.links.attach(&mut self.datapath) {
            self.note(Err(error));
        }
        self.settle_node();
        self.teller.status.links = self.links.status();
    }

    fn attach_sockets(&mut self) {
        let cgroup = match self.args.socket_lb {
            SocketLb::Off => Ok(None),
            SocketLb::Host => cgroup(self.args.cgroup.as_deref()).map(Some),
        };
        let attached = cgroup.and_then(|cgroup| self.datapath.attach_cgroup(cgroup.as_deref()));
        self.note(attached);
    }

    fn apply(&mut self, edits: &[Edit]) {
        self.note_backends(edits);
        for error in self.datapath.apply(edits) {
            self.note(Err(error));
        }
    }

    /// Whom the edits take away stands in the cells as they are now. A cell that turns to TCP has
    /// been free before.
    fn note_backends(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Edit::Backend(id, after) = edit
                && after.proto != IpProto::TCP
            {
                match self.datapath.maps().backend(*id) {
                    Ok(before) => self.sockets.note(*id, &before, after),
                    Err(error) => self.note(Err(error)),
                }
            }
        }
    }

    /// Remembers a failure until the next try.
    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result {
            let message = format!("{error:#}");
            tracing::error!("{message}");
            self.failures.push(message);
        }
    }
}

fn adopted(datapath: &mut Datapath) -> Result<Planner> {
    let Capacities { services, backends, slots, frontends, .. } = Capacities::default();
    let limits = ids::Limits { services, backends, slots, frontends, ..ids::Limits::default() };
    Ok(Planner::adopt(datapath.tables()?, limits))
}
