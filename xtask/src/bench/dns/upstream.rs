//! Whom both servers ask for names outside of the cluster: another `CoreDNS`, with zones that are
//! made up.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What the node's network appends to names.
pub(super) const NODE_DOMAIN: &str = "corp.example";

/// Where it answers.
pub(super) const ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5300));

/// A name that it knows.
pub(super) fn name(number: usize) -> String {
    format!("www-{number:03}.example.com.")
}

/// Every name of `example.com` has an address of each family; [`NODE_DOMAIN`] has no names.
pub(super) fn corefile() -> String {
    let (ip, port) = (ADDRESS.ip(), ADDRESS.port());
    let soa = format!("ns.{NODE_DOMAIN}. root.{NODE_DOMAIN}. 1 7200 1800 86400 3600");
    format!(
        ".:{port} {{
    bind {ip}
    errors
    template IN A example.com {{
        answer \"{{{{ .Name }}}} 3600 IN A 192.0.2.80\"
    }}
    template IN AAAA example.com {{
        answer \"{{{{ .Name }}}} 3600 IN AAAA 2001:db8::80\"
    }}
    template IN ANY {NODE_DOMAIN} {{
        rcode NXDOMAIN
        authority \"{NODE_DOMAIN}. 3600 IN SOA {soa}\"
    }}
}}\n"
    )
}
