//! Who holds a frontend that several service ports claim.
//!
//! The oldest Service, then the first by name, whatever order the objects came in. When it goes,
//! the next one takes over in the same step.

use super::entry::Entry;
use crate::compile::PortName;
use crate::model::{ObjectName, Problem};
use lb_common::layout::frontend::FrontendKey;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// When a Service was created and which of its ports claims; the smallest holds.
type Rank = (i64, PortName);

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    ranks: BTreeMap<FrontendKey, BTreeSet<Rank>>,
    contested: BTreeSet<FrontendKey>,
}

impl Claims {
    /// The claims of `entries`.
    pub(super) fn of<'a>(entries: impl IntoIterator<Item = (&'a PortName, &'a Entry)>) -> Self {
        let mut claims = Self::default();
        for (name, entry) in entries {
            claims.replace(name, &Entry::default(), entry);
        }
        claims
    }

    /// The port `name` claims what `new` has, and no longer what `old` had.
    pub(super) fn replace(&mut self, name: &PortName, old: &Entry, new: &Entry) {
        let before = (old.created_s, name.clone());
        for key in old.frontends.keys() {
            if let Some(ranks) = self.ranks.get_mut(key) {
                ranks.remove(&before);
            }
        }
        let after = (new.created_s, name.clone());
        for key in new.frontends.keys() {
            self.ranks.entry(*key).or_default().insert(after.clone());
        }
        for key in old.frontends.keys().chain(new.frontends.keys()) {
            self.note(*key);
        }
    }

    fn note(&mut self, key: FrontendKey) {
        let claimants = self.ranks.get(&key).map_or(0, BTreeSet::len);
        if claimants > 1 {
            self.contested.insert(key);
        } else {
            self.contested.remove(&key);
        }
        if claimants == 0 {
            self.ranks.remove(&key);
        }
    }

    /// The port that holds a frontend.
    pub(super) fn holder(&self, key: &FrontendKey) -> Option<&PortName> {
        self.ranks.get(key)?.first().map(|(_, name)| name)
    }

    /// One sentence for every Service and every frontend that it claims in vain.
    pub(super) fn problems(&self) -> BTreeSet<Problem> {
        self.contested.iter().flat_map(|key| self.lost(key)).collect()
    }

    fn lost(&self, key: &FrontendKey) -> impl Iterator<Item = Problem> {
        let mut names = self.ranks.get(key).into_iter().flatten().map(|(_, name)| name);
        let holder = names.next();
        names.filter_map(move |name| Some(problem(key, &name.service, &holder?.service)))
    }
}

fn problem(key: &FrontendKey, service: &ObjectName, holder: &ObjectName) -> Problem {
    let holder = if service == holder {
        "another port of this Service".to_owned()
    } else {
        format!("Service {holder}")
    };
    Problem {
        subject: format!("Service {service}"),
        field: String::new(),
        message: format!("{} belongs to {holder} already, and stays there", place(key)),
    }
}

/// A frontend for people.
fn place(key: &FrontendKey) -> String {
    let FrontendKey { addr, port, proto, .. } = key;
    if *addr == Addr::ANY {
        format!("node port {port}/{proto}")
    } else {
        format!("{}/{proto}", SocketAddr::new(addr.to_ip(), port.number()))
    }
}
