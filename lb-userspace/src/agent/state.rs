//! What the agent knows, and what it does about it.

use crate::bpf::datapath::{Datapath, Options};
use crate::bpf::loader::Capacities;
use crate::bpf::pin::PinFolder;
use crate::compile::node::NodePorts;
use crate::compile::{self, Family, NodeView, Prefix};
use crate::config::{RunArgs, SocketLb, Xdp};
use crate::link::{self, Link, Role, role};
use crate::model::status::{LinkStatus, Status};
use crate::model::{Change, EndpointSlice, ObjectName, Problem, Snapshot};
use crate::reconcile::planner::NodeTables;
use crate::reconcile::{Edit, Planner, ids};
use anyhow::{Context as _, Result};
use ipnet::IpNet;
use lb_common::layout::node::XdpState;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A link with our programs.
struct Attached {
    name: String,
    role: Role,
    /// How the TC programs are attached, as in `LINKS`.
    tc: u8,
    /// Whether XDP is.
    xdp: XdpState,
}

/// The agent's state.
pub(super) struct State {
    args: RunArgs,
    settings: link::Settings,
    node_ports: NodePorts,
    datapath: Datapath,
    planner: Planner,
    snapshot: Snapshot,
    /// The node as the rules see it.
    view: NodeView,
    /// The Service of every slice, by the slice's name.
    slice_owners: BTreeMap<ObjectName, ObjectName>,
    links: Option<Vec<Link>>,
    /// Links with our programs, by index.
    attached: BTreeMap<u32, Attached>,
    dirty: BTreeSet<ObjectName>,
    synced: bool,
    started: bool,
    source_problems: Vec<Problem>,
    failures: Vec<String>,
    status: Status,
}

impl State {
    /// Loads or takes over the datapath.
    pub(super) fn load(args: &RunArgs, node: String) -> Result<Self> {
        args.check()?;
        let mut datapath = Datapath::load(Options {
            pins: PinFolder::new(&args.places.bpffs),
            capacities: Capacities::default(),
            tc: args.tc.into(),
        })?;
        let planner = adopted(&mut datapath)?;
        let mut snapshot = Snapshot::default();
        snapshot.node.name.clone_from(&node);
        Ok(Self {
            settings: link::Settings {
                devices: args.device_set().context("reading --devices")?,
                cluster_cidrs: args.cluster_cidr.clone(),
                xdp: args.xdp.into(),
            },
            node_ports: args.node_ports()?,
            view: NodeView::default(),
            status: new_status(args, node),
            args: args.clone(),
            datapath,
            planner,
            snapshot,
            slice_owners: BTreeMap::new(),
            links: None,
            attached: BTreeMap::new(),
            dirty: BTreeSet::new(),
            synced: false,
            started: false,
            source_problems: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Takes in changes of the model.
    pub(super) fn change(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Service(name, service) => {
                    set(&mut self.snapshot.services, name.clone(), service.map(|service| *service));
                    self.dirty.insert(name);
                }
                Change::Slice(name, slice) => self.change_slice(&name, slice),
                Change::Node(node) => {
                    self.snapshot.node = node;
                    self.renew_view();
                }
                Change::Problems(problems) => self.source_problems = problems,
                Change::Synced => self.synced = true,
            }
        }
    }

    fn change_slice(&mut self, name: &ObjectName, slice: Option<EndpointSlice>) {
        let owner = slice.as_ref().map(|slice| ObjectName::new(&name.namespace, &slice.service));
        let before = self.slice_owners.remove(name);
        // A slice may have moved to another Service.
        if let Some(before) = before.filter(|before| Some(before) != owner.as_ref()) {
            if let Some(slices) = self.snapshot.slices.get_mut(&before) {
                slices.remove(&name.name);
                if slices.is_empty() {
                    self.snapshot.slices.remove(&before);
                }
            }
            self.dirty.insert(before);
        }
        if let (Some(owner), Some(slice)) = (owner, slice) {
            let slices = self.snapshot.slices.entry(owner.clone()).or_default();
            slices.insert(name.name.clone(), slice);
            self.slice_owners.insert(name.clone(), owner.clone());
            self.dirty.insert(owner);
        }
    }

    /// Takes in the node's links.
    pub(super) fn set_links(&mut self, links: Vec<Link>) {
        self.links = Some(links);
        self.renew_view();
        if self.started {
            self.settle_links();
        }
    }

    /// Whether the kernel refused something.
    pub(super) fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Reads the kernel's tables anew and plans everything again.
    pub(super) fn adopt_again(&mut self) -> Result<()> {
        self.failures.clear();
        self.planner = adopted(&mut self.datapath)?;
        self.started = false;
        self.attached.clear();
        self.dirty.extend(self.snapshot.services.keys().cloned());
        Ok(())
    }

    /// Brings the kernel to what is wanted now, as far as everything is known.
    pub(super) fn settle(&mut self) {
        if !self.synced || self.links.is_none() {
            return;
        }
        let first = !self.started;
        if first {
            self.start();
        } else {
            self.settle_services();
        }
        self.write_status();
        if first {
            self.announce();
        }
    }

    /// The first time: tables, then programs, so that no packet meets empty tables.
    fn start(&mut self) {
        self.dirty.extend(self.snapshot.services.keys().cloned());
        self.settle_node();
        self.settle_services();
        let edits = self.planner.forget_unplanned();
        self.apply(&edits);
        self.settle_links();
        self.attach_sockets();
        match self.datapath.replace_other_layouts() {
            Ok(true) => {
                tracing::warn!("replaced an agent with another map layout; its flows are lost");
            }
            Ok(false) => {}
            Err(error) => self.note(Err(error)),
        }
        self.started = true;
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
        let none = BTreeMap::new();
        for name in std::mem::take(&mut self.dirty) {
            let slices = self.snapshot.slices.get(&name).unwrap_or(&none);
            let plan = self
                .snapshot
                .services
                .get(&name)
                .map(|service| compile::plan(service, slices, &self.view));
            let edits = self.planner.update(&name, plan.as_ref());
            self.apply(&edits);
        }
    }

    /// Looks at the node anew; if it is another one to the rules, all Services are planned again.
    fn renew_view(&mut self) {
        let view = self.view();
        if view != self.view {
            self.view = view;
            self.dirty.extend(self.snapshot.services.keys().cloned());
        }
    }

    fn view(&self) -> NodeView {
        let can_tell_pods = !self.args.cluster_cidr.is_empty();
        let serving: BTreeSet<Family> =
            self.node_port_addrs().iter().map(|addr| Family::of(*addr)).collect();
        let unserved = |family: &Family| !serving.contains(family);
        NodeView {
            primary: self.primary(),
            without_node_ports: Family::ALL.into_iter().filter(unserved).collect(),
            masquerade_all: self.args.masquerade_all,
            ..NodeView::new(&self.snapshot.node, self.args.snat.into(), can_tell_pods)
        }
    }

    /// The addresses that stand for the node itself: those of its best link.
    fn primary(&self) -> Vec<IpAddr> {
        let links = self.links.as_deref().unwrap_or_default();
        let node = role::entries(links, &self.settings).remove(&0);
        let addrs = node.map(|node| [node.masquerade_v4, node.masquerade_v6]);
        let known = |addr: &Addr| *addr != Addr::ANY;
        addrs.into_iter().flatten().filter(known).map(Addr::to_ip).collect()
    }

    fn node_port_addrs(&self) -> BTreeSet<Addr> {
        let links = self.links.iter().flatten();
        let addrs = links.flat_map(|link| link.addrs.iter().map(|(ip, _)| *ip));
        self.node_ports.addrs(addrs, &self.primary())
    }

    /// Tells the programs what the node is.
    fn settle_node(&mut self) {
        let links = self.links.as_deref().unwrap_or_default();
        let mut entries = role::entries(links, &self.settings);
        for (index, Attached { tc, xdp, .. }) in &self.attached {
            entries.entry(*index).and_modify(|entry| (entry.tc, entry.xdp) = (*tc, *xdp));
        }
        let edits = self.planner.update_node(&NodeTables {
            addrs: self.node_port_addrs(),
            cidrs: self.args.cluster_cidr.iter().map(|net| cidr(*net)).collect(),
            links: entries,
            answer_ping: self.args.answer_ping,
        });
        self.apply(&edits);
    }

    /// Tells the programs of the links first, and attaches them then.
    fn settle_links(&mut self) {
        self.settle_node();
        let wanted = self.wanted_links();
        self.detach_others(&wanted);
        for (link, role) in &wanted {
            let as_it_is =
                |attached: &Attached| attached.name == link.name && attached.role == *role;
            if !self.attached.get(&link.index).is_some_and(as_it_is) {
                self.attach(link, *role);
            }
        }
        self.settle_node();
        self.status.links = self.attached.iter().map(link_status).collect();
    }

    /// The links that carry clients.
    fn wanted_links(&self) -> Vec<(Link, Role)> {
        let with_role = |link: &Link| (link.clone(), role::role(link, &self.settings));
        let links = self.links.iter().flatten().map(with_role);
        links.filter(|(_, role)| *role != Role::None).collect()
    }

    fn detach_others(&mut self, wanted: &[(Link, Role)]) {
        let indexes: Vec<u32> = wanted.iter().map(|(link, _)| link.index).collect();
        let gone: Vec<u32> =
            self.attached.keys().filter(|index| !indexes.contains(index)).copied().collect();
        for index in gone {
            let name = self.attached.remove(&index).map(|attached| attached.name);
            if let Some(name) = name.filter(|name| exists(name)) {
                let detached = self.datapath.detach(&name, index);
                self.note(detached);
            }
        }
        let detached = self.datapath.detach_all_but(&indexes);
        self.note(detached);
    }

    fn attach(&mut self, link: &Link, role: Role) {
        let Link { name, index, .. } = link;
        let wanted = role::xdp(link, role, self.settings.xdp);
        let tc = match self.datapath.attach_tc(name, *index) {
            Ok(tc) => tc,
            // A link that went away meanwhile is reported in a moment; any other failure stays.
            Err(error) if !exists(name) => return tracing::debug!(link = %name, "gone: {error:#}"),
            Err(error) => return self.note(Err(error)),
        };
        let generic_too = self.args.xdp == Xdp::On;
        let xdp = match self.datapath.attach_xdp(name, *index, wanted, generic_too) {
            Ok(xdp) => xdp,
            Err(error) => {
                self.note(Err(error));
                XdpState::REFUSED
            }
        };
        tracing::info!(link = %name, ?role, "attached");
        self.attached.insert(*index, Attached { name: name.clone(), role, tc, xdp });
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
        for error in self.datapath.apply(edits) {
            self.note(Err(error));
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

    fn write_status(&mut self) {
        let failure = |message: &String| Problem {
            subject: "kernel".to_owned(),
            field: String::new(),
            message: format!("{message}; it is tried again"),
        };
        let planned = self.planner.problems();
        for problem in planned.iter().filter(|problem| !self.status.problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        let failures = self.failures.iter().map(failure);
        self.status.problems =
            self.source_problems.iter().cloned().chain(planned).chain(failures).collect();
        self.status.synced = self.started;
        if let Err(error) = self.status.write(&self.args.places.state_dir) {
            tracing::warn!(
                "writing the status to {}: {error}",
                self.args.places.state_dir.display()
            );
        }
    }
}

/// What the status says of a link.
fn link_status((index, attached): (&u32, &Attached)) -> LinkStatus {
    let kind = match attached.role {
        Role::Pod => "pod",
        Role::Uplink => "uplink",
        Role::None => "none",
    };
    LinkStatus {
        index: *index,
        name: attached.name.clone(),
        kind: kind.to_owned(),
        reason: String::new(),
    }
}

fn adopted(datapath: &mut Datapath) -> Result<Planner> {
    let Capacities { services, backends, slots, frontends, .. } = Capacities::default();
    let limits = ids::Limits { services, backends, slots, frontends, ..ids::Limits::default() };
    Ok(Planner::adopt(datapath.tables()?, limits))
}

fn new_status(args: &RunArgs, node: String) -> Status {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Status {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_s: now,
        node,
        source: format!("manifests {}", args.manifests.display()),
        synced: false,
        problems: Vec::new(),
        links: Vec::new(),
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

fn exists(link: &str) -> bool {
    nix::net::if_::if_nametoindex(link).is_ok()
}

/// A range as `CLUSTER_CIDRS` has it.
fn cidr(net: IpNet) -> ([u8; 16], u32) {
    let Prefix { len, addr } = net.into();
    (addr, len)
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
