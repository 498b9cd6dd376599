//! Objects, through all stages up to the tables: whatever they are, a packet finds only what
//! belongs to the Service that it asks at any time; neither the order in which they come nor what
//! was there before means anything; the next agent finds everything as it should be; nothing is
//! left when they are gone.

/// The tables as packets see them.
mod kernel;
/// What the tables mean, whatever numbers are in them.
mod meaning;

use crate::source;
use kernel::Kernel;
use lb_common::layout::capacity;
use lb_common::wire::Addr;
use lb_userspace::compile::node::SnatMode;
use lb_userspace::compile::{self, NodeView, Plan};
use lb_userspace::model::{ObjectName, Service, Snapshot};
use lb_userspace::reconcile::ids::Limits;
use lb_userspace::reconcile::planner::NodeTables;
use lb_userspace::reconcile::{Edit, Planner, Tables};
use lb_userspace::source::controllers::Memory;
use meaning::meaning;
use std::collections::BTreeMap;

const ROOMY: Limits = Limits {
    services: capacity::SERVICES,
    backends: capacity::BACKENDS,
    slots: capacity::SLOTS,
    frontends: capacity::FRONTENDS,
    source_ranges: 1_024,
    siblings: 1_024,
};
/// Tables that are soon full.
const TIGHT: Limits =
    Limits { services: 4, backends: 5, slots: 12, frontends: 5, source_ranges: 3, siblings: 3 };

/// What each Service means.
type Plans = BTreeMap<ObjectName, Plan>;
/// One of them.
type NamedPlan<'a> = (&'a ObjectName, &'a Plan);

/// Plans the objects of a file in several ways.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (objects, _) = source::objects(&text);
    let (snapshot, _) = source::derive(&objects, &mut Memory::default());
    for snat in [SnatMode::Minimal, SnatMode::Always] {
        let plans = plans(&snapshot, snat);
        let agent = Agent::started(ROOMY, plans.iter());
        assert_way_means_nothing(&agent, &plans, &self::plans(&half(&snapshot), snat));
        assert_settled(agent, &plans);
        assert_gone(Agent::started(TIGHT, plans.iter()), &plans);
    }
}

fn plans(snapshot: &Snapshot, snat: SnatMode) -> Plans {
    let view = NodeView::new(&snapshot.node, snat, true);
    let none = BTreeMap::new();
    let plan = |(name, service)| {
        let slices = snapshot.slices.get(name).unwrap_or(&none);
        (name.clone(), compile::plan(service, slices, &view))
    };
    snapshot.services.iter().map(plan).collect()
}

/// The same before every second endpoint came, and while other Services were there.
fn half(snapshot: &Snapshot) -> Snapshot {
    let mut half = snapshot.clone();
    for slice in half.slices.values_mut().flat_map(BTreeMap::values_mut) {
        let mut keep = false;
        slice.endpoints.retain(|_| {
            keep = !keep;
            keep
        });
    }
    let names = half.services.keys().cloned().collect::<Vec<_>>();
    for name in names.into_iter().step_by(2) {
        let gone = half.services.remove(&name);
        let other = ObjectName::new(&name.namespace, format!("{}-before", name.name));
        half.services.extend(gone.map(|gone| (other.clone(), Service { name: other, ..gone })));
    }
    half
}

/// A planner and the kernel's tables.
struct Agent {
    planner: Planner,
    kernel: Kernel,
}

impl Agent {
    /// An agent that has planned Services in this order.
    fn started<'a>(limits: Limits, plans: impl Iterator<Item = NamedPlan<'a>>) -> Self {
        Self::taking_over(Kernel::default(), limits, plans)
    }

    /// An agent that found these tables and has planned Services in this order.
    fn taking_over<'a>(
        kernel: Kernel,
        limits: Limits,
        plans: impl Iterator<Item = NamedPlan<'a>>,
    ) -> Self {
        let planner = Planner::adopt(kernel.read(), limits);
        let mut agent = Self { planner, kernel };
        let edits = agent.planner.update_node(&node());
        agent.kernel.apply(&edits);
        for (name, plan) in plans {
            agent.plan(name, Some(plan));
        }
        let edits = agent.planner.forget_unplanned();
        agent.kernel.apply(&edits);
        agent
    }

    /// The same after Services changed from `before` to `plans`.
    fn turned(mut self, before: &Plans, plans: &Plans) -> Self {
        for name in before.keys().filter(|name| !plans.contains_key(*name)) {
            self.plan(name, None);
        }
        for (name, plan) in plans {
            self.plan(name, Some(plan));
        }
        self
    }

    fn plan(&mut self, name: &ObjectName, plan: Option<&Plan>) -> Vec<Edit> {
        let edits = self.planner.update(name, plan);
        self.kernel.apply(&edits);
        edits
    }
}

/// A node that has the address of an endpoint too.
fn node() -> NodeTables {
    let addrs = [[192, 0, 2, 254], [10, 1, 0, 1]].map(Addr::v4).into();
    NodeTables { addrs, answer_ping: true, ..NodeTables::default() }
}

/// Whatever order Services came in, and whatever was there before.
fn assert_way_means_nothing(agent: &Agent, plans: &Plans, before: &Plans) {
    let middle = plans.len() / 2;
    let turned = plans.iter().skip(middle).chain(plans.iter().take(middle));
    let left = Agent::started(ROOMY, before.iter()).kernel;
    for other in [
        Agent::started(ROOMY, plans.iter().rev()),
        Agent::started(ROOMY, turned),
        Agent::started(ROOMY, before.iter()).turned(before, plans),
        Agent::taking_over(left, ROOMY, plans.iter()),
    ] {
        assert_eq!(meaning(other.planner.actual()), meaning(agent.planner.actual()));
        assert_eq!(other.planner.problems(), agent.planner.problems());
    }
}

/// Nothing is left to do: neither for this agent nor for the next one.
fn assert_settled(mut agent: Agent, plans: &Plans) {
    for (name, plan) in plans {
        assert_eq!(agent.plan(name, Some(plan)), [], "{name} again");
    }
    let mut next = Planner::adopt(agent.kernel.read(), ROOMY);
    assert_eq!(next.update_node(&node()), []);
    for (name, plan) in plans {
        assert_eq!(next.update(name, Some(plan)), [], "{name} by the next agent");
    }
    assert_eq!(next.forget_unplanned(), [], "what the next agent does not know");
    assert_gone(agent, plans);
}

fn assert_gone(mut agent: Agent, plans: &Plans) {
    for name in plans.keys() {
        agent.plan(name, None);
    }
    let Tables { services, slots, frontends, addresses, .. } = agent.planner.actual();
    assert!(services.is_empty() && slots.is_empty() && frontends.is_empty());
    assert!(addresses.keys().eq(&node().addrs), "{addresses:?}");
    assert_eq!(agent.planner.problems(), []);
}
