//! `/etc/resolv.conf`: whom the node itself asks.

use nix::net::if_::if_nametoindex;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;

const PORT: u16 = 53;
const SYSTEM: &str = "/etc/resolv.conf";
/// Whom `systemd-resolved` asks, where the file above names only itself; the kubelet does the same.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Whom to ask if nobody was named, none of `ours` among them: that would be asking ourselves.
/// Lines that name nobody are told to `unusable`.
pub(in crate::dns) fn upstreams(
    ours: &[SocketAddr],
    unusable: &mut impl FnMut(&str),
) -> Vec<SocketAddr> {
    choose([SYSTEM, RESOLVED].map(|path| read(Path::new(path), unusable)), ours)
}

/// The first list without stubs; else the first with anybody, unless the stub asks only us.
fn choose(named: [Vec<SocketAddr>; 2], ours: &[SocketAddr]) -> Vec<SocketAddr> {
    let found = named.clone().map(|list| without(list, ours));
    let is_real = |list: &&Vec<SocketAddr>| list.iter().any(|addr| !addr.ip().is_loopback());
    if let Some(real) = found.iter().find(is_real) {
        return real.clone();
    }
    let ([_, asked_by_stub], [_, others]) = (&named, &found);
    if !asked_by_stub.is_empty() && others.is_empty() {
        return Vec::new();
    }
    found.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
}

fn read(path: &Path, unusable: &mut impl FnMut(&str)) -> Vec<SocketAddr> {
    std::fs::read_to_string(path).map(|text| servers(&text, unusable)).unwrap_or_default()
}

fn servers(text: &str, unusable: &mut impl FnMut(&str)) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        let found = server(words.next().filter(|_| is_server)?);
        if found.is_none() {
            unusable(line);
        }
        found
    });
    servers.collect()
}

/// An address; a link-local one may name its link, as in `fe80::1%eth0`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, link)) = text.split_once('%') else {
        return text.parse().ok().map(|address: IpAddr| SocketAddr::new(address, PORT));
    };
    let scope = link.parse().ok().or_else(|| if_nametoindex(link).ok())?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
}

/// Servers that are not ourselves.
pub(in crate::dns) fn without(
    servers: impl IntoIterator<Item = SocketAddr>,
    ours: &[SocketAddr],
) -> Vec<SocketAddr> {
    let is_ours = |server: &SocketAddr| {
        ours.iter().any(|own| {
            let anywhere = own.ip().is_unspecified() && server.ip().is_loopback();
            own.port() == server.port() && (own.ip() == server.ip() || anywhere)
        })
    };
    servers.into_iter().filter(|server| !is_ours(server)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn name_servers_are_those_of_the_file_that_are_not_ours() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n\
                    nameserver\tfd00::1 # second\nnameserver x\nnameserver 192.0.2.2\n";
        let ours = [addr("192.0.2.2:53")];
        let mut unusable = Vec::new();
        let found = servers(text, &mut |line| unusable.push(line.to_owned()));
        let found = without(found, &ours);
        assert_eq!(found, [addr("192.0.2.1:53"), addr("[fd00::1]:53")]);
        assert_eq!(unusable, ["nameserver x"]);
    }

    #[test]
    fn a_link_local_address_may_name_its_link() {
        for (text, expected) in [
            ("fe80::1%lo", Some("[fe80::1%1]:53")),
            ("fe80::1%7", Some("[fe80::1%7]:53")),
            ("fe80::1%no-such-link", None),
            ("192.0.2.1%lo", None),
        ] {
            assert_eq!(server(text), expected.map(addr), "{text}");
        }
    }

    #[test]
    fn the_same_address_at_another_port_is_somebody_else() {
        let ours = [addr("127.0.0.1:5353")];
        assert_eq!(without([addr("127.0.0.1:53")], &ours), [addr("127.0.0.1:53")]);
    }

    #[test]
    fn whoever_listens_everywhere_listens_at_loopback() {
        let everywhere = [addr("0.0.0.0:53")];
        assert_eq!(without([addr("127.0.0.53:53")], &everywhere), []);
    }

    #[test]
    fn a_stub_gives_way_to_those_whom_it_asks() {
        let (stub, real) = (vec![addr("127.0.0.53:53")], vec![addr("192.0.2.1:53")]);
        assert_eq!(choose([stub.clone(), real.clone()], &[]), real);
        assert_eq!(choose([stub.clone(), Vec::new()], &[]), stub);
        assert_eq!(choose([stub, real.clone()], &real), [], "it asks us");
        assert_eq!(choose([real.clone(), Vec::new()], &real), []);
    }
}
