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
    /// Of the node itself; they come and go.
    node: BTreeSet<IpAddr>,
    pods: Vec<IpNet>,
}

impl Access {
    /// These ranges, beside the node and its pods.
    pub fn new(ranges: Vec<IpNet>) -> Self {
        Self(Arc::new(RwLock::new(Allowed { ranges, ..Allowed::default() })))
    }

    /// The node's addresses are these now.
    pub fn set_node(&self, addresses: BTreeSet<IpAddr>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).node = addresses;
    }

    /// The node's pods have addresses in these ranges now.
    pub fn set_pods(&self, ranges: Vec<IpNet>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).pods = ranges;
    }

    /// Whether a client may ask.
    pub(in crate::dns) fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        if client.is_loopback() {
            return true;
        }
        let allowed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Allowed { ranges, node, pods } = &*allowed;
        node.contains(&client) || ranges.iter().chain(pods).any(|range| range.contains(&client))
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
}
