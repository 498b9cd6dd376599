//! What the agent knows and wants after a step: read off the tables, not off packets.
//!
//! Pure. Every expectation becomes a check with the name that it has in the file.

/// Endpoints of service ports.
mod endpoints;
/// Addresses and ports that mean a Service.
mod frontends;
/// Addresses that serve node ports.
mod node_ports;

use super::expect::Expectations;
use super::report::Check;
use super::world::World;
use crate::model::ObjectName;
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::service::{ServiceValue, text};
use lb_common::wire::IpProto;

/// What happened in a step.
pub(super) struct Happened<'a> {
    /// What the tables held before.
    pub(super) before: &'a Tables,
    /// Anything that was delivered was news, or led to an edit.
    pub(super) changed: bool,
}

/// Judges all that is not asked of the health check server.
pub(super) fn facts(
    expected: &Expectations,
    world: &World<'_>,
    happened: &Happened<'_>,
) -> Vec<Check> {
    let tables = world.tables();
    let mut checks = Vec::new();
    checks.extend(endpoints::local_ready(expected, tables));
    checks.extend(endpoints::sets(expected, tables));
    checks.extend(endpoints::map(expected, tables));
    checks.extend(frontends::frontends(expected, world));
    checks.extend(frontends::cluster_ips(expected, tables));
    checks.extend(node_ports::addresses(expected, world));
    checks.extend(
        expected.changed.map(|wanted| Check::fact("expectChanged", &wanted, &happened.changed)),
    );
    checks.extend(expected.conntrack_cleanup.map(|wanted| {
        let due = cleanup_due(happened.before, tables);
        Check::fact("expectConntrackCleanup", &wanted, &due)
    }));
    checks
}

/// Whether UDP flows that were right before a step are wrong after it: their backend stopped to
/// serve, or their Service has its first one that does, so whatever was sent before it went
/// elsewhere. Here nobody walks over flows: a generation that moves, and refusals instead of
/// packets that pass, do the same.
fn cleanup_due(before: &Tables, after: &Tables) -> bool {
    let serves = |cell: &BackendValue| {
        cell.proto == IpProto::UDP && cell.service != 0 && cell.flags & BackendValue::SERVING != 0
    };
    let lost = before.backends.iter().filter(|(_, cell)| serves(cell)).any(|(id, cell)| {
        let now = after.backends.get(id);
        now.is_none_or(|now| now.generation != cell.generation || !serves(now))
    });
    let served =
        |service| before.backends.values().any(|cell| serves(cell) && cell.service == service);
    lost || after.backends.values().any(|cell| serves(cell) && !served(cell.service))
}

/// The Service of a service port.
fn service_name(value: &ServiceValue) -> ObjectName {
    ObjectName::new(text(&value.namespace), text(&value.name))
}

/// `ns/svc:port/PROTO`.
fn port_name(value: &ServiceValue) -> String {
    let port = text(&value.port_name);
    format!("{}:{port}/{}", service_name(value), value.proto)
}
