//! What the agent knows, and what it does about it.

use super::links::Links;
use super::objects::{Objects, service_of, set};
use super::socket::{Answer, Question};
use super::takeover::Takeover;
use super::triggers::Triggers;
use super::web::{self, Desk, Web};
use crate::bpf::datapath::{Datapath, Options};
use crate::bpf::loader::Capacities;
use crate::bpf::pin::PinFolder;
use crate::compile::health::{Check, check, listen_addrs};
use crate::compile::{self, NodeView};
use crate::config::{RunArgs, SocketLb};
use crate::health::board::Board;
use crate::link::Link;
use crate::metrics::{Condition, Progress, Reader};
use crate::model::status::Status;
use crate::model::{Change, ObjectName, Problem};
use crate::reconcile::planner::NodeTables;
use crate::reconcile::{Edit, Planner, ids};
use crate::status::{Complaint, Events};
use crate::{health, sockets};
use anyhow::{Context as _, Result};
use bytemuck::Zeroable as _;
use jiff::Timestamp;
use lb_common::layout::node::LinkValue;
use lb_common::wire::IpProto;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
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
    health: health::Server,
    /// What was told last.
    board: Option<Board>,
    sockets: sockets::Closer,
    takeover: Takeover,
    web: Web,
    progress: Progress,
    triggers: Triggers,
    /// Kinds that the API server answers questions about, or does not.
    watched: BTreeMap<&'static str, bool>,
    started: bool,
    settings_problem: Option<Problem>,
    /// Where an API server hears of problems.
    events: Option<Events>,
    failures: Vec<String>,
    status: Status,
}

impl State {
    /// Loads or takes over the datapath.
    pub(super) fn load(
        args: &RunArgs,
        node: String,
        source: String,
        (events, conditions): (Option<Events>, Sender<web::Asked>),
    ) -> Result<Self> {
        args.check()?;
        let pins = PinFolder::new(&args.places.bpffs);
        let progress = Progress::default();
        let desk = Desk {
            progress: progress.clone(),
            conditions,
            reader: Arc::new(Mutex::new(Reader::new(pins.maps()))),
            limits: args.metrics.limits(),
        };
        let mut datapath = Datapath::load(Options {
            pins,
            capacities: Capacities::default(),
            tc: args.tc.into(),
        })?;
        let planner = adopted(&mut datapath)?;
        let takeover = Takeover::new(planner.actual());
        Ok(Self {
            links: Links::new(args)?,
            view: NodeView::default(),
            objects: Objects::new(&node),
            status: new_status(node, source),
            args: args.clone(),
            datapath,
            planner,
            checks: BTreeMap::new(),
            health: health::Server::new(Handle::current()).with_proxy(args.healthz.addrs()),
            board: None,
            sockets: sockets::Closer::default(),
            takeover,
            web: Web::new(args.metrics.addrs(), desk),
            progress,
            triggers: Triggers::since(Timestamp::now().as_millisecond()),
            watched: BTreeMap::new(),
            started: false,
            settings_problem: None,
            events,
            failures: Vec::new(),
        })
    }

    /// Takes in changes of the model.
    pub(super) fn change(&mut self, changes: Vec<Change>) {
        let mut node_changed = false;
        for change in changes {
            self.observe(&change);
            node_changed |= self.objects.take_in(change);
        }
        if node_changed {
            self.renew_view();
        }
    }

    /// Notes what is measured.
    fn observe(&mut self, change: &Change) {
        match change {
            Change::Service(..) => self.progress.service_changed(Timestamp::now()),
            Change::Slice(name, slice) => {
                self.progress.endpoints_changed(Timestamp::now());
                let owner = slice.as_ref().map(|slice| service_of(name, slice));
                // A slice may have moved to another Service.
                let before = self.objects.owner(name);
                if let Some(before) = before.filter(|before| Some(*before) != owner.as_ref()) {
                    self.triggers.forget(before);
                }
                if let (Some(owner), Some(slice)) = (owner, slice) {
                    self.triggers.note(&owner, slice.trigger);
                }
            }
            Change::Watched(kind, up) => drop(self.watched.insert(kind, *up)),
            Change::Node(_) | Change::Problems(_) | Change::Synced => {}
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
        self.renew_view();
        if self.started {
            self.settle_links();
        }
    }

    /// Answers a question about what is wanted.
    pub(super) fn answer(&self, question: &Question) -> Answer {
        if !self.started {
            return Answer::Starting;
        }
        match question {
            Question::Explain(name) => self.explain(name),
        }
    }

    fn explain(&self, name: &ObjectName) -> Answer {
        let (Some(service), slices) = self.objects.service(name) else { return Answer::Unknown };
        let mut explanation = compile::explanation(service, slices, &self.view);
        self.planner.complete(&mut explanation);
        Answer::Explanation(Box::new(explanation))
    }

    /// The loop's own numbers.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Lets people and their tools ask over HTTP.
    pub(super) fn open_web(&mut self) {
        self.web.open();
    }

    /// How the agent stands now.
    pub(super) fn condition(&self) -> Condition {
        let tables = self.planner.actual();
        let problems =
            if self.started { self.status.problems.as_slice() } else { self.objects.problems() };
        Condition {
            obstacle: self.obstacle(),
            synced: self.objects.are_known(),
            watched: self.watched.clone(),
            problems: problems.len(),
            entries: tables.entries().into(),
            without_local_endpoints: tables.without_local_endpoints(),
        }
    }

    /// Why the agent is not ready, as a sentence.
    fn obstacle(&self) -> Option<String> {
        if !self.objects.are_known() {
            let why = self.objects.problems().first();
            let why = why.map(|problem| format!(": {problem}")).unwrap_or_default();
            let source = &self.status.source;
            return Some(format!("not every object of {source} has been read yet{why}"));
        }
        if let Some(failure) = self.failures.first() {
            return Some(format!("{failure}; it is tried again"));
        }
        if !self.links.are_known() {
            return Some("the node's links are not known yet".to_owned());
        }
        (!self.started).then(|| "the maps are not written yet".to_owned())
    }

    /// Whether the kernel refused something.
    fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether something is to be tried again.
    pub(super) fn is_unfinished(&self) -> bool {
        let closed = !self.health.problems().is_empty() || !self.web.problems().is_empty();
        self.has_failed() || self.sockets.is_unfinished() || closed
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
            self.note_round(began);
        }
        self.sockets.close(|key| self.datapath.maps().socket(key));
        self.settle_health();
        self.write_status();
        if first {
            self.announce();
        }
    }

    /// What changed has been written, or the kernel refused.
    fn note_round(&mut self, began: Instant) {
        let now = Timestamp::now();
        let succeeded = !self.has_failed();
        self.progress.written(began.elapsed(), succeeded, now);
        if succeeded {
            for (family, took) in self.triggers.take(now.as_millisecond()) {
                self.progress.programmed(family, took);
            }
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

    /// Looks for connections that another proxy translates.
    pub(super) fn look_for_others(&mut self) {
        self.takeover.look(&mut self.datapath, self.planner.actual());
        self.status.foreign_connections = self.takeover.left();
    }

    /// Whether connections of another proxy may be left.
    pub(super) fn is_taking_over(&self) -> bool {
        self.started && self.takeover.is_unfinished()
    }

    fn announce(&self) {
        let tables = self.planner.actual();
        let backends = tables.backends.values().filter(|backend| backend.service != 0).count();
        let counts = (tables.services.len(), tables.frontends.len(), backends);
        tracing::info!(
            service_ports = counts.0,
            frontends = counts.1,
            backends = counts.2,
            "ready"
        );
        // For whoever waits for it: a supervisor, a test. Nobody may be reading.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(
            out,
            "ready: {} service ports, {} frontends, {} backends",
            counts.0, counts.1, counts.2
        );
        let _ = out.flush();
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
        if self.takeover.is_open() {
            let entry = node.links.entry(0).or_insert_with(LinkValue::zeroed);
            entry.kind = LinkValue::TAKING_OVER;
        }
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
        self.status.links = self.links.status();
    }

    /// Tells load balancers what holds now: the tables have been written. A process of its own
    /// answers them if there is one; else the agent does.
    fn settle_health(&mut self) {
        let dir = &self.args.places.state_dir;
        let addrs = self.links.addrs().into_iter();
        let board = Board {
            healthy: !self.has_failed(),
            node_eligible: self.objects.node().eligible,
            addrs: listen_addrs(addrs, &self.links.node_port_ranges()),
            services: Board::of(&self.checks),
        };
        if self.board.as_ref() != Some(&board) {
            match board.write(dir) {
                Ok(()) => self.board = Some(board.clone()),
                Err(error) => tracing::warn!("writing {}: {error}", Board::path(dir).display()),
            }
        }
        if health::process::is_served(dir) {
            self.health.close();
        } else {
            self.health.show(&board);
        }
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

    /// The problems that are about Services.
    fn complaints(&self) -> BTreeSet<Complaint> {
        let complaint = |problem: &Problem| {
            let (namespace, name) = problem.subject.strip_prefix("Service ")?.split_once('/')?;
            let service = self.objects.service(&ObjectName::new(namespace, name)).0?;
            let field = if problem.field.is_empty() { "" } else { ": " };
            Some(Complaint {
                service: service.name.clone(),
                uid: service.uid.clone(),
                message: format!("{}{field}{}", problem.field, problem.message),
            })
        };
        self.status.problems.iter().filter_map(complaint).collect()
    }

    fn write_status(&mut self) {
        let failure = |message: &String| Problem {
            subject: "kernel".to_owned(),
            field: String::new(),
            message: format!("{message}; it is tried again"),
        };
        let mut planned = self.planner.problems();
        planned.extend_from_slice(self.health.problems());
        for problem in planned.iter().filter(|problem| !self.status.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        // These were told when they happened.
        let failures = self.failures.iter().chain(self.takeover.failure()).map(failure);
        let told = self.web.problems().iter().cloned().chain(failures);
        let written = self.settings_problem.iter().chain(self.objects.problems()).cloned();
        self.status.problems = written.chain(planned).chain(told).collect();
        self.status.synced = self.started;
        if let Some(events) = &self.events {
            events.tell(self.complaints());
        }
        if let Err(error) = self.status.write(&self.args.places.state_dir) {
            tracing::warn!(
                "writing the status to {}: {error}",
                self.args.places.state_dir.display()
            );
        }
    }
}

fn adopted(datapath: &mut Datapath) -> Result<Planner> {
    let Capacities { services, backends, slots, frontends, .. } = Capacities::default();
    let limits = ids::Limits { services, backends, slots, frontends, ..ids::Limits::default() };
    Ok(Planner::adopt(datapath.tables()?, limits))
}

fn new_status(node: String, source: String) -> Status {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Status {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_s: now,
        node,
        source,
        synced: false,
        problems: Vec::new(),
        links: Vec::new(),
        foreign_connections: None,
    }
}

/// The cgroup that was named, else the root of the version 2 hierarchy.
fn cgroup(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let mounts =
        std::fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    });
    root.context("no cgroup of version 2 is mounted: processes of the node cannot be served (mount one, or use --socket-lb off)")
}
