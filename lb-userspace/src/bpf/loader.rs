//! Programs into the kernel: the embedded object, its constants, its maps private or pinned.

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::ProgramArray;
use aya::programs::{CgroupSockAddr, Program, ProgramFd, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use lb_common::layout::{capacity, name};
use std::path::Path;

/// The BPF object that the build script made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb"));

/// XDP on uplinks.
pub const XDP: &str = "lb_xdp";
/// Tells the kernel's jiffies.
pub const JIFFIES: &str = "lb_jiffies";
/// TC ingress on every link that we serve.
pub const TC_INGRESS: &str = "lb_tc_ingress";
/// TC egress on the same links.
pub const TC_EGRESS: &str = "lb_tc_egress";
/// Programs that go on with a packet of XDP, and their places in `XDP_STAGES`.
pub const XDP_STAGES: [(&str, u32); 2] = [("lb_xdp_open", 0), ("lb_xdp_answer", 1)];
/// The same of TC, in `STAGES` (`lb-ebpf/src/stage.rs` has the numbers).
pub const TC_STAGES: [(&str, u32); 9] = [
    ("lb_tc_open", 0),
    ("lb_tc_answer", 1),
    ("lb_tc_unusual", 2),
    ("lb_tc_release", 3),
    (TC_INGRESS, 4),
    (TC_EGRESS, 5),
    ("lb_tc_known", 6),
    ("lb_tc_fragment", 7),
    ("lb_tc_icmp", 8),
];

/// Socket-address programs, in the order in which they are attached: those that translate back
/// come first, so no socket is ever translated forth only.
pub const CGROUP: [&str; 8] = [
    "lb_getpeername4",
    "lb_getpeername6",
    "lb_recvmsg4",
    "lb_recvmsg6",
    "lb_sendmsg4",
    "lb_sendmsg6",
    "lb_connect4",
    "lb_connect6",
];

/// Those of them that put backends in place of frontends.
pub const TOWARD: [&str; 4] = ["lb_sendmsg4", "lb_sendmsg6", "lb_connect4", "lb_connect6"];
/// Those of these that see `connect(2)`.
pub const CONNECT: [&str; 2] = ["lb_connect4", "lb_connect6"];

/// Constants of the programs, fixed when they are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Jiffies a second.
    pub hz: u32,
    /// Makes flow hashes this node's own.
    pub hash_seed: u64,
    /// Cookie of the network namespace whose sockets are translated; 0: all.
    pub netns_cookie: u64,
    /// The programs note what they find out about a packet (`STEPS`); for tools only.
    pub watched: bool,
}

/// How many entries the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Halves of flows.
    pub conntrack: u32,
    /// Frontends.
    pub frontends: u32,
    /// Slots.
    pub slots: u32,
    /// Backends.
    pub backends: u32,
    /// Service ports.
    pub services: u32,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            conntrack: capacity::CONNTRACK,
            frontends: capacity::FRONTENDS,
            slots: capacity::SLOTS,
            backends: capacity::BACKENDS,
            services: capacity::SERVICES,
        }
    }
}

/// Where the maps of a datapath are pinned.
#[derive(Clone, Copy, Debug)]
pub struct Pins<'a> {
    /// Those that agents take over from each other.
    pub maps: &'a Path,
    /// Those of this load alone.
    pub load: &'a Path,
}

/// Loads the object; no program is in the kernel yet. With `pins`, maps that are pinned there are
/// taken over and others are made and pinned; without, all maps are private.
///
/// # Errors
/// The kernel refused a map, or a pinned map has another shape.
pub fn load(
    constants: &Constants,
    capacities: &Capacities,
    pins: Option<Pins<'_>>,
) -> Result<Ebpf> {
    let mut loader = loader(constants, capacities);
    if let Some(pins) = pins {
        pinned(&mut loader, pins.maps, &name::ALL);
        // The kernel empties an array of programs that nobody holds.
        pinned(&mut loader, pins.load, &name::OF_A_LOAD);
    }
    load_with(&mut loader)
}

/// Loads the object beside another one, whose pinned tables it takes: all that programs read and
/// never write. The maps that they write are private and small.
///
/// # Errors
/// The kernel refused a map, or a pinned map has another shape.
pub fn load_beside(constants: &Constants, capacities: &Capacities, pins: &Path) -> Result<Ebpf> {
    let mut loader = loader(constants, capacities);
    pinned(&mut loader, pins, &name::TABLES);
    for map in [name::AFFINITY, name::SOCKETS, name::FRAGMENTS, name::HELD] {
        loader.map_max_entries(map, SMALL);
    }
    load_with(&mut loader)
}

/// Entries of private maps that few packets use.
const SMALL: u32 = 1_024;

fn loader<'a>(constants: &'a Constants, capacities: &Capacities) -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .override_global("HZ", &constants.hz, true)
        .override_global("HASH_SEED", &constants.hash_seed, true)
        .override_global("NETNS_COOKIE", &constants.netns_cookie, true)
        .override_global("WATCHED", if constants.watched { &1_u32 } else { &0_u32 }, true)
        .map_max_entries(name::CONNTRACK, capacities.conntrack)
        .map_max_entries(name::FRONTENDS, capacities.frontends)
        .map_max_entries(name::SLOTS, capacities.slots)
        .map_max_entries(name::BACKENDS, capacities.backends)
        .map_max_entries(name::BACKEND_STATS, capacities.backends)
        .map_max_entries(name::SERVICES, capacities.services)
        .map_max_entries(name::SERVICE_STATS, capacities.services);
    loader
}

fn pinned(loader: &mut EbpfLoader<'_>, folder: &Path, maps: &'static [&'static str]) {
    for map in maps {
        loader.map_pin_path(map, folder.join(map));
    }
}

fn load_with(loader: &mut EbpfLoader<'_>) -> Result<Ebpf> {
    loader
        .load(OBJECT)
        .context("loading the BPF object (`lb-agent check` says what the kernel has)")
}

/// Sends one program to the kernel.
///
/// # Errors
/// The verifier refused it; the message ends with its telling lines.
#[expect(clippy::wildcard_enum_match_arm, reason = "the object has programs of three kinds")]
pub fn into_kernel<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut Program> {
    let found =
        ebpf.program_mut(program).ok_or_else(|| anyhow!("no program {program} in the object"))?;
    match found {
        Program::Xdp(xdp) => xdp.load(),
        Program::SchedClassifier(tc) => tc.load(),
        Program::CgroupSockAddr(cgroup) => cgroup.load(),
        other => {
            return Err(anyhow!(
                "program {program} has the unexpected type {:?}",
                other.prog_type()
            ));
        }
    }
    .map_err(|error| anyhow!("{}", telling(&format!("{:#}", anyhow::Error::from(error)))))
    .with_context(|| format!("loading program {program}"))?;
    Ok(found)
}

/// Sends the programs that take frames to the kernel, and tells those that hand packets over where
/// the others are.
///
/// # Errors
/// The verifier refused one, or the kernel a write.
pub fn packet_programs(ebpf: &mut Ebpf) -> Result<()> {
    stages(ebpf, name::STAGES, &TC_STAGES)?;
    stages(ebpf, name::XDP_STAGES, &XDP_STAGES)?;
    into_kernel(ebpf, XDP).map(drop)
}

fn stages(ebpf: &mut Ebpf, map: &str, stages: &[(&str, u32)]) -> Result<()> {
    for (program, place) in stages {
        into_kernel(ebpf, program)?;
        let fd = fd(ebpf, program)?.try_clone()?;
        let map = ebpf.map_mut(map).with_context(|| format!("no map {map} in the object"))?;
        ProgramArray::try_from(map)?
            .set(*place, &fd, 0)
            .with_context(|| format!("telling other programs of {program}"))?;
    }
    Ok(())
}

/// A program that takes frames, once loaded.
///
/// # Errors
/// It is not in the object, or not in the kernel.
#[expect(clippy::wildcard_enum_match_arm, reason = "programs of two kinds take frames")]
pub fn fd<'a>(ebpf: &'a Ebpf, program: &str) -> Result<&'a ProgramFd> {
    let found = ebpf.program(program).with_context(|| format!("no program {program}"))?;
    Ok(match found {
        Program::Xdp(xdp) => xdp.fd()?,
        Program::SchedClassifier(tc) => tc.fd()?,
        other => bail!("program {program} of type {:?} takes no frames", other.prog_type()),
    })
}

/// The last lines of a verifier log: what it objected to.
fn telling(message: &str) -> String {
    const LINES: usize = 25;
    let lines: Vec<&str> = message.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or(&lines).join("\n")
}

/// The XDP program, once loaded.
///
/// # Errors
/// It is not in the object.
pub fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf.program_mut(XDP).context("no XDP program in the object")?.try_into()?)
}

/// A TC program, once loaded.
///
/// # Errors
/// It is not in the object.
pub fn tc<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut SchedClassifier> {
    Ok(ebpf.program_mut(program).context("no such TC program in the object")?.try_into()?)
}

/// A socket-address program, once loaded.
///
/// # Errors
/// It is not in the object.
pub fn cgroup<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut CgroupSockAddr> {
    Ok(ebpf.program_mut(program).context("no such cgroup program in the object")?.try_into()?)
}
