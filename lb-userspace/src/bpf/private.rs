//! A datapath that nobody else meets: the programs in the kernel, with maps of their own, on no
//! link. Packets are handed to them one by one (`BPF_PROG_TEST_RUN`, `include/uapi/linux/bpf.h`), and
//! what becomes of each is told.
//!
//! Programs that work on system calls have no test run: they are attached to a cgroup, for as long
//! as this value lives.

use super::loader::{self, Capacities, Constants};
use super::maps::Maps;
use crate::reconcile::{Edit, Tables, tables};
use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::programs::{CgroupAttachMode, TestRun as _, TestRunOptions};
use bytemuck::Zeroable as _;

use lb_common::layout::backend::BackendValue;
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

/// Programs with private maps.
pub struct PrivateDatapath {
    ebpf: Ebpf,
    maps: Maps,
}

impl PrivateDatapath {
    /// Loads everything.
    ///
    /// # Errors
    /// The kernel refused a program or a map; no rights.
    pub fn load(constants: &Constants, capacities: &Capacities) -> Result<Self> {
        let mut ebpf = loader::load(constants, capacities, None)?;
        for program in
            [loader::XDP, loader::TC_INGRESS, loader::TC_EGRESS].iter().chain(&loader::CGROUP)
        {
            loader::into_kernel(&mut ebpf, program)?;
        }
        let maps = Maps::take(&mut ebpf)?;
        Ok(Self { ebpf, maps })
    }

    /// Its maps.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Its maps, to be changed.
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

    /// Empties all maps but the counters.
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

    /// Attaches the socket programs to a cgroup.
    ///
    /// # Errors
    /// The cgroup does not exist, or is not one of version 2.
    pub fn serve(&mut self, cgroup: &Path) -> Result<()> {
        let folder =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        for name in loader::CGROUP {
            loader::cgroup(&mut self.ebpf, name)?
                .attach(&folder, CgroupAttachMode::Single)
                .with_context(|| format!("attaching {name} to cgroup {}", cgroup.display()))?;
        }
        Ok(())
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
