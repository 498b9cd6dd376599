//! Which items a person asked for: by name and namespace, by addresses.

use super::words::PortRef;
use crate::model::ObjectName;
use anyhow::{Error, anyhow};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `NAME` or `NAMESPACE/NAME`, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Name {
    /// The object that is meant where one has to be: in the namespace of the name itself, in
    /// `namespace`, or in kubectl's.
    pub(super) fn object(&self, namespace: Option<&str>) -> ObjectName {
        let namespace = self.namespace.as_deref().or(namespace).unwrap_or("default");
        ObjectName::new(namespace, &self.name)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Self, Error> {
        let (namespace, name) = match typed.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, typed),
        };
        let is_bad = name.is_empty() || name.contains('/') || namespace.as_deref() == Some("");
        if is_bad {
            Err(anyhow!("expected NAME or NAMESPACE/NAME"))
        } else {
            Ok(Self { namespace, name: name.to_owned() })
        }
    }
}

/// What an item must be called to be listed; by default everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

impl Selector {
    /// A namespace in the name itself goes before one given by an option.
    pub(super) fn new(name: Option<&Name>, namespace: Option<&str>) -> Self {
        let own = name.and_then(|name| name.namespace.as_deref());
        Self {
            namespace: own.or(namespace).map(str::to_owned),
            name: name.map(|name| name.name.clone()),
        }
    }

    /// Whether nothing in particular was asked for.
    pub(super) fn is_all(&self) -> bool {
        self.namespace.is_none() && self.name.is_none()
    }

    /// Whether the Service `object` is meant.
    pub(super) fn takes(&self, object: &ObjectName) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == object.namespace)
            && self.takes_name(&object.name)
    }

    /// Whether something of a service port is meant; what has lost its name is in lists of all only.
    pub(super) fn takes_port(&self, port: Option<&PortRef>) -> bool {
        port.map_or_else(|| self.is_all(), |port| self.takes(&port.object()))
    }

    /// Whether something without a namespace is meant.
    pub(super) fn takes_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|wanted| wanted == name)
    }
}

/// An address, a range of addresses, or an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    net: IpNet,
    port: Option<u16>,
}

impl Peer {
    /// Whether `addr` is meant.
    pub(super) fn takes(&self, addr: SocketAddr) -> bool {
        self.net.contains(&addr.ip()) && self.port.is_none_or(|port| port == addr.port())
    }
}

impl FromStr for Peer {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Self, Error> {
        if let Ok(socket) = typed.parse::<SocketAddr>() {
            return Ok(Self { net: socket.ip().into(), port: Some(socket.port()) });
        }
        let net = typed.parse::<IpNet>().or_else(|_| typed.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| {
            anyhow!("expected an address, ADDRESS:PORT ([ADDRESS]:PORT for IPv6), or a CIDR")
        })?;
        Ok(Self { net, port: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(name: &str, namespace: Option<&str>) -> Selector {
        Selector::new(Some(&name.parse().unwrap()), namespace)
    }

    #[test]
    fn names_select_in_all_namespaces_or_one() {
        let kubia = ObjectName::new("default", "kubia");
        assert!(Selector::default().takes(&kubia));
        assert!(selector("kubia", None).takes(&kubia));
        assert!(selector("default/kubia", None).takes(&kubia));
        assert!(!selector("other/kubia", Some("default")).takes(&kubia));
        assert!(!selector("kubia", Some("other")).takes(&kubia));
        assert!(!selector("kub", None).takes(&kubia));
    }

    #[test]
    fn half_a_name_is_refused() {
        for typed in ["", "/", "a/", "/b", "a/b/c"] {
            assert!(typed.parse::<Name>().is_err(), "{typed:?}");
        }
    }

    #[test]
    fn peers_select_by_address_range_and_port() {
        let takes =
            |typed: &str, addr: &str| typed.parse::<Peer>().unwrap().takes(addr.parse().unwrap());
        assert!(takes("10.0.0.7", "10.0.0.7:41234"));
        assert!(!takes("10.0.0.7", "10.0.0.8:41234"));
        assert!(takes("10.0.0.0/8", "10.0.0.8:41234"));
        assert!(takes("10.0.0.7:80", "10.0.0.7:80"));
        assert!(!takes("10.0.0.7:80", "10.0.0.7:81"));
        assert!(takes("fd00::/64", "[fd00::1]:80"));
        assert!(takes("[fd00::1]:80", "[fd00::1]:80"));
        assert!("ten".parse::<Peer>().is_err());
    }
}
