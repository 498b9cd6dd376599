//! The kernel half as one thing: maps and programs loaded, pinned, attached; or taken over from
//! the last agent.

use super::attach::{Attacher, TcMode, detach_clsact};
use super::clock;
use super::loader::{self, Capacities, Constants, Pins};
use super::maps::Maps;
use super::pin::PinFolder;
use crate::model::status;
use crate::reconcile::{Edit, Tables};
use anyhow::{Context as _, Result};
use aya::Ebpf;
use lb_common::layout::node::{Clock, XdpState};
use std::path::{Path, PathBuf};

/// A loaded datapath.
pub struct Datapath {
    ebpf: Ebpf,
    maps: Maps,
    attacher: Attacher,
    pins: PinFolder,
    /// What the programs of this load share.
    load: PathBuf,
}

/// What a datapath needs to know when it is loaded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is pinned.
    pub pins: PinFolder,
    /// How large the maps are, where they do not exist yet.
    pub capacities: Capacities,
    /// How TC programs are attached.
    pub tc: TcMode,
}

impl Datapath {
    /// Loads programs and maps; takes over the maps that the last agent pinned.
    ///
    /// # Errors
    /// The kernel lacks something, or refused; no rights; no bpffs.
    pub fn load(options: Options) -> Result<Self> {
        options.pins.create()?;
        let clock = known_clock(&options.pins).map_or_else(clock::measure, Ok)?;
        let constants = Constants {
            hz: u32::try_from(clock.hz).context("the kernel's clock is too fast")?,
            hash_seed: seed(&options.pins)?,
            netns_cookie: super::raw::own_netns_cookie()
                .context("asking for the cookie of the network namespace")?,
            watched: false,
        };
        let (maps, load) = (options.pins.maps(), options.pins.new_load()?);
        let pins = Pins { maps: &maps, load: &load };
        let mut ebpf = loader::load(&constants, &options.capacities, Some(pins))?;
        loader::packet_programs(&mut ebpf)?;
        for program in &loader::CGROUP {
            loader::into_kernel(&mut ebpf, program)?;
        }
        let mut maps = Maps::take(&mut ebpf)?;
        maps.set_clock(clock)?;
        let attacher = Attacher::new(options.pins.links(), options.tc);
        Ok(Self { ebpf, maps, attacher, pins: options.pins, load })
    }

    /// Forgets what the programs of earlier loads shared, once ours are attached in their place.
    ///
    /// # Errors
    /// A pin could not be removed.
    pub fn replace_other_loads(&self) -> Result<()> {
        self.pins.keep_load(&self.load)
    }

    /// Takes off the programs of builds with other map layouts, once ours are attached. True if
    /// there were some: the flows that they knew are lost.
    ///
    /// # Errors
    /// A pin could not be removed.
    pub fn replace_other_layouts(&self) -> Result<bool> {
        self.pins.remove_others()
    }

    /// What the maps hold.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn tables(&self) -> Result<Tables> {
        self.maps.tables()
    }

    /// What the maps hold, entry by entry.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The same, to be written where programs write too.
    pub fn maps_mut(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// Low half of the kernel's jiffies now.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn jiffies(&self) -> Result<u32> {
        Ok(self.maps.clock()?.jiffies_at(clock::monotonic_ns()))
    }

    /// Makes the edits in order. One that fails does not keep the others from being made; the
    /// failures are returned.
    pub fn apply(&mut self, edits: &[Edit]) -> Vec<anyhow::Error> {
        edits.iter().filter_map(|edit| self.maps.apply(edit).err()).collect()
    }

    /// Attaches the TC programs to a link.
    ///
    /// # Errors
    /// The kernel refused; the link may be gone.
    pub fn attach_tc(&mut self, name: &str, index: u32) -> Result<u8> {
        self.attacher.tc(&mut self.ebpf, name, index)?;
        Ok(self.attacher.mode().number())
    }

    /// Brings XDP on a link to the wanted state; returns the one that was reached.
    ///
    /// # Errors
    /// A pin could not be written or removed.
    pub fn attach_xdp(
        &mut self,
        name: &str,
        index: u32,
        wanted: XdpState,
        generic_too: bool,
    ) -> Result<XdpState> {
        if wanted == XdpState::DRIVER {
            return self.attacher.xdp(&mut self.ebpf, name, index, generic_too);
        }
        self.attacher.no_xdp(index)?;
        Ok(wanted)
    }

    /// Attaches the socket programs to a cgroup; `None` takes them off.
    ///
    /// # Errors
    /// The cgroup does not exist, or is not one of version 2.
    pub fn attach_cgroup(&mut self, cgroup: Option<&Path>) -> Result<()> {
        match cgroup {
            Some(cgroup) => self.attacher.cgroup(&mut self.ebpf, cgroup),
            None => self.attacher.no_cgroup(),
        }
    }

    /// Detaches everything from a link that exists.
    ///
    /// # Errors
    /// A pin or a filter could not be removed.
    pub fn detach(&mut self, name: &str, index: u32) -> Result<()> {
        self.attacher.detach(index)?;
        detach_clsact(name)
    }

    /// Detaches from all links but these.
    ///
    /// # Errors
    /// A pin could not be removed.
    pub fn detach_all_but(&mut self, links: &[u32]) -> Result<()> {
        let pinned = self.attacher.pinned_links()?;
        pinned
            .iter()
            .filter(|index| !links.contains(index))
            .try_for_each(|index| self.attacher.detach(*index))
    }
}

/// The clock that the last agent measured since the machine started.
pub(super) fn known_clock(pins: &PinFolder) -> Option<Clock> {
    let clock = Maps::open(&pins.maps()).ok()?.clock().ok()?;
    (clock.hz != 0).then_some(clock)
}

/// A seed of this node's own. It has to outlive the agent: a flow whose entry is lost finds its
/// backend again only by the same hash. The folder of the pins is told by its inode, which is the
/// same whatever path leads there.
pub(super) fn seed(pins: &PinFolder) -> Result<u64> {
    use std::hash::{BuildHasher as _, Hasher as _};
    use std::os::unix::fs::MetadataExt as _;
    let id = status::boot_id().context("reading the boot id")?;
    let folder = pins.version();
    let folder =
        std::fs::metadata(&folder).with_context(|| format!("looking at {}", folder.display()))?;
    let mut hasher = FIXED.build_hasher();
    hasher.write(id.as_bytes());
    hasher.write_u64(folder.dev());
    hasher.write_u64(folder.ino());
    Ok(hasher.finish())
}

/// The standard library's hasher with fixed keys.
const FIXED: std::hash::BuildHasherDefault<std::hash::DefaultHasher> =
    std::hash::BuildHasherDefault::new();
