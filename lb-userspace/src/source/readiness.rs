//! Which endpoints are ready, as far as probes of this agent say so: what `kubelet` finds and the
//! controllers ask for. Plain values.

use crate::model::ObjectName;
use crate::source::document::{Key, Kind};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// What a probe is about. At another address it is about something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probed {
    /// The Pod, Endpoints or `EndpointSlice`.
    pub(crate) object: Key,
    /// The address that is asked.
    pub(crate) address: IpAddr,
    /// The Pod's container, `web (containers[0])`; empty for others.
    pub(crate) container: String,
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, address, container } = self;
        let of = if container.is_empty() { "" } else { " container " };
        write!(f, "{object}{of}{} at {address}", container.escape_debug())
    }
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// It may be used.
    pub(crate) ready: bool,
    /// Why not, if it may not: `readinessProbe: HTTP 503`.
    pub(crate) reason: String,
}

/// All that is known. Of what is not in it, nobody here asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness(pub(crate) BTreeMap<Probed, Finding>);

/// What probes say of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// Nothing: there are none.
    Unprobed,
    /// It may be used.
    Ready,
    /// It may not, for this reason.
    NotReady(&'a str),
}

impl Verdict<'_> {
    /// The reason against it.
    pub(crate) fn reason(self) -> Option<String> {
        match self {
            Self::NotReady(reason) => Some(reason.to_owned()),
            Self::Unprobed | Self::Ready => None,
        }
    }
}

impl Readiness {
    /// A Pod is ready if all its probed containers are.
    pub(crate) fn pod(&self, name: &ObjectName) -> Verdict<'_> {
        verdict(self.of(Kind::Pod, name).map(|(_, finding)| finding))
    }

    /// An address that Endpoints or an `EndpointSlice` list.
    pub(crate) fn listed(&self, kind: Kind, name: &ObjectName, address: IpAddr) -> Verdict<'_> {
        let own = self.of(kind, name).filter(|(probed, _)| probed.address == address);
        verdict(own.map(|(_, finding)| finding))
    }

    fn of(&self, kind: Kind, name: &ObjectName) -> impl Iterator<Item = (&Probed, &Finding)> {
        let object = Key { kind, name: name.clone() };
        let lowest = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let first = Probed { object: object.clone(), address: lowest, container: String::new() };
        self.0.range(first..).take_while(move |(probed, _)| probed.object == object)
    }
}

fn verdict<'a>(findings: impl Iterator<Item = &'a Finding>) -> Verdict<'a> {
    let mut verdict = Verdict::Unprobed;
    for finding in findings {
        if !finding.ready {
            return Verdict::NotReady(&finding.reason);
        }
        verdict = Verdict::Ready;
    }
    verdict
}
