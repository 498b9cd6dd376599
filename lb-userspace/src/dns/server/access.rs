//! Who may ask: a name server that answers everybody is a tool of whoever would flood others.

use crate::link::route::{self, Way};
use ipnet::IpNet;
use quick_cache::sync::Cache;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Of how many strangers it is known where they are.
const MOST_WAYS: usize = 4096;
/// For how long.
const WAY_HOLDS: Duration = Duration::from_secs(1);

/// Who may ask; a clone is the same thing.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: RwLock<Allowed>,
    /// The links that lead to addresses, and since when that is known.
    ways: Cache<IpAddr, (Option<u32>, Instant)>,
    /// How that is found out.
    way: fn(IpAddr) -> Option<u32>,
}

#[derive(Debug, Default)]
struct Allowed {
    ranges: Vec<IpNet>,
    /// Of the node itself; they come and go. `None`: nobody has looked yet.
    node: Option<BTreeSet<IpAddr>>,
    /// The links that the node's pods are behind.
    pod_links: BTreeSet<u32>,
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

impl Default for Access {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Access {
    /// These ranges, beside the node and its pods.
    pub fn new(ranges: Vec<IpNet>) -> Self {
        Self::with_ways(ranges, link_to)
    }

    fn with_ways(ranges: Vec<IpNet>, way: fn(IpAddr) -> Option<u32>) -> Self {
        let allowed = RwLock::new(Allowed { ranges, ..Allowed::default() });
        Self(Arc::new(Inner { allowed, ways: Cache::new(MOST_WAYS), way }))
    }

    /// The node's addresses are these now, and its pods are behind these links.
    pub fn set_node(&self, addresses: BTreeSet<IpAddr>, pod_links: BTreeSet<u32>) {
        self.change(|allowed| {
            (allowed.node, allowed.pod_links) = (Some(addresses), pod_links);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Allowed)) {
        change(&mut self.0.allowed.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The node's pods have addresses in these ranges now.
    pub fn set_pods(&self, ranges: Vec<IpNet>) {
        self.change(|allowed| allowed.pods = Some(ranges));
    }

    /// Every object that exists has been told: without a range by now, the node's pods have none.
    pub(in crate::dns) fn set_complete(&self) {
        self.change(|allowed| {
            allowed.pods.get_or_insert_default();
        });
    }

    /// What a client is to us.
    pub(in crate::dns) fn standing(&self, client: IpAddr) -> Standing {
        let client = client.to_canonical();
        let allowed = self.0.allowed.read().unwrap_or_else(PoisonError::into_inner);
        let Allowed { ranges, node, pods, pod_links } = &*allowed;
        let mut ranges = ranges.iter().chain(pods.iter().flatten());
        let is_node = client.is_loopback() || node.iter().any(|node| node.contains(&client));
        let is_named = is_node || ranges.any(|range| range.contains(&client));
        if is_named || self.is_behind(pod_links, client) {
            Standing::Client
        } else if node.is_none() || pods.is_none() {
            Standing::Unknown
        } else {
            Standing::Stranger
        }
    }

    /// Whether answers to a client leave by one of these links: whatever address a pod has, it is
    /// the node's. The programs send questions of such clients here, too.
    fn is_behind(&self, links: &BTreeSet<u32>, client: IpAddr) -> bool {
        if links.is_empty() {
            return false;
        }
        let now = Instant::now();
        let known = self.0.ways.get(&client);
        let known = known.filter(|(_, since)| now.duration_since(*since) < WAY_HOLDS);
        let (link, _) = known.unwrap_or_else(|| {
            let way = ((self.0.way)(client), now);
            self.0.ways.insert(client, way);
            way
        });
        link.is_some_and(|link| links.contains(&link))
    }

    /// Whether a client may ask, as far as is known.
    pub(in crate::dns) fn allows(&self, client: IpAddr) -> bool {
        self.standing(client) == Standing::Client
    }
}

/// The link by which packets to an address leave.
fn link_to(address: IpAddr) -> Option<u32> {
    match route::way(address) {
        Ok(Way::Link(link)) => Some(link),
        Ok(Way::Own | Way::None) => None,
        Err(error) => {
            tracing::debug!("DNS: {error:#}");
            None
        }
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
        access.set_node(["192.0.2.1".parse().unwrap()].into(), BTreeSet::new());
        access.set_pods(vec!["fd00::/64".parse().unwrap()]);
        assert!(allows("192.0.2.1") && allows("fd00::1"));
        assert!(!allows("192.0.2.2"));
    }

    #[test]
    fn a_pod_of_the_node_may_ask_whatever_its_address_is() {
        // 100.64.0.N is behind link N.
        let way = |client: IpAddr| {
            let shared: IpNet = "100.64.0.0/24".parse().unwrap();
            let IpAddr::V4(v4) = client else { return None };
            shared.contains(&client).then(|| v4.octets()[3].into())
        };
        let access = Access::with_ways(Vec::new(), way);
        let allows = |client: &str| access.allows(client.parse().unwrap());
        assert!(!allows("100.64.0.7"));
        access.set_node(BTreeSet::new(), [7].into());
        assert!(allows("100.64.0.7") && allows("::ffff:100.64.0.7"));
        assert!(!allows("100.64.0.8") && !allows("192.0.2.7"));
        // Known by now is where it is, not what the link is.
        access.set_node(BTreeSet::new(), [8].into());
        assert!(!allows("100.64.0.7") && allows("100.64.0.8"));
    }

    #[test]
    fn the_kernel_knows_the_way_to_an_address() {
        assert_eq!(link_to("127.0.0.1".parse().unwrap()), None, "the node is no pod");
        assert_eq!(link_to("::1".parse().unwrap()), None);
    }

    #[test]
    fn nobody_is_a_stranger_before_node_and_pods_are_known() {
        let client = "192.0.2.2".parse().unwrap();
        let links_first = Access::default();
        assert_eq!(links_first.standing(client), Standing::Unknown);
        links_first.set_node(BTreeSet::new(), BTreeSet::new());
        assert_eq!(links_first.standing(client), Standing::Unknown);
        links_first.set_complete();
        assert_eq!(links_first.standing(client), Standing::Stranger);
        let pods_first = Access::default();
        pods_first.set_pods(vec!["10.244.0.0/24".parse().unwrap()]);
        pods_first.set_complete();
        assert_eq!(pods_first.standing(client), Standing::Unknown);
        assert_eq!(pods_first.standing("10.244.0.7".parse().unwrap()), Standing::Client);
        pods_first.set_node(BTreeSet::from([client]), BTreeSet::new());
        assert_eq!(pods_first.standing(client), Standing::Client);
    }
}
