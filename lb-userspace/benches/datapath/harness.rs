//! The harness in the kernel: template in, program under test behind it, time out.

use crate::RUNS;
use crate::case::{Case, Hook, Kind};
use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, MapData, ProgramArray};
use aya::programs::{ProgramFd, SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use lb_userspace::bpf::Raw;
use lb_userspace::bpf::loader::{self, Capacities, Constants};
use lb_userspace::bpf::maps::Maps;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-bench"));

const WORDS: usize = 10;
const IPV4_SRC: u32 = 26;
const IPV6_SRC_LOW: u32 = 34;
const IPV4_L4: u32 = 34;
const IPV6_L4: u32 = 54;

/// As in `lb-ebpf/src/bench`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Template {
    words: [u64; WORDS],
    flow_mask: u32,
    src_offset: u32,
    port_offset: u32,
    zero: u32,
}

pub(crate) struct Harness {
    ebpf: Ebpf,
    template: Array<MapData, Raw<Template>>,
    xdp_under_test: ProgramArray<MapData>,
    tc_under_test: ProgramArray<MapData>,
}

/// A program that the harness calls, and how many packets it gets.
struct Target<'a> {
    hook: Hook,
    program: &'a ProgramFd,
    repeat: u32,
}

impl Harness {
    pub(crate) fn load() -> Result<Self> {
        let mut ebpf =
            EbpfLoader::new().verifier_log_level(VerifierLogLevel::DEBUG).load(OBJECT)?;
        for name in ["bench_xdp", "bench_empty_xdp", "bench_lru_xdp"] {
            let program: &mut Xdp =
                ebpf.program_mut(name).context("no such program")?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        for name in ["bench_tc", "bench_empty_tc"] {
            let program: &mut SchedClassifier =
                ebpf.program_mut(name).context("no such program")?.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        let mut lru: HashMap<_, [u32; 4], [u64; 4]> =
            ebpf.take_map("LRU").context("no map")?.try_into()?;
        lru.insert([1, 2, 3, 4], [1; 4], 0)?;
        // The map keeps its one entry as long as it is referenced by the loaded program.
        let template = ebpf.take_map("TEMPLATE").context("no map")?.try_into()?;
        let xdp_under_test = ebpf.take_map("XDP_UNDER_TEST").context("no map")?.try_into()?;
        let tc_under_test = ebpf.take_map("TC_UNDER_TEST").context("no map")?.try_into()?;
        Ok(Self { ebpf, template, xdp_under_test, tc_under_test })
    }

    /// Net nanoseconds of one LRU hit, each run.
    pub(crate) fn yardstick(&mut self) -> Result<Vec<f64>> {
        let case = Case { hook: Hook::Xdp, kind: Kind::NotOurs, flows: 1 };
        let program = self.fd("bench_lru_xdp")?;
        self.set_template(&case)?;
        self.alternate(&Target { hook: Hook::Xdp, program: &program, repeat: 1_000_000 })
    }

    /// Net nanoseconds a packet of a case, each run.
    pub(crate) fn run(&mut self, case: &Case) -> Result<Vec<f64>> {
        let constants = Constants { hz: 250, hash_seed: 7, netns_cookie: 0, watched: false };
        let mut datapath = loader::load(&constants, &Capacities::default(), None)?;
        let name = match case.hook {
            Hook::Xdp => loader::XDP,
            Hook::Tc => loader::TC_INGRESS,
        };
        loader::packet_programs(&mut datapath)?;
        let program = loader::fd(&datapath, name)?.try_clone()?;
        let mut maps = Maps::take(&mut datapath)?;
        for edit in case.tables() {
            maps.apply(&edit)?;
        }
        self.set_template(case)?;
        let repeat = 1_000_000.max(case.flows * 4);
        let target = Target { hook: case.hook, program: &program, repeat };
        // Opens every flow, or fills the table.
        self.time(&target)?;
        let net = self.alternate(&target)?;
        check(case, &maps)?;
        Ok(net)
    }

    fn set_template(&mut self, case: &Case) -> Result<()> {
        let packet = case.packet();
        let mut words = [0; WORDS];
        bytemuck::cast_slice_mut(&mut words).copy_from_slice(&packet[..WORDS * 8]);
        let (src_offset, port_offset) =
            if case.v6() { (IPV6_SRC_LOW, IPV6_L4) } else { (IPV4_SRC, IPV4_L4) };
        let template =
            Template { words, flow_mask: case.tuples() - 1, src_offset, port_offset, zero: 0 };
        self.template.set(0, Raw(template), 0)?;
        Ok(())
    }

    /// Times the target and the empty program in turns; the differences.
    fn alternate(&mut self, target: &Target<'_>) -> Result<Vec<f64>> {
        let empty = self.fd(match target.hook {
            Hook::Xdp => "bench_empty_xdp",
            Hook::Tc => "bench_empty_tc",
        })?;
        let empty = Target { program: &empty, ..*target };
        (0..RUNS).map(|_| Ok(-self.time(&empty)? + self.time(target)?)).collect()
    }

    /// Nanoseconds a packet by the kernel's own clock, which leaves out interruptions.
    fn time(&mut self, target: &Target<'_>) -> Result<f64> {
        let slot = match target.hook {
            Hook::Xdp => &mut self.xdp_under_test,
            Hook::Tc => &mut self.tc_under_test,
        };
        slot.set(0, target.program, 0).context("putting the program under test in place")?;
        let frame = [0; 128];
        let options = || TestRunOptions {
            data_in: Some(&frame),
            repeat: target.repeat,
            ..TestRunOptions::new()
        };
        let result = match target.hook {
            Hook::Xdp => self.xdp()?.test_run(options()),
            Hook::Tc => self.tc()?.test_run(options()),
        }?;
        let failed = match target.hook {
            Hook::Xdp => result.return_value == 0,
            Hook::Tc => result.return_value == u32::MAX,
        };
        ensure!(!failed, "the harness could not call the program under test");
        Ok(result.duration.as_nanos() as f64)
    }

    fn xdp(&mut self) -> Result<&mut Xdp> {
        Ok(self.ebpf.program_mut("bench_xdp").context("no harness")?.try_into()?)
    }

    fn tc(&mut self) -> Result<&mut SchedClassifier> {
        Ok(self.ebpf.program_mut("bench_tc").context("no harness")?.try_into()?)
    }

    fn fd(&self, name: &str) -> Result<ProgramFd> {
        Ok(self.ebpf.program(name).context("no such program")?.fd()?.try_clone()?)
    }
}

/// Whether the packets met what the case is about: a figure for something else would be a lie.
fn check(case: &Case, maps: &Maps) -> Result<()> {
    let traffic = maps.service_traffic(1)?;
    let flows = maps.flows()?.len();
    match case.kind {
        Kind::NotOurs => {
            ensure!(traffic.packets == 0 && flows == 0, "packets of others were translated");
        }
        Kind::TcpNew => ensure!(
            traffic.connections > 9_000_000,
            "only {} connections were opened",
            traffic.connections
        ),
        Kind::TcpExisting { .. } | Kind::UdpExisting => {
            let opened = traffic.connections;
            ensure!(
                opened == u64::from(case.flows),
                "{opened} connections were opened for {} flows",
                case.flows
            );
            ensure!(flows == case.flows as usize * 2, "{flows} halves for {} flows", case.flows);
        }
    }
    Ok(())
}

/// Keeps the process on the last CPU, away from where interrupts usually go.
pub(crate) fn pin_to_one_cpu() -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let mut set = CpuSet::new();
    set.set(cpus - 1)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("staying on one CPU")
}
