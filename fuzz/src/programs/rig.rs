//! The programs in the kernel, with maps of their own, on a network of their own.

use super::capture::{Hook, Link, Step};
use super::network;
use crate::source;
use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::{TestRun as _, TestRunOptions, TestRunResult};
use bytemuck::{Pod, Zeroable as _};
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};
use lb_common::layout::name;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;
use lb_userspace::bpf::Raw;
use lb_userspace::bpf::loader::{self, Capacities, Constants};
use lb_userspace::bpf::maps::Maps;
use lb_userspace::compile::node::SnatMode;
use lb_userspace::compile::{self, NodeView};
use lb_userspace::reconcile::ids::Limits;
use lb_userspace::reconcile::planner::NodeTables;
use lb_userspace::reconcile::{Edit, Planner, Tables};
use lb_userspace::source::controllers::Memory;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

/// Loopback, the first link of every namespace.
const POD_LINK: u32 = 1;
/// How much longer a packet may become: refusals quote packets.
const ROOM: usize = 256;
const CAPACITIES: Capacities =
    Capacities { conntrack: 4096, frontends: 256, slots: 16_384, backends: 256, services: 64 };

/// What a program says about a packet, whatever its hook calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// It goes on to the host.
    Passed,
    /// It ends here.
    Dropped,
    /// It leaves by a link at once.
    Sent,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) bytes: Vec<u8>,
}

type Hash<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;

/// Loaded programs.
pub(super) struct Rig {
    ebpf: Ebpf,
    maps: Maps,
    fragments: Hash<FragmentKey, FragmentValue>,
    held: Hash<HeldKey, HeldValue>,
    uplink: u32,
    /// Packets by reason, when they were read last.
    counted: BTreeMap<Reason, u64>,
    /// What the kernel had to complain about before.
    taint: String,
}

impl Rig {
    /// Loads everything into a network namespace of its own.
    pub(super) fn load() -> Result<Self> {
        let uplink = network::enter()?;
        let constants = Constants { hz: 250, hash_seed: 42, netns_cookie: 0, watched: false };
        let mut ebpf = loader::load(&constants, &CAPACITIES, None)?;
        loader::packet_programs(&mut ebpf)?;
        let mut maps = Maps::take(&mut ebpf)?;
        for edit in tables(uplink) {
            maps.apply(&edit)?;
        }
        let fragments = ebpf.take_map(name::FRAGMENTS).context("no map FRAGMENTS")?.try_into()?;
        let held = ebpf.take_map(name::HELD).context("no map HELD")?.try_into()?;
        let counted = maps.reasons()?;
        Ok(Self { ebpf, maps, fragments, held, uplink, counted, taint: taint()? })
    }

    /// Forgets every packet so far. Counters go on.
    pub(super) fn forget(&mut self) -> Result<()> {
        for (key, _) in self.maps.flows()? {
            self.maps.remove_flow(&key)?;
        }
        for (key, _) in self.maps.affinities()? {
            self.maps.remove_affinity(&key)?;
        }
        empty(&mut self.fragments)?;
        empty(&mut self.held)
    }

    /// Hands a packet to its program; `None`: the kernel has no test run for it.
    pub(super) fn run(&mut self, step: &Step) -> Result<Option<Outcome>> {
        if !has_test_run(step) {
            return Ok(None);
        }
        let Step { hook, link, frame } = step;
        let link = match link {
            Link::Pod => POD_LINK,
            Link::Uplink => self.uplink,
        };
        let mut bytes = vec![0; frame.len() + ROOM];
        let context = context(*hook, link, frame.len())?;
        let result = self
            .test_run(*hook, frame, &mut bytes, &context)
            .with_context(|| format!("a test run of {hook:?} over {} bytes", frame.len()))?;
        bytes.truncate(usize::try_from(result.data_size_out)?);
        Ok(Some(Outcome { verdict: verdict(*hook, result.return_value)?, bytes }))
    }

    fn test_run(
        &mut self,
        hook: Hook,
        frame: &[u8],
        bytes: &mut [u8],
        context: &[u8],
    ) -> Result<TestRunResult> {
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(bytes),
            ctx_in: Some(context),
            ..TestRunOptions::new()
        };
        Ok(match hook {
            Hook::Xdp => loader::xdp(&mut self.ebpf)?.test_run(options)?,
            Hook::TcIngress => loader::tc(&mut self.ebpf, loader::TC_INGRESS)?.test_run(options)?,
            Hook::TcEgress => loader::tc(&mut self.ebpf, loader::TC_EGRESS)?.test_run(options)?,
        })
    }

    /// All flows that are stored.
    pub(super) fn flows(&self) -> Result<Vec<(FlowKey, FlowValue)>> {
        self.maps.flows()
    }

    /// Whether the kernel has complained meanwhile: `dmesg` has the warning.
    pub(super) fn has_complained(&self) -> Result<bool> {
        Ok(taint()? != self.taint)
    }

    /// The reasons that were counted since the last time.
    pub(super) fn reasons(&mut self) -> Result<Vec<Reason>> {
        let before = std::mem::replace(&mut self.counted, self.maps.reasons()?);
        let grown = self.counted.iter().filter(|(reason, count)| before[reason] != **count);
        Ok(grown.map(|(reason, _)| *reason).collect())
    }
}

/// Bits that stay set once the kernel found something wrong with itself
/// (Documentation/admin-guide/tainted-kernels.rst).
fn taint() -> Result<String> {
    fs::read_to_string("/proc/sys/kernel/tainted").context("asking for the kernel's complaints")
}

/// What `services.yaml` means on a node with these links.
fn tables(uplink: u32) -> Vec<Edit> {
    let (objects, _) = source::objects(include_str!("services.yaml"));
    let (snapshot, _) = source::derive(&objects, &mut Memory::default());
    let limits = Limits {
        services: CAPACITIES.services,
        backends: CAPACITIES.backends,
        slots: CAPACITIES.slots,
        frontends: CAPACITIES.frontends,
        ..Limits::default()
    };
    let mut planner = Planner::adopt(Tables::default(), limits);
    let mut edits = planner.update_node(&node_tables(uplink));
    let view = NodeView::new(&snapshot.node, SnatMode::Minimal, true);
    let none = BTreeMap::new();
    for (name, service) in &snapshot.services {
        let slices = snapshot.slices.get(name).unwrap_or(&none);
        let plan = compile::plan(service, slices, &view);
        edits.extend(planner.update(name, Some(&plan)));
    }
    edits
}

fn node_tables(uplink: u32) -> NodeTables {
    let zeroed = LinkValue::zeroed();
    let [v4, v6] = [false, true].map(|v6| Addr::from(network::node(v6)));
    let link = |kind| LinkValue { kind, masquerade_v4: v4, masquerade_v6: v6, ..zeroed };
    let range = |text: &str, len| (Addr::from(text.parse::<IpAddr>().unwrap()).0, len);
    NodeTables {
        addrs: [v4, v6].into(),
        cidrs: [range("10.244.0.0", 96 + 16), range("fd00:244::", 64)].into(),
        links: [(POD_LINK, link(LinkValue::POD)), (uplink, link(LinkValue::UPLINK))].into(),
        answer_ping: true,
    }
}

fn empty<K: Pod, V: Pod>(map: &mut Hash<K, V>) -> Result<()> {
    let keys: Vec<_> = map.keys().collect::<Result<_, _>>()?;
    for key in keys {
        map.remove(&key)?;
    }
    Ok(())
}

/// Whether the kernel can make the packet (`bpf_prog_test_run_xdp` and `bpf_prog_test_run_skb` of
/// `net/bpf/test_run.c`): no less than an Ethernet header, and for TC with an IP header behind it
/// where it says so, and no more than fits into a page beside the kernel's own.
fn has_test_run(step: &Step) -> bool {
    let (least, most) = match (step.hook, step.frame.get(12..14)) {
        (Hook::Xdp, _) => (14, 60_000),
        (Hook::TcIngress | Hook::TcEgress, Some([0x08, 0x00])) => (14 + 20, 3_000),
        (Hook::TcIngress | Hook::TcEgress, Some([0x86, 0xdd])) => (14 + 40, 3_000),
        (Hook::TcIngress | Hook::TcEgress, _) => (15, 3_000),
    };
    (least..=most).contains(&step.frame.len())
}

/// The beginning of `struct xdp_md` or `struct __sk_buff` (include/uapi/linux/bpf.h) for a frame
/// on a link; the rest is zero.
fn context(hook: Hook, link: u32, len: usize) -> Result<Vec<u8>> {
    let words = match hook {
        // data, data_end, data_meta, ingress_ifindex
        Hook::Xdp => vec![0, u32::try_from(len)?, 0, link],
        // ifindex is the eleventh word.
        Hook::TcIngress | Hook::TcEgress => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, link],
    };
    Ok(words.into_iter().flat_map(u32::to_ne_bytes).collect())
}

/// `enum xdp_action`, and the `TC_ACT_` numbers that our programs know.
fn verdict(hook: Hook, action: u32) -> Result<Verdict> {
    match (hook, action) {
        (Hook::Xdp, 1) | (Hook::TcIngress | Hook::TcEgress, 2) => Ok(Verdict::Dropped),
        (Hook::Xdp, 2) | (Hook::TcIngress | Hook::TcEgress, 3) => Ok(Verdict::Passed),
        (Hook::Xdp, 3) | (Hook::TcIngress | Hook::TcEgress, 7) => Ok(Verdict::Sent),
        (hook, action) => anyhow::bail!("{hook:?} returned the action {action}"),
    }
}
