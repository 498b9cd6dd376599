//! Networks of namespaces, for demos, tests and benches.
//!
//! A [`Lab`] is a set of [`Host`]s (network namespaces) and the cables between them. Nothing in it
//! has a way to the machine's own network. It is made with netlink alone, no program is needed, and
//! all of it is gone when the `Lab` is dropped, when the process is told to end (Ctrl-C), or at the
//! latest when the next lab sweeps.
//!
//! ```no_run
//! use xtask::lab::{End, Lab};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = Lab::new()?;
//! let client = lab.host("client")?;
//! let server = lab.host("server")?;
//! let end = |host, address| End::new(host, "eth0").address(address);
//! lab.wire("wire", [end(&client, "192.0.2.1/24"), end(&server, "192.0.2.2/24")])?;
//! println!("{}", client.program("ping").args(["-c1", "192.0.2.2"]).run()?);
//! # Ok(())
//! # }
//! ```

/// The name of a lab and the folder that claims it.
mod claim;
/// What happens on Ctrl-C.
mod gate;
/// How a lab goes.
mod remove;
/// Network namespaces.
mod netns;
/// Control groups.
mod cgroup;
/// Folders for pinned BPF objects.
mod bpffs;
/// Links, addresses, routes, neighbours.
mod link;
/// Offloads.
mod feature;
/// Files of `/etc`.
mod etc;
/// Hosts.
mod host;
/// Programs on hosts.
mod process;
/// The way of a program into its host.
pub mod exec;
/// Servers and clients.
pub mod traffic;
/// The network of the Service notes.
pub mod kubia;
/// The agent on a node.
pub mod agent;
/// `xtask lab`.
pub mod cli;

pub use host::Host;
pub use kubia::Kubia;
pub use link::Mac;
pub use process::{Process, Program};

use anyhow::{Context, Result, bail};
use claim::Claim;
use link::Plug;
use nix::unistd::Uid;
use tokio::runtime::{Builder, Runtime};

/// A network of namespaces; gone when dropped.
#[derive(Debug)]
pub struct Lab {
    claim: Claim,
}

impl Lab {
    /// An empty lab, after sweeping away what labs of dead processes have left.
    pub fn new() -> Result<Self> {
        if !Uid::effective().is_root() {
            bail!("a lab needs root; `cargo xtask test` runs the tests as root");
        }
        sweep()?;
        let claim = Claim::new()?;
        gate::enter(claim.id());
        Ok(Self { claim })
    }

    /// Its name, with which the names of all that it makes begin.
    pub fn id(&self) -> &str {
        self.claim.id()
    }

    /// Adds a host that is connected to nothing.
    pub fn host(&self, name: &str) -> Result<Host> {
        Host::create(self.id(), name)
    }

    /// Connects two hosts.
    pub fn veth(&self, one: End, other: End) -> Result<()> {
        link::veth(&one.plug(), &other.plug())?;
        one.finish()?;
        other.finish()
    }

    /// Connects hosts by a switch: a namespace with the bridge `br0`, whose ports bear the hosts'
    /// names. The ends are named as given.
    pub fn wire(&self, name: &str, ends: impl IntoIterator<Item = End>) -> Result<Host> {
        let switch = self.host(name)?;
        switch.bridge("br0", &[])?;
        for end in ends {
            let port = end.host.name().to_owned();
            let mtu = end.mtu;
            self.veth(End { mtu, ..End::new(&switch, &port) }, end)?;
            switch.attach("br0", &port)?;
            // Without it a veth drops what an XDP program at its other end transmits.
            switch.feature(&port, "rx-gro", true)?;
        }
        Ok(switch)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove::report(self.id());
        gate::leave(self.id());
    }
}

/// Removes what labs of dead processes have left.
pub fn sweep() -> Result<()> {
    claim::abandoned(remove::all)
}

/// One end of a cable: a link to be.
#[derive(Clone, Debug)]
pub struct End {
    host: Host,
    link: String,
    mac: Mac,
    mtu: Option<u32>,
    fills_checksums: bool,
    addresses: Vec<String>,
}

impl End {
    /// The link `link` of `host`, with an Ethernet address of its own.
    pub fn new(host: &Host, link: &str) -> Self {
        Self {
            host: host.clone(),
            link: link.to_owned(),
            mac: link::next_mac(),
            mtu: None,
            fills_checksums: false,
            addresses: Vec::new(),
        }
    }

    /// Adds an address with its prefix length.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// Sets its Ethernet address.
    #[must_use]
    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = mac;
        self
    }

    /// Sets its MTU.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Sends whole checksums, as every packet on a real wire has them; see
    /// [`Host::fill_checksums`].
    #[must_use]
    pub fn fill_checksums(mut self) -> Self {
        self.fills_checksums = true;
        self
    }

    fn plug(&self) -> Plug<'_> {
        Plug { netns: self.host.netns(), name: &self.link, mac: self.mac, mtu: self.mtu }
    }

    /// What needs both ends to be there and up.
    fn finish(&self) -> Result<()> {
        if self.fills_checksums {
            self.host.fill_checksums(&self.link)?;
        }
        self.addresses.iter().try_for_each(|address| self.host.address(&self.link, address))
    }
}

/// A runtime for the thread that asks.
fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("starting a runtime")
}
