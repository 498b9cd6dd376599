//! What the operator wants of the name server.

use super::{bind_address, written};
use crate::compile::NameServer;
use crate::dns::Settings;
use crate::model::ObjectName;
use clap::Args;
use hickory_proto::rr::Name;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Where upstreams listen unless it is said otherwise.
const PORT: u16 = 53;

/// The cluster's name server.
#[derive(Args, Clone, Debug)]
pub struct Dns {
    /// Where DNS questions are answered, by UDP and TCP; nowhere if empty
    #[arg(
        long,
        value_name = "ADDR:PORT,..",
        value_delimiter = ',',
        value_parser = bind_address,
        default_value = ""
    )]
    pub dns_listen: Vec<Option<SocketAddr>>,
    /// Service of the cluster's DNS, such as kube-system/kube-dns: clients of this node that ask its
    /// `ClusterIP` at port 53 are answered here while the agent is there, else by its endpoints
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service)]
    pub dns_service: Option<ObjectName>,
    /// The domain of the cluster's names
    #[arg(long, value_name = "NAME", value_parser = domain, default_value = "cluster.local")]
    pub cluster_domain: Name,
    /// Who is asked for other names, in this order [default: the name servers of /etc/resolv.conf]
    #[arg(long, value_name = "ADDR[:PORT],..", value_delimiter = ',', value_parser = upstream)]
    pub dns_upstream: Vec<SocketAddr>,
    /// How long answers about the cluster may be kept, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(0..=3600),
        default_value_t = 5
    )]
    pub dns_ttl: u32,
    /// Who may ask DNS questions beside the node itself and its pods [default: the ranges of
    /// --cluster-cidr, which may in any case with --dns-service]
    #[arg(long, value_name = "CIDR,..", value_delimiter = ',')]
    pub dns_allow: Vec<IpNet>,
}

impl Dns {
    /// Whether there is a name server.
    pub fn is_on(&self) -> bool {
        self.dns_listen.iter().any(Option::is_some)
    }

    /// What it is to do, in a cluster with pods and Services in these ranges; `None`: nothing.
    pub fn settings(&self, pods: &[IpNet], services: &[IpNet]) -> Option<Settings> {
        let named = !self.dns_upstream.is_empty();
        // Pods that ask the Service are led here wherever they are from.
        let with_pods = self.dns_allow.is_empty() || self.dns_service.is_some();
        let allow = self.dns_allow.iter().chain(pods.iter().filter(|_| with_pods));
        self.is_on().then(|| Settings {
            listen: written(&self.dns_listen),
            domain: self.cluster_domain.clone(),
            upstreams: named.then(|| self.dns_upstream.clone()),
            ttl: self.dns_ttl,
            allow: allow.copied().collect(),
            ranges: services.iter().chain(pods).copied().collect(),
            name_server: self.name_server(),
        })
    }

    /// In the place of which Service it answers, and where: at the first address of each family that
    /// pods can reach.
    pub fn name_server(&self) -> Option<NameServer> {
        let service = self.dns_service.clone()?;
        let reachable = self.dns_listen.iter().flatten().filter(|addr| !addr.ip().is_loopback());
        let first = |v4| reachable.clone().find(|addr| addr.is_ipv4() == v4).copied();
        Some(NameServer {
            service,
            addrs: [first(true), first(false)].into_iter().flatten().collect(),
        })
    }

    /// Whether the arguments make sense.
    ///
    /// # Errors
    /// An address is no single one, or there is none where a Service needs one.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for addr in self.dns_listen.iter().flatten() {
            anyhow::ensure!(
                !addr.ip().is_unspecified(),
                "--dns-listen: {addr} is no single address: an answer has to come from the address \
                 that was asked; list the addresses"
            );
        }
        let nowhere = self.name_server().is_some_and(|own| own.addrs.is_empty());
        anyhow::ensure!(
            !nowhere,
            "--dns-service needs --dns-listen with an address of the node that pods can reach, such \
             as 192.0.2.1:10053"
        );
        Ok(())
    }
}

/// A Service with its namespace.
fn service(text: &str) -> Result<ObjectName, String> {
    let parts = text.split_once('/').filter(|(namespace, name)| {
        !namespace.is_empty() && !name.is_empty() && !name.contains('/')
    });
    let (namespace, name) = parts.ok_or("expected NAMESPACE/NAME, such as kube-system/kube-dns")?;
    Ok(ObjectName::new(namespace, name))
}

/// A domain, with or without the dot of the root.
fn domain(text: &str) -> Result<Name, String> {
    let wrong = || "expected a domain such as cluster.local".to_owned();
    let bare = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let edges = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && label.bytes().all(is_part) && !edges
    };
    if !bare.split('.').all(is_label) {
        return Err(wrong());
    }
    Name::from_ascii(format!("{bare}.")).map_err(|_| wrong())
}

/// An address, with or without a port.
fn upstream(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let parsed = text.parse().or_else(|_| alone());
    parsed.map_err(|_| "expected an address, such as 192.0.2.53 or [fd00::53]:5353".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        dns: Dns,
    }

    fn settings(arguments: &[&str]) -> Result<Option<Settings>, String> {
        let given = ["lb-agent"].iter().chain(arguments);
        let cli = Cli::try_parse_from(given).map_err(|error| error.to_string())?;
        cli.dns.check().map_err(|error| error.to_string())?;
        let range = |text: &str| [text.parse().unwrap()];
        Ok(cli.dns.settings(&range("10.244.0.0/16"), &range("10.96.0.0/16")))
    }

    #[test]
    fn without_an_address_there_is_no_name_server() {
        for arguments in [&[][..], &["--dns-listen", ""], &["--dns-ttl", "30"]] {
            assert!(settings(arguments).unwrap().is_none(), "{arguments:?}");
        }
    }

    #[test]
    fn pods_may_ask_unless_others_are_named() {
        let listen = ["--dns-listen", "169.254.20.10:53,[fd00::a]:53"];
        let told = settings(&listen).unwrap().unwrap();
        assert_eq!(told.listen.len(), 2);
        assert_eq!(told.allow, ["10.244.0.0/16".parse().unwrap()]);
        assert_eq!(told.ranges.len(), 2);
        assert_eq!((told.ttl, told.upstreams), (5, None));
        assert_eq!(told.domain.to_string(), "cluster.local.");
        let named = [&listen[..], &["--dns-allow", "192.0.2.0/24"]].concat();
        assert_eq!(settings(&named).unwrap().unwrap().allow, ["192.0.2.0/24".parse().unwrap()]);
        // The programs lead them here.
        let led = [&named[..], &["--dns-service", "a/b"]].concat();
        let both = ["192.0.2.0/24", "10.244.0.0/16"].map(|range| range.parse().unwrap());
        assert_eq!(settings(&led).unwrap().unwrap().allow, both);
    }

    #[test]
    fn the_first_reachable_address_of_each_family_stands_for_the_service() {
        let listen = "--dns-listen=127.0.0.1:53,192.0.2.1:53,192.0.2.2:53,[fd00::1]:54";
        let told = settings(&[listen, "--dns-service", "kube-system/kube-dns"]);
        let own = told.unwrap().unwrap().name_server.unwrap();
        assert_eq!(own.service, ObjectName::new("kube-system", "kube-dns"));
        assert_eq!(own.addrs, ["192.0.2.1:53", "[fd00::1]:54"].map(|addr| addr.parse().unwrap()));
        assert!(settings(&[listen]).unwrap().unwrap().name_server.is_none());
        let loopback = settings(&["--dns-listen=127.0.0.1:53", "--dns-service=a/b"]);
        assert!(loopback.unwrap_err().contains("--dns-service needs --dns-listen"));
    }

    #[test]
    fn upstreams_have_port_53_unless_it_is_said_otherwise() {
        let listen = "--dns-listen=127.0.0.1:53";
        let told = settings(&[listen, "--dns-upstream", "192.0.2.1,[fd00::1]:5353,fd00::2"]);
        let upstreams = told.unwrap().unwrap().upstreams.unwrap();
        let expected = ["192.0.2.1:53", "[fd00::1]:5353", "[fd00::2]:53"];
        assert_eq!(upstreams, expected.map(|addr| addr.parse().unwrap()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (arguments, expect) in [
            (["--dns-listen", "0.0.0.0:53"], "0.0.0.0:53 is no single address"),
            (["--dns-listen", "127.0.0.1"], "expected an address with a port"),
            (["--cluster-domain", "cluster..local"], "expected a domain"),
            (["--cluster-domain", ""], "expected a domain"),
            (["--dns-upstream", "ns.example"], "expected an address"),
            (["--dns-ttl", "3601"], "3601 is not in 0..=3600"),
            (["--dns-service", "kube-dns"], "expected NAMESPACE/NAME"),
            (["--dns-service", "/kube-dns"], "expected NAMESPACE/NAME"),
            (["--dns-service", "a/b/c"], "expected NAMESPACE/NAME"),
            (["--dns-service", "kube-system/kube-dns"], "--dns-service needs --dns-listen"),
        ] {
            let said = settings(&arguments).unwrap_err();
            assert!(said.contains(expect), "{said}");
        }
    }
}
