//! Programs that no packet meets but those that are handed to them one by one
//! (`BPF_PROG_TEST_RUN`, `include/uapi/linux/bpf.h`), and what they make of each.
//!
//! They have tables of their own, or read those of a pinned datapath; whatever programs write goes
//! to maps of their own: nobody notices.
//! Programs for system calls have no test run; they are attached to a cgroup for as long as this
//! value lives.

use super::clock;
use super::datapath::{known_clock, seed};
use super::loader::{self, Capacities, Constants};
use super::maps::Maps;
use super::pin::PinFolder;
use crate::reconcile::{Edit, Tables, tables};
use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::{CgroupAttachMode, TestRun as _, TestRunOptions};
use bytemuck::Zeroable as _;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::name;
use lb_common::layout::step::Step;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// How much longer than what goes in a packet may be that comes out: refusals quote packets.
const ROOM: usize = 256;

/// The programs that take frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP.
    Xdp,
    /// TC ingress.
    TcIngress,
    /// TC egress.
    TcEgress,
}

/// What a program says about a packet, whatever its hook calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on to the next stage of the host.
    Pass,
    /// It ends here.
    Drop,
    /// It leaves at once: by the link it came from or, from TC, by any link.
    Leave,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the program says about it.
    pub action: Action,
    /// Its bytes now.
    pub bytes: Vec<u8>,
}

/// What programs noted about packets.
pub type Steps = BTreeMap<Step, u64>;

/// Loaded programs on no link.
pub struct PrivateDatapath {
    ebpf: Ebpf,
    maps: Maps,
    steps: Array<MapData, u64>,
}

impl PrivateDatapath {
    /// Loads programs with empty tables of their own.
    ///
    /// # Errors
    /// The kernel refused a program or a map; no rights.
    pub fn load(constants: &Constants, capacities: &Capacities) -> Result<Self> {
        Self::of(loader::load(constants, capacities, None)?)
    }

    /// Loads programs that are watched, beside those that are pinned in `pins`. `flows`: for how
    /// many halves of flows there is room.
    ///
    /// # Errors
    /// The kernel refused a program or a map; no rights; nothing is pinned there.
    pub fn beside(pins: &PinFolder, flows: u32) -> Result<Self> {
        let clock = known_clock(pins).map_or_else(clock::measure, Ok)?;
        let constants = Constants {
            hz: u32::try_from(clock.hz).context("the kernel's clock is too fast")?,
            hash_seed: seed(pins)?,
            // Whoever calls is in a namespace and a cgroup of its own.
            netns_cookie: 0,
            watched: true,
        };
        // Counters are nobody's business here, and the tables have the size that they have.
        let capacities =
            Capacities { conntrack: flows, frontends: 1, slots: 1, backends: 1, services: 1 };
        Self::of(loader::load_beside(&constants, &capacities, &pins.maps())?)
    }

    fn of(mut ebpf: Ebpf) -> Result<Self> {
        loader::packet_programs(&mut ebpf)?;
        let steps = ebpf.take_map(name::STEPS).context("no map STEPS in the object")?;
        Ok(Self { maps: Maps::take(&mut ebpf)?, steps: steps.try_into()?, ebpf })
    }

    /// Its maps; the tables are those of the pinned datapath.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The same, for flows and affinities to be put in. The tables are not to be changed.
    pub fn maps_mut(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// Makes the edits in order.
    ///
    /// # Errors
    /// The kernel refused one.
    pub fn apply(&mut self, edits: &[Edit]) -> Result<()> {
        edits.iter().try_for_each(|edit| self.maps.apply(edit))
    }

    /// Empties all maps but the counters. For tables of its own.
    ///
    /// # Errors
    /// The kernel refused a read or a write.
    pub fn clear(&mut self) -> Result<()> {
        self.maps.forget_clients()?;
        let held = self.maps.tables()?;
        self.apply(&tables::diff(&held, &Tables::default()))?;
        // A cell that was ever used keeps its generation; here nobody remembers the old ones.
        let cells = held.backends.into_keys();
        cells
            .map(|id| Edit::Backend(id, BackendValue::zeroed()))
            .try_for_each(|edit| self.maps.apply(&edit))
    }

    /// Runs the program of `hook` over a frame that comes in, or leaves, by `link` of the network
    /// namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel refused the run, or the program returned an action that it should not know.
    pub fn run(&mut self, hook: Hook, link: u32, frame: &[u8]) -> Result<Outcome> {
        let mut bytes = vec![0; frame.len() + ROOM];
        let context = context(hook, link, frame.len())?;
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut bytes),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = match hook {
            Hook::Xdp => loader::xdp(&mut self.ebpf)?.test_run(options),
            Hook::TcIngress => loader::tc(&mut self.ebpf, loader::TC_INGRESS)?.test_run(options),
            Hook::TcEgress => loader::tc(&mut self.ebpf, loader::TC_EGRESS)?.test_run(options),
        }
        .with_context(|| format!("running the {hook:?} program over {} bytes", frame.len()))?;
        bytes.truncate(usize::try_from(result.data_size_out)?);
        Ok(Outcome { action: action(hook, result.return_value)?, bytes })
    }

    /// Attaches the programs that see `connect(2)` and `sendto(2)` to a cgroup.
    ///
    /// # Errors
    /// The cgroup does not exist, or is not one of version 2.
    pub fn serve(&mut self, cgroup: &Path) -> Result<()> {
        let folder =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        for name in loader::TOWARD {
            loader::into_kernel(&mut self.ebpf, name)?;
            loader::cgroup(&mut self.ebpf, name)?
                .attach(&folder, CgroupAttachMode::Single)
                .with_context(|| format!("attaching {name} to cgroup {}", cgroup.display()))?;
        }
        Ok(())
    }

    /// What the programs noted since the last time that somebody asked.
    ///
    /// # Errors
    /// The kernel refused a read or a write.
    pub fn take_steps(&mut self) -> Result<Steps> {
        let mut steps = Steps::new();
        for step in Step::ALL {
            let word = self.steps.get(&(step as u32), 0).context("reading map STEPS")?;
            if word & Step::TAKEN != 0 {
                steps.insert(step, word & !Step::TAKEN);
                self.steps.set(step as u32, 0, 0).context("writing map STEPS")?;
            }
        }
        Ok(steps)
    }
}

/// The beginning of `struct xdp_md` or `struct __sk_buff` for a frame on a link; the rest is zero.
fn context(hook: Hook, link: u32, len: usize) -> Result<Vec<u8>> {
    let words = match hook {
        // data, data_end, data_meta, ingress_ifindex
        Hook::Xdp => vec![0, u32::try_from(len)?, 0, link],
        // ifindex is the eleventh word.
        Hook::TcIngress | Hook::TcEgress => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, link],
    };
    Ok(words.into_iter().flat_map(u32::to_ne_bytes).collect())
}

/// `enum xdp_action` and the `TC_ACT_` numbers (`include/uapi/linux/pkt_cls.h`).
fn action(hook: Hook, number: u32) -> Result<Action> {
    Ok(match (hook, number) {
        (Hook::Xdp, 1) | (Hook::TcIngress | Hook::TcEgress, 2) => Action::Drop,
        (Hook::Xdp, 2) | (Hook::TcIngress | Hook::TcEgress, 0 | 3) => Action::Pass,
        (Hook::Xdp, 3 | 4) | (Hook::TcIngress | Hook::TcEgress, 7) => Action::Leave,
        (hook, number) => bail!("the {hook:?} program returned the unknown action {number}"),
    })
}
