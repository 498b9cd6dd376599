//! Programs onto links and the cgroup, by pinned BPF links: they stay when the agent goes, and the
//! next agent swaps the program behind them without a gap.

use super::loader;
use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{CgroupAttachMode, TcAttachType};
use aya::util::KernelVersion;
use lb_common::layout::node::{LinkValue, XdpState};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcMode {
    /// By TCX links (Linux 6.6).
    Tcx,
    /// To the `clsact` qdisc: no pins, found again by priority and handle.
    Clsact,
}

impl TcMode {
    /// The best that this kernel has.
    pub fn of_kernel() -> Self {
        let current = KernelVersion::current().ok();
        let tcx = current.is_some_and(|version| version >= KernelVersion::new(6, 6, 0));
        if tcx { Self::Tcx } else { Self::Clsact }
    }

    /// The number in `LINKS`.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcx => LinkValue::TCX,
            Self::Clsact => LinkValue::CLSACT,
        }
    }
}

/// A TC program and the side of a link that it belongs to.
type Hook<'a> = (&'a str, TcAttachType);

/// Marks our filters on the `clsact` qdisc.
const CLSACT: NlOptions = NlOptions { priority: 0x1b, handle: TcHandle::new(0, 1), classid: None };

/// Attaches and detaches; pins in one folder of bpffs.
#[derive(Debug)]
pub struct Attacher {
    pins: PathBuf,
    mode: TcMode,
}

impl Attacher {
    /// Pins go to `pins`, which exists on a bpffs.
    pub fn new(pins: PathBuf, mode: TcMode) -> Self {
        Self { pins, mode }
    }

    /// How TC programs are attached.
    pub fn mode(&self) -> TcMode {
        self.mode
    }

    /// Attaches both TC programs to a link, or swaps them in where an older agent's are.
    ///
    /// # Errors
    /// The kernel refused; the link may be gone.
    pub fn tc(&self, ebpf: &mut Ebpf, name: &str, index: u32) -> Result<()> {
        if self.mode == TcMode::Clsact {
            // The qdisc may be there already, ours or somebody else's.
            let _ = tc::qdisc_add_clsact(name);
        }
        let hooks = [
            // The way back first: a flow that is opened must not miss its answers.
            (loader::TC_EGRESS, TcAttachType::Egress),
            (loader::TC_INGRESS, TcAttachType::Ingress),
        ];
        for (program, side) in hooks {
            let attached = match self.mode {
                TcMode::Tcx => self.tcx(ebpf, (program, side), (name, index)),
                TcMode::Clsact => clsact(ebpf, (program, side), name),
            };
            attached.with_context(|| format!("attaching {program} to link {name}"))?;
        }
        // An agent that ran in the other mode left its own behind; two at once did no harm, for
        // what one has translated is nothing to the other.
        match self.mode {
            TcMode::Tcx => detach_clsact(name),
            TcMode::Clsact => {
                unpin(&self.pin(loader::TC_INGRESS, index))?;
                unpin(&self.pin(loader::TC_EGRESS, index))
            }
        }
    }

    fn tcx(
        &self,
        ebpf: &mut Ebpf,
        (program, side): Hook<'_>,
        (name, index): (&str, u32),
    ) -> Result<()> {
        let pin = self.pin(program, index);
        let tc = loader::tc(ebpf, program)?;
        if let Some(old) = pinned::<SchedClassifierLink>(&pin) {
            if let Ok(id) = tc.attach_to_link(old) {
                keep(tc.take_link(id)?)?;
                return Ok(());
            }
            // The link died with a device that had this index before.
            unpin(&pin)?;
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = tc.attach_with_options(name, side, order)?;
        FdLink::try_from(tc.take_link(id)?)?.pin(&pin)?;
        Ok(())
    }

    /// Attaches the XDP program to a link. Says how it runs, or why not.
    ///
    /// # Errors
    /// A pin could not be written.
    pub fn xdp(
        &self,
        ebpf: &mut Ebpf,
        name: &str,
        index: u32,
        generic_too: bool,
    ) -> Result<XdpState> {
        let pin = self.pin(loader::XDP, index);
        let xdp = loader::xdp(ebpf)?;
        if let Some(old) = pinned::<XdpLink>(&pin) {
            if let Ok(id) = xdp.attach_to_link(old) {
                keep(xdp.take_link(id)?)?;
                return Ok(XdpState::DRIVER);
            }
            unpin(&pin)?;
        }
        let modes = [(XdpMode::Driver, XdpState::DRIVER), (XdpMode::Skb, XdpState::GENERIC)];
        for (mode, state) in modes.into_iter().take(if generic_too { 2 } else { 1 }) {
            match xdp.attach(name, mode) {
                Ok(id) => {
                    FdLink::try_from(xdp.take_link(id)?)?
                        .pin(&pin)
                        .context("pinning the XDP link")?;
                    return Ok(state);
                }
                Err(error) => tracing::debug!(link = name, ?mode, %error, "XDP was refused"),
            }
        }
        Ok(XdpState::REFUSED)
    }

    /// Takes the XDP program off a link.
    ///
    /// # Errors
    /// The pin could not be removed.
    pub fn no_xdp(&self, index: u32) -> Result<()> {
        unpin(&self.pin(loader::XDP, index))
    }

    /// Attaches all socket programs to a cgroup. New ones are attached before old ones go; both at
    /// once do no harm, because what one has translated is no frontend for the other.
    ///
    /// # Errors
    /// The cgroup does not exist, or is not one of version 2.
    pub fn cgroup(&self, ebpf: &mut Ebpf, cgroup: &Path) -> Result<()> {
        let folder =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        for name in loader::CGROUP {
            let program = loader::cgroup(ebpf, name)?;
            let id = program
                .attach(&folder, CgroupAttachMode::Single)
                .with_context(|| format!("attaching {name} to cgroup {}", cgroup.display()))?;
            // No dot: bpffs keeps names with dots for itself.
            let fresh = self.pins.join(format!("{name}_new"));
            unpin(&fresh)?;
            FdLink::try_from(program.take_link(id)?)?
                .pin(&fresh)
                .context("pinning a cgroup link")?;
            fs::rename(&fresh, self.pins.join(name)).context("replacing a pinned cgroup link")?;
        }
        Ok(())
    }

    /// Takes the socket programs off whatever cgroup they are attached to.
    ///
    /// # Errors
    /// A pin could not be removed.
    pub fn no_cgroup(&self) -> Result<()> {
        loader::CGROUP.iter().try_for_each(|name| unpin(&self.pins.join(name)))
    }

    /// Detaches everything from a link.
    ///
    /// # Errors
    /// A pin could not be removed.
    pub fn detach(&self, index: u32) -> Result<()> {
        [loader::TC_INGRESS, loader::TC_EGRESS, loader::XDP]
            .iter()
            .try_for_each(|program| unpin(&self.pin(program, index)))
    }

    /// Links that something is pinned for.
    ///
    /// # Errors
    /// The folder could not be read.
    pub fn pinned_links(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.pins)? {
            let name = entry?.file_name();
            let index = name.to_str().and_then(|name| name.rsplit_once('-'));
            let index = index.and_then(|(_, index)| index.parse::<u32>().ok());
            found.extend(index);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn pin(&self, program: &str, index: u32) -> PathBuf {
        self.pins.join(format!("{program}-{index}"))
    }
}

/// Removes our filters from the `clsact` qdisc of a link.
///
/// # Errors
/// The kernel refused.
pub fn detach_clsact(name: &str) -> Result<()> {
    for (program, side) in
        [(loader::TC_INGRESS, TcAttachType::Ingress), (loader::TC_EGRESS, TcAttachType::Egress)]
    {
        match tc::qdisc_detach_program(name, side, program) {
            Ok(()) => {}
            Err(tc::TcError::IoError(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("detaching {program} from link {name}"));
            }
        }
    }
    Ok(())
}

fn clsact(ebpf: &mut Ebpf, (program, side): Hook<'_>, name: &str) -> Result<()> {
    let tc = loader::tc(ebpf, program)?;
    let NlOptions { priority, handle, classid } = CLSACT;
    let old = SchedClassifierLink::attached(name, side, priority, handle, classid)?;
    let id = match tc.attach_to_link(old) {
        Ok(id) => id,
        Err(_) => tc.attach_with_options(name, side, TcAttachOptions::Netlink(CLSACT))?,
    };
    // A filter has no pin: forgetting its handle leaves it where it is.
    std::mem::forget(tc.take_link(id)?);
    Ok(())
}

/// The link that is pinned at `pin`, if there is one of this kind.
fn pinned<L: TryFrom<FdLink>>(pin: &Path) -> Option<L> {
    let link = PinnedLink::from_pin(pin).ok()?;
    L::try_from(FdLink::from(link)).ok()
}

/// Lets go of a link that is pinned: closing its descriptor does not detach it.
fn keep<L>(link: L) -> Result<()>
where
    FdLink: TryFrom<L>,
    <FdLink as TryFrom<L>>::Error: std::error::Error + Send + Sync + 'static,
{
    drop(FdLink::try_from(link)?);
    Ok(())
}

fn unpin(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("removing {}", pin.display())),
    }
}
