//! A host: a network namespace with its links, and a cgroup with its programs.

use super::link::{self, Hop, Mac};
use super::process::Program;
use super::{bpffs, claim, etc, feature, netns};
use crate::workspace;
use anyhow::{Context, Result};
use ipnet::IpNet;
use rtnetlink::{Handle, LinkMessageBuilder};
use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A host of a lab: client, node, pod or wire. A cheap handle; the lab owns the thing itself.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lab: String,
    name: String,
    netns: PathBuf,
    cgroup: PathBuf,
}

impl Host {
    /// Makes the namespace: loopback is up, nothing else is there.
    pub(super) fn create(lab: &str, name: &str) -> Result<Self> {
        let netns = netns::create(lab, name)?;
        let cgroup = super::cgroup::create(lab, name)?;
        let (lab, name) = (lab.to_owned(), name.to_owned());
        let host = Self(Arc::new(Inner { lab, name, netns, cgroup }));
        host.quiet()?;
        host.up("lo")?;
        Ok(host)
    }

    /// Settings that the machine's own must not leak into, and those that cost time at a start.
    fn quiet(&self) -> Result<()> {
        for scope in ["all", "default"] {
            self.sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "0")?;
            self.sysctl(&format!("net.ipv6.conf.{scope}.accept_dad"), "0")?;
            self.sysctl(&format!("net.ipv6.conf.{scope}.disable_ipv6"), "0")?;
        }
        self.sysctl("net.ipv4.ip_forward", "0")
    }

    /// Its name within the lab.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its namespace; the file's name is what `ip netns exec` takes.
    pub fn netns(&self) -> &Path {
        &self.0.netns
    }

    /// Its cgroup (version 2); every program started on it is in there.
    pub fn cgroup(&self) -> &Path {
        &self.0.cgroup
    }

    /// A folder of its own for pinned BPF objects.
    pub fn bpffs(&self) -> Result<PathBuf> {
        bpffs::create(&self.0.lab, self.name())
    }

    /// A folder of its own for files.
    pub fn folder(&self) -> Result<PathBuf> {
        let folder = claim::folder(&self.0.lab).join(self.name());
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }

    /// Gives it a file of `/etc` of its own, for the programs that are started from now on.
    pub fn etc(&self, name: &str, text: &str) -> Result<()> {
        let folder = etc::folder(&self.0.lab, self.name());
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// The words before a `--` and a command that bring it onto this host.
    pub fn entry(&self) -> Result<Vec<OsString>> {
        let mut words = vec![workspace::programs()?.join("xtask").into_os_string()];
        words.extend(["lab", "exec"].map(OsString::from));
        let mut flag = |name: &str, path: &Path| words.extend([name.into(), path.into()]);
        flag("--netns", self.netns());
        flag("--cgroup", self.cgroup());
        let files = etc::folder(&self.0.lab, self.name());
        if files.exists() {
            flag("--etc", &files);
        }
        Ok(words)
    }

    /// The same host with its programs in another cgroup, such as one below its own.
    #[must_use]
    pub fn with_cgroup(&self, cgroup: &Path) -> Self {
        let Inner { lab, name, netns, .. } = &*self.0;
        let (lab, name, netns) = (lab.clone(), name.clone(), netns.clone());
        Self(Arc::new(Inner { lab, name, netns, cgroup: cgroup.to_path_buf() }))
    }

    /// A program to be run on it.
    pub fn program(&self, program: impl Into<OsString>) -> Program {
        Program::new(self, program)
    }

    /// Does `work` on a thread inside its namespace. Sockets opened there stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        netns::within(self.netns(), work).with_context(|| format!("on {}", self.name()))
    }

    /// Sets a kernel parameter, such as `net.ipv4.ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let file = Path::new("/proc/sys").join(key.replace('.', "/"));
        // Below /proc/sys/net the kernel shows the namespace of the thread that opens.
        self.within(|| fs::write(&file, value).with_context(|| format!("setting {key}={value}")))
    }

    /// Lets it pass packets on.
    pub fn forward(&self) -> Result<()> {
        self.sysctl("net.ipv4.ip_forward", "1")?;
        self.sysctl("net.ipv6.conf.all.forwarding", "1")
    }

    /// Adds a bridge with links that exist as its ports.
    pub fn bridge(&self, name: &str, ports: &[&str]) -> Result<()> {
        self.talk(async |handle| {
            link::bridge(handle, name).await?;
            for port in ports {
                link::attach(handle, name, port).await?;
            }
            Ok(())
        })
    }

    /// Makes a link a port of a bridge.
    pub fn attach(&self, bridge: &str, port: &str) -> Result<()> {
        self.talk(async |handle| link::attach(handle, bridge, port).await)
    }

    /// Adds an address with its prefix length, usable at once.
    pub fn address(&self, link: &str, address: &str) -> Result<()> {
        let address = network(address)?;
        self.talk(async |handle| link::address(handle, link, address).await)
    }

    /// Adds or replaces a route (`default` needs spelling: `0.0.0.0/0`) through a router.
    pub fn route(&self, to: &str, gateway: &str) -> Result<()> {
        let (to, gateway) = (network(to)?, ip(gateway)?);
        self.talk(async |handle| link::route(handle, to, Hop::Gateway(gateway), None).await)
    }

    /// Adds a route through a router that is taken only where one of a smaller metric will not do.
    pub fn spare_route(&self, to: &str, gateway: &str, metric: u32) -> Result<()> {
        let (to, hop) = (network(to)?, Hop::Gateway(ip(gateway)?));
        self.talk(async |handle| link::route(handle, to, hop, Some(metric)).await)
    }

    /// Adds or replaces a route straight onto a link.
    pub fn route_onto(&self, to: &str, link: &str) -> Result<()> {
        let to = network(to)?;
        self.talk(async |handle| link::route(handle, to, Hop::Link(link), None).await)
    }

    /// Adds or replaces a permanent neighbour.
    pub fn neighbour(&self, link: &str, address: &str, mac: Mac) -> Result<()> {
        let address = ip(address)?;
        self.talk(async |handle| link::neighbour(handle, link, address, mac).await)
    }

    /// Sets a link up.
    pub fn up(&self, link: &str) -> Result<()> {
        self.talk(async |handle| link::set(handle, link, LinkMessageBuilder::up).await)
    }

    /// Sets a link down.
    pub fn down(&self, link: &str) -> Result<()> {
        self.talk(async |handle| link::set(handle, link, LinkMessageBuilder::down).await)
    }

    /// Removes a link, and its peer if it is one of a pair.
    pub fn delete(&self, link: &str) -> Result<()> {
        self.talk(async |handle| link::delete(handle, link).await)
    }

    /// A link's Ethernet address.
    pub fn mac(&self, link: &str) -> Result<Mac> {
        self.talk(async |handle| link::mac(handle, link).await)
    }

    /// A link's number.
    pub fn index(&self, link: &str) -> Result<u32> {
        self.talk(async |handle| link::index(handle, link).await)
    }

    /// The names of its links.
    pub fn links(&self) -> Result<Vec<String>> {
        self.talk(async |handle| link::names(handle).await)
    }

    /// Switches an offload of a link, named as `ethtool -k` names it.
    pub fn feature(&self, link: &str, name: &str, on: bool) -> Result<()> {
        self.within(|| feature::set(link, name, on))
    }

    /// Leaves no checksum to the device: XDP programs of the peer then see whole ones. Large
    /// segments go with it, so bulk transfers take more packets.
    pub fn fill_checksums(&self, link: &str) -> Result<()> {
        self.feature(link, "tx-checksum-ip-generic", false)
    }

    fn talk<T: Send>(&self, work: impl AsyncFnOnce(&Handle) -> Result<T> + Send) -> Result<T> {
        link::talk(self.netns(), work).with_context(|| format!("on {}", self.name()))
    }
}

fn network(text: &str) -> Result<IpNet> {
    text.parse().with_context(|| format!("{text:?} is not ADDRESS/LENGTH"))
}

fn ip(text: &str) -> Result<IpAddr> {
    text.parse().with_context(|| format!("{text:?} is not an address"))
}
