//! Who may ask: a name server that answers everybody is a tool of whoever would flood others.

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Who may ask; a clone is the same thing.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<RwLock<Allowed>>);

#[derive(Debug, Default)]
struct Allowed {
    ranges: Vec<IpNet>,
    /// Of the node itself; they come and go. `None`: nobody has looked yet.
    node: Option<BTreeSet<IpAddr>>,
    /// `None`: the node's object may still come.
    pods: Option<Vec<IpNet>>,
}

/// What a client is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dns) enum Standing {
    /// It may ask.
    Client,
    /// It may turn out to be one: not everything is known yet.
    Unknown,
    /// It may not ask.
    Stranger,
}

impl Access {
    /// These ranges, beside the node and its pods.
    pub fn new(ranges: Vec<IpNet>) -> Self {
        Self(Arc::new(RwLock::new(Allowed { ranges, ..Allowed::default() })))
    }

    /// The node's addresses are these now.
    pub fn set_node(&self, addresses: BTreeSet<IpAddr>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).node = Some(addresses);
    }

    /// The node's pods have addresses in these ranges now.
    pub fn set_pods(&self, ranges: Vec<IpNet>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).pods = Some(ranges);
    }

    /// Every object that exists has been told: without a range by now, the node's pods have none.
    pub(in crate::dns) fn set_complete(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).pods.get_or_insert_default();
    }

    /// What a client is to us.
    pub(in crate::dns) fn standing(&self, client: IpAddr) -> Standing {
        let client = client.to_canonical();
        let allowed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Allowed { ranges, node, pods } = &*allowed;
        let mut ranges = ranges.iter().chain(pods.iter().flatten());
        let is_node = client.is_loopback() || node.iter().any(|node| node.contains(&client));
        if is_node || ranges.any(|range| range.contains(&client)) {
            Standing::Client
        } else if node.is_none() || pods.is_none() {
            Standing::Unknown
        } else {
            Standing::Stranger
        }
    }

    /// Whether a client may ask, as far as is known.
    pub(in crate::dns) fn allows(&self, client: IpAddr) -> bool {
        self.standing(client) == Standing::Client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_its_pods_and_the_named_ranges_may_ask() {
        let access = Access::new(vec!["10.244.0.0/16".parse().unwrap()]);
        let allows = |client: &str| access.allows(client.parse().unwrap());
        assert!(allows("127.0.0.1") && allows("::1"));
        assert!(allows("10.244.3.4") && allows("::ffff:10.244.3.4"));
        assert!(!allows("192.0.2.1") && !allows("fd00::1"));
        access.set_node(["192.0.2.1".parse().unwrap()].into());
        access.set_pods(vec!["fd00::/64".parse().unwrap()]);
        assert!(allows("192.0.2.1") && allows("fd00::1"));
        assert!(!allows("192.0.2.2"));
    }

    #[test]
    fn nobody_is_a_stranger_before_node_and_pods_are_known() {
        let client = "192.0.2.2".parse().unwrap();
        let links_first = Access::default();
        assert_eq!(links_first.standing(client), Standing::Unknown);
        links_first.set_node(BTreeSet::new());
        assert_eq!(links_first.standing(client), Standing::Unknown);
        links_first.set_complete();
        assert_eq!(links_first.standing(client), Standing::Stranger);
        let pods_first = Access::default();
        pods_first.set_pods(vec!["10.244.0.0/24".parse().unwrap()]);
        pods_first.set_complete();
        assert_eq!(pods_first.standing(client), Standing::Unknown);
        assert_eq!(pods_first.standing("10.244.0.7".parse().unwrap()), Standing::Client);
        pods_first.set_node(BTreeSet::from([client]));
        assert_eq!(pods_first.standing(client), Standing::Client);
    }
}
