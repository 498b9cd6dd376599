//! `tests/golden/*.yaml`: objects, and in `*.txt` beside them what the tables hold and what is
//! said about them.
//!
//! Each case is also planned in other orders, planned twice, taken over by another agent, and
//! deleted to empty. `UPDATE_GOLDEN=1 cargo test -p lb-userspace --test golden` writes what is
//! there now; read the diff.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use lb_common::algo::maglev;
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::wire::Addr;
use lb_userspace::compile::endpoint::Outcome;
use lb_userspace::compile::explain::PortExplanation;
use lb_userspace::compile::node::SnatMode;
use lb_userspace::compile::reason::{HintUse, Standing, Usage};
use lb_userspace::compile::{self, NodeView};
use lb_userspace::model::{ObjectName, Problem, Snapshot};
use lb_userspace::reconcile::ids::Limits;
use lb_userspace::reconcile::planner::NodeTables;
use lb_userspace::reconcile::{Edit, Planner, Tables};
use lb_userspace::source::controllers::{self, Found, Memory, Objects};
use lb_userspace::source::{Readiness, Settings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The objects of a case and what its source says about them.
struct Case {
    path: PathBuf,
    snapshot: Snapshot,
    problems: Vec<Problem>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut yaml: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    yaml.sort();
    assert!(!yaml.is_empty());
    yaml.into_iter().map(case).collect()
}

fn case(path: PathBuf) -> Case {
    let settings = Settings {
        dir: "/nonexistent".into(),
        node: "node".to_owned(),
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap(), "fd00:10:96::/112".parse().unwrap()],
        node_port_range: Settings::NODE_PORTS,
        state_dir: "/nonexistent".into(),
        exec_probes: false,
    };
    let mut objects = Objects::default();
    for document in std::fs::read_to_string(&path).unwrap().split("\n---\n") {
        shelve(&serde_saphyr::from_str(document).unwrap(), &mut objects);
    }
    let (snapshot, problems) =
        controllers::derive(&objects, &settings, &mut Memory::default(), &Readiness::default());
    Case { path, snapshot, problems }
}

fn shelve(object: &Value, objects: &mut Objects) {
    let kind = object["kind"].as_str().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    let subject = format!("{kind} {name}");
    let key = ObjectName::new("default", name);
    match kind {
        "Service" => drop(objects.services.insert(key, found::<core::Service>(subject, object))),
        "Endpoints" => drop(objects.endpoints.insert(key, found(subject, object))),
        "EndpointSlice" => {
            drop(objects.slices.insert(key, found::<discovery::EndpointSlice>(subject, object)));
        }
        "Pod" => drop(objects.pods.insert(key, found(subject, object))),
        "Node" => drop(objects.nodes.insert(name.to_owned(), found(subject, object))),
        other => panic!("{other} is no kind of these tests"),
    }
}

fn found<T: DeserializeOwned>(subject: String, object: &Value) -> Found<T> {
    let object = serde_json::from_value(object.clone()).unwrap();
    Found { subject, object, lost: Vec::new() }
}

impl Case {
    /// Plans Services in the order given.
    fn plan<'a>(
        &self,
        planner: &mut Planner,
        names: impl IntoIterator<Item = &'a ObjectName>,
    ) -> Vec<Edit> {
        let view = self.view();
        let none = BTreeMap::new();
        let mut edits = Vec::new();
        for name in names {
            let slices = self.snapshot.slices.get(name).unwrap_or(&none);
            let service = &self.snapshot.services[name];
            edits.extend(planner.update(name, Some(&compile::plan(service, slices, &view))));
        }
        edits
    }

    /// Why addresses do not lead to their Services, and endpoints are not used.
    fn reasons(&self, planner: &Planner) -> String {
        let none = BTreeMap::new();
        let mut out = String::new();
        for (name, service) in &self.snapshot.services {
            let slices = self.snapshot.slices.get(name).unwrap_or(&none);
            let mut explanation = compile::explanation(service, slices, &self.view());
            planner.complete(&mut explanation);
            for port in &explanation.ports {
                let lines = port_reasons(port).into_iter();
                lines.for_each(|line| writeln!(out, "{}: {line}", port.port_name(name)).unwrap());
            }
            for one in &explanation.unusable {
                let (object, field, why) = (&one.object, &one.field, one.why.sentence());
                writeln!(out, "{object}: {field} {:?}: {why}", one.text).unwrap();
            }
        }
        out
    }

    fn view(&self) -> NodeView {
        NodeView {
            primary: node().addrs.iter().map(|addr| addr.to_ip()).collect(),
            ..NodeView::new(&self.snapshot.node, SnatMode::Always, true)
        }
    }

    fn names(&self) -> Vec<&ObjectName> {
        self.snapshot.services.keys().collect()
    }

    fn planned(&self) -> Planner {
        let mut planner = empty();
        self.plan(&mut planner, self.names());
        planner
    }
}

/// A planner that knows the node and nothing else.
fn empty() -> Planner {
    let mut planner = Planner::adopt(Tables::default(), Limits::default());
    planner.update_node(&node());
    planner
}

/// The node's addresses, all of them primary ones, and that ping is answered.
fn node() -> NodeTables {
    let addrs = ["192.0.2.200", "2001:db8::200"].map(|addr| addr.parse::<IpAddr>().unwrap());
    NodeTables {
        addrs: addrs.into_iter().map(Addr::from).collect(),
        answer_ping: true,
        ..NodeTables::default()
    }
}

#[test]
fn the_tables_of_every_case_are_as_written() {
    for case in cases() {
        let planner = case.planned();
        let problems = case.problems.iter().cloned().chain(planner.problems());
        let now = dump(planner.actual(), &case.reasons(&planner), problems);
        let file = case.path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &now).unwrap();
        } else {
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(written, now, "{}", file.display());
        }
    }
}

#[test]
fn the_order_of_objects_means_nothing() {
    for case in cases() {
        let planner = case.planned();
        let mut names = case.names();
        names.reverse();
        for _ in 0..names.len() {
            names.rotate_left(1);
            let mut other = empty();
            case.plan(&mut other, names.iter().copied());
            assert_eq!(frontends(other.actual()), frontends(planner.actual()));
            assert_eq!(other.problems(), planner.problems());
        }
    }
}

#[test]
fn the_same_objects_again_change_nothing() {
    for case in cases() {
        let mut planner = case.planned();
        assert_eq!(case.plan(&mut planner, case.names()), [], "{}", case.path.display());
    }
}

#[test]
fn another_agent_takes_over_without_a_change() {
    for case in cases() {
        let planner = case.planned();
        let mut next = Planner::adopt(planner.actual().clone(), Limits::default());
        let mut edits = next.update_node(&node());
        edits.extend(case.plan(&mut next, case.names()));
        edits.extend(next.forget_unplanned());
        assert_eq!(edits, [], "{}", case.path.display());
    }
}

#[test]
fn without_objects_nothing_is_left_but_generations() {
    for case in cases() {
        let mut planner = case.planned();
        for name in case.names() {
            planner.update(name, None);
        }
        let mut tables = planner.actual().clone();
        let backends = std::mem::take(&mut tables.backends);
        assert_eq!(&tables, empty().actual());
        assert!(backends.values().all(|cell| (cell.service, cell.generation) == (0, 2)));
        assert!(planner.problems().is_empty());
    }
}

/// The tables for people.
fn dump(tables: &Tables, reasons: &str, problems: impl Iterator<Item = Problem>) -> String {
    let mut out = String::from("=== addresses\n");
    for (addr, bits) in &tables.addresses {
        writeln!(out, "{addr}{}", address(*bits)).unwrap();
    }
    out.push_str("=== services\n");
    for (id, value) in &tables.services {
        writeln!(out, "{id}: {}", service(value)).unwrap();
    }
    write!(out, "=== frontends\n{}=== source ranges\n", frontends(tables)).unwrap();
    for SourceRangeKey { prefix_len, service, addr } in tables.source_ranges.keys() {
        writeln!(out, "service {service}: {}/{}", Addr(*addr), prefix_len - 32).unwrap();
    }
    out.push_str("=== siblings\n");
    for (key, id) in &tables.siblings {
        writeln!(out, "service {} at {}: {id}", key.service, key.addr).unwrap();
    }
    out.push_str("=== backends\n");
    for (id, cell) in &tables.backends {
        writeln!(out, "{id}: {}", backend(cell)).unwrap();
    }
    out.push_str("=== slots\n");
    for (base, ids) in &tables.slots {
        let cells = if ids.len() == maglev::TABLE_LEN { shares(ids) } else { format!("{ids:?}") };
        writeln!(out, "{base}: {cells}").unwrap();
    }
    write!(out, "=== reasons\n{reasons}=== problems\n").unwrap();
    for problem in problems {
        writeln!(out, "{problem}").unwrap();
    }
    out
}

/// What of a port does not simply work.
fn port_reasons(port: &PortExplanation) -> Vec<String> {
    let mut lines = Vec::new();
    for one in port.frontends.iter().filter(|one| one.standing != Standing::Programmed) {
        let place = one.address.map_or("the node's addresses".to_owned(), |ip| ip.to_string());
        lines.push(format!("{} at {place}: {}", one.field, one.standing.sentence()));
    }
    for one in &port.endpoints {
        let used = |usage: &Usage| *usage == Usage::Used;
        match &one.outcome {
            Outcome::Joined { cluster, local, .. } if used(cluster) || used(local) => continue,
            Outcome::Joined { .. } | Outcome::NotJoined(_) => {}
        }
        let why = one.outcome.sentence();
        lines.push(format!("{} of slice {}: {why}", one.address, one.slice));
    }
    let hints = [("node", port.node_hints), ("zone", port.zone_hints)];
    let told = [HintUse::Absent, HintUse::NotAsked, HintUse::NobodyReady];
    let hints = hints.iter().filter(|(_, hints)| !told.contains(hints));
    lines.extend(hints.map(|(kind, hints)| format!("{kind} hints: {}", hints.sentence())));
    lines
}

fn address(bits: u32) -> String {
    let words = [
        (bits & AddressValue::NODE_PORTS, " node-ports"),
        (bits & AddressValue::FRONTEND, " frontend"),
        (bits & AddressValue::CLUSTER_IP, " cluster-ip"),
        (bits & AddressValue::ANSWERS_PING, " answers-ping"),
        (bits & AddressValue::BACKEND, " backend"),
    ];
    set(&words)
}

fn service(value: &ServiceValue) -> String {
    let ServiceValue { namespace, name, port_name, target_port, .. } = value;
    let words = [
        (value.flags & ServiceValue::EXTERNAL_LOCAL, " external-local"),
        (value.flags & ServiceValue::INTERNAL_LOCAL, " internal-local"),
    ];
    let kind = ["", "ClusterIP", "NodePort", "LoadBalancer"][usize::from(value.kind)];
    format!(
        "{}/{}:{} {}/{} -> {} {kind} IPv{}{}",
        text(namespace),
        text(name),
        text(port_name),
        value.port,
        value.proto,
        text(target_port),
        value.family,
        set(&words),
    )
}

/// Frontends with the endpoints that they lead to, without ids.
fn frontends(tables: &Tables) -> String {
    let mut out = String::new();
    for (key, value) in &tables.frontends {
        let kind = ["", "cluster-ip", "node-port", "external-ip", "load-balancer"];
        let affinity = match value.affinity {
            0 => String::new(),
            _ => format!(" affinity {} s", value.affinity_timeout_s),
        };
        let words = [
            (value.flags & FrontendValue::GUARDED, " guarded"),
            (value.flags & FrontendValue::SHARED_AFFINITY, " over all ports"),
        ];
        let kind = kind[usize::from(value.kind)];
        writeln!(out, "{} {kind}{affinity}{}", place(key), set(&words)).unwrap();
        for (side, choice) in [("inside", value.inside), ("outside", value.outside)] {
            writeln!(out, "  {side}: {}", led(tables, value, choice)).unwrap();
        }
    }
    out
}

fn place(key: &FrontendKey) -> String {
    match key.addr {
        Addr::ANY => format!("node port {}/{} IPv{}", key.port, key.proto, key.family),
        addr => format!("{}/{}", SocketAddr::new(addr.to_ip(), key.port.number()), key.proto),
    }
}

fn led(tables: &Tables, frontend: &FrontendValue, choice: Choice) -> String {
    let words = [
        (choice.flags & Choice::LOCAL, " local"),
        (choice.flags & Choice::SNAT, " snat"),
        (choice.flags & Choice::KEEP, " keep"),
    ];
    if choice.len == 0 {
        let drop = choice.flags & Choice::DROP != 0;
        return format!("{}{}", if drop { "drop" } else { "refuse" }, set(&words));
    }
    let slots = &tables.slots[&choice.base];
    assert_eq!(slots.len(), choice.len as usize);
    let mut shares = BTreeMap::<SocketAddr, usize>::new();
    for id in slots {
        let cell = tables.backends[id];
        assert_eq!(cell.service, frontend.service);
        *shares.entry(SocketAddr::new(cell.addr.to_ip(), cell.port.number())).or_default() += 1;
    }
    let share = |(addr, cells): (&SocketAddr, &usize)| match cells {
        1 => addr.to_string(),
        cells => format!("{addr} ({cells} cells)"),
    };
    let shares: Vec<String> = shares.iter().map(share).collect();
    format!("{}{}", shares.join(" "), set(&words))
}

fn backend(cell: &BackendValue) -> String {
    let addr = SocketAddr::new(cell.addr.to_ip(), cell.port.number());
    let words = [
        (cell.flags & BackendValue::LOCAL, " here"),
        (cell.flags & BackendValue::READY, " ready"),
        (cell.flags & BackendValue::SERVING, " serving"),
        (cell.flags & BackendValue::TERMINATING, " terminating"),
        (cell.flags & BackendValue::IN_CLUSTER_SET, " in-cluster-set"),
        (cell.flags & BackendValue::IN_LOCAL_SET, " in-local-set"),
    ];
    let BackendValue { service, generation, proto, .. } = cell;
    format!("service {service} {addr}/{proto} generation {generation}{}", set(&words))
}

/// The words whose bit is set.
fn set<T: Default + PartialEq>(words: &[(T, &str)]) -> String {
    words.iter().filter(|(bit, _)| *bit != T::default()).map(|(_, word)| *word).collect()
}

/// A Maglev table: its cells are too many to be read.
fn shares(ids: &[u32]) -> String {
    let mut shares = BTreeMap::<u32, usize>::new();
    for id in ids {
        *shares.entry(*id).or_default() += 1;
    }
    format!("{} cells, {shares:?}", ids.len())
}
