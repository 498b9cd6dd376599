//! The loaded programs on a node: packets come in where they would come in, and what becomes of
//! them is told.
//!
//! | client | way |
//! |---|---|
//! | a pod | TC ingress of the pods' link |
//! | outside, or a pod that cannot be told from it | XDP of the uplink, then its TC ingress; in turns with TC alone, because XDP does not run everywhere |
//! | a process of the node: TCP, UDP | the call on a socket ([`socket`](super::socket)) |
//! | a process of the node: SCTP | TC egress of the uplink: Linux rarely has SCTP sockets |

use super::fate::{Client, Fate};
use super::network::{Link, Network};
use super::scenario::Class;
use crate::bpf::loader::{Capacities, Constants};
use crate::bpf::own_netns_cookie;
use crate::bpf::private::{Action, Hook, PrivateDatapath};
use crate::probe::cgroup::Cgroup;
use crate::probe::frame::{self, Ends, Macs};
use anyhow::{Context as _, Result};
use lb_common::verdict::Reason;
use std::collections::BTreeMap;

/// What the maps hold: more than a scenario needs, and little enough to be emptied quickly.
pub(super) const CAPACITIES: Capacities = Capacities {
    conntrack: 65_536,
    frontends: 8_192,
    slots: 262_144,
    backends: 8_192,
    services: 4_096,
};
/// Jiffies a second, as the programs are told: many, so that the time that a scenario really takes
/// is next to nothing in its own time; and so few that days fit into 32 bits.
const HZ: u32 = 10_000;
/// Hash seed of every run: a scenario comes out alike today and tomorrow.
const HASH_SEED: u64 = 42;
/// Hardware address of whoever sends to the node.
const SENDER: [u8; 6] = [0x02, 0x6c, 0x62, 0, 0, 2];
/// Ports that clients use: above those that only root may use.
const FIRST_PORT: u16 = 1024;

/// Reasons to drop a packet that are no verdict about it.
const MISHAPS: [Reason; 5] = [
    Reason::SourcePortsExhausted,
    Reason::FlowTable,
    Reason::NoRoute,
    Reason::StaleSlot,
    Reason::Rewrite,
];

/// The loaded programs on a node.
pub(super) struct Stage {
    pub(super) datapath: PrivateDatapath,
    pub(super) network: Network,
    /// Where processes of the node are; made when the first one is needed.
    cgroup: Option<Cgroup>,
    /// The port that the last client came from.
    port: u16,
}

impl Stage {
    /// Takes the calling thread into a namespace of its own and loads the programs.
    ///
    /// # Errors
    /// No rights, or the kernel lacks something.
    pub(super) fn build() -> Result<Self> {
        let network = Network::enter()?;
        let netns_cookie =
            own_netns_cookie().context("asking for the cookie of the network namespace")?;
        let constants = Constants { hz: HZ, hash_seed: HASH_SEED, netns_cookie, watched: false };
        let datapath = PrivateDatapath::load(&constants, &CAPACITIES)?;
        Ok(Self { datapath, network, cgroup: None, port: u16::MAX })
    }

    /// A port that no client of the scenario has used, as long as there are any.
    pub(super) fn next_port(&mut self) -> u16 {
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        self.port
    }

    /// Makes this process one of those whose sockets are translated.
    pub(super) fn join_cgroup(&mut self) -> Result<()> {
        if self.cgroup.is_none() {
            let cgroup = Cgroup::join()?;
            self.datapath.serve(cgroup.path())?;
            self.cgroup = Some(cgroup);
        }
        Ok(())
    }

    /// Sends the first packet of a connection. `xdp`: where the link is one that can have it.
    pub(super) fn open(&mut self, client: &Client<'_>, ends: &Ends, xdp: bool) -> Result<Fate> {
        let link = self.link(client);
        self.send(client, ends, &frame::opening(ends, macs(link))?, xdp)
    }

    /// Sends a later packet of it.
    pub(super) fn go_on(&mut self, client: &Client<'_>, ends: &Ends) -> Result<Fate> {
        let link = self.link(client);
        self.send(client, ends, &frame::later(ends, macs(link))?, true)
    }

    fn send(&mut self, client: &Client<'_>, ends: &Ends, sent: &[u8], xdp: bool) -> Result<Fate> {
        let link = self.link(client).index;
        if client.is_process() {
            let outcome = self.datapath.run(Hook::TcEgress, link, sent)?;
            return Ok(Fate::of(ends, sent, &outcome));
        }
        let is_pod = link == self.network.pods().index;
        let mut coming = sent.to_vec();
        if xdp && !is_pod {
            let outcome = self.datapath.run(Hook::Xdp, link, sent)?;
            if outcome.action != Action::Pass {
                return Ok(Fate::of(ends, sent, &outcome));
            }
            coming = outcome.bytes;
        }
        let outcome = self.datapath.run(Hook::TcIngress, link, &coming)?;
        Ok(Fate::of(ends, sent, &outcome))
    }

    /// The link of the node that a client is behind.
    fn link(&self, client: &Client<'_>) -> Link {
        let is_pod = client.class == Class::Pod && client.node.takes_for_pod(&client.ip);
        if is_pod { self.network.pods() } else { self.network.uplink() }
    }

    /// Lets time pass: whatever was seen, was seen so much earlier.
    pub(super) fn pass_time(&mut self, seconds: u32) -> Result<()> {
        let passed = seconds.wrapping_mul(HZ);
        let maps = self.datapath.maps_mut();
        for (key, mut value) in maps.flows()? {
            value.seen = value.seen.wrapping_sub(passed);
            maps.put_flow(key, value)?;
        }
        for (key, mut value) in maps.affinities()? {
            value.seen = value.seen.wrapping_sub(passed);
            maps.put_affinity(key, value)?;
        }
        Ok(())
    }

    /// Lets every Service forget its clients.
    pub(super) fn forget_affinities(&mut self) -> Result<()> {
        let maps = self.datapath.maps_mut();
        maps.affinities()?.iter().try_for_each(|(key, _)| maps.remove_affinity(key))
    }

    /// How many flows were opened so far to these service ports.
    pub(super) fn flows_opened<'a>(&self, services: impl Iterator<Item = &'a u32>) -> Result<u64> {
        let opened = |id: &u32| Ok(self.datapath.maps().service_traffic(*id)?.connections);
        services.map(opened).sum()
    }

    /// How many packets were not simply translated so far, by reason.
    pub(super) fn reasons(&self) -> Result<Reasons> {
        Ok(Reasons(self.datapath.maps().reasons()?))
    }
}

/// Packets by reason.
pub(super) struct Reasons(BTreeMap<Reason, u64>);

impl Reasons {
    /// The reasons that were counted since `before`: those that are verdicts, and mishaps.
    pub(super) fn since(&self, before: &Self) -> (Vec<Reason>, Vec<Reason>) {
        let counted = self.0.iter().filter(|(reason, count)| before.0.get(reason) != Some(count));
        counted.map(|(reason, _)| *reason).partition(|reason| !MISHAPS.contains(reason))
    }
}

fn macs(link: Link) -> Macs {
    (SENDER, link.mac)
}
