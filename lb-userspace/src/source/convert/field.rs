//! Single fields: text and numbers to addresses, networks, ports, protocols and names.
//!
//! Each reads what Go's `netutils.ParseIPSloppy` and kin read, because that is what is in people's
//! manifests, and reports what it cannot read under the path it was given.

use crate::model::{EndpointPort, ObjectName, Protocol};
use crate::source::report::{Report, quoted};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// Objects without a namespace are in this one.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Objects with this label belong to another proxy.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// An address of either family. Leading zeros in IPv4 are decimal, as Kubernetes has always read
/// them; an IPv4-mapped IPv6 address is the IPv4 address.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let sloppy = || sloppy_ipv4(text).map(IpAddr::V4);
    text.parse::<IpAddr>().ok().or_else(sloppy).map(|address| address.to_canonical())
}

fn sloppy_ipv4(text: &str) -> Option<Ipv4Addr> {
    let octets = text.split('.').map(decimal::<u8>).collect::<Option<Vec<_>>>()?;
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

/// Digits only: `parse` alone would take a sign.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A network, blanks around it tolerated, host bits cleared.
pub(crate) fn parse_network(text: &str) -> Option<IpNet> {
    let (address, length) = text.trim().split_once('/')?;
    let mapped = address.contains(':');
    let (address, length) = (parse_address(address)?, decimal::<u8>(length)?);
    let length = if mapped && address.is_ipv4() { length.checked_sub(96)? } else { length };
    Some(IpNet::new(address, length).ok()?.trunc())
}

/// `text` as an address that packets can be aimed at, or a sentence under `field`.
pub(crate) fn address(text: &str, field: &str, report: &mut Report) -> Option<IpAddr> {
    let Some(address) = parse_address(text) else {
        report.refuse(field, text, format!("{} is not an IP address and is ignored", quoted(text)));
        return None;
    };
    if address.is_unspecified() {
        report.refuse(field, text, format!("{address} is the unspecified address and is ignored"));
        return None;
    }
    Some(address)
}

/// As `address`, and one that the API lets endpoints have (`ValidateNonSpecialIP`): a packet that
/// came from elsewhere must not reach what listens for this node only.
pub(crate) fn host_address(text: &str, field: &str, report: &mut Report) -> Option<IpAddr> {
    let address = address(text, field, report)?;
    let Some(what) = special(address) else {
        return Some(address);
    };
    report.refuse(field, text, format!("{address} is {what} and is ignored"));
    None
}

/// What the API has against an address that people aim at.
pub(crate) fn special(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    [
        (address.is_loopback(), "a loopback address"),
        (address.is_multicast(), "a multicast address"),
        (link_local, "a link-local address"),
    ]
    .into_iter()
    .find_map(|(is, what)| is.then_some(what))
}

/// `text` as a network, or a sentence under `field`.
pub(crate) fn network(text: &str, field: &str, report: &mut Report) -> Option<IpNet> {
    let message = || format!("{} is no network such as 10.0.0.0/8 and is ignored", quoted(text));
    report.need(parse_network(text), field, message)
}

/// A port number, 1 to 65535.
pub(crate) fn port(number: i32, field: &str, report: &mut Report) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|&port| port != 0);
    if port.is_none() {
        let message = format!("{number} is not a port, expected 1 to 65535; it is ignored");
        report.refuse(field, number.to_string(), message);
    }
    port
}

/// A port number where 0 counts as absent.
pub(crate) fn optional_port(number: Option<i32>, field: &str, report: &mut Report) -> Option<u16> {
    port(number.filter(|&number| number != 0)?, field, report)
}

/// A protocol; absent: TCP.
pub(crate) fn protocol(text: Option<&str>, field: &str, report: &mut Report) -> Option<Protocol> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("TCP");
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = known.into_iter().find(|protocol| protocol.name() == text);
    if protocol.is_none() {
        let message = format!("{} is not TCP, UDP or SCTP; its port is ignored", quoted(text));
        report.refuse(field, text, message);
    }
    protocol
}

/// The value that `text` names. The default if it is absent, and with a sentence if it names none.
pub(crate) fn choice<T: Copy + Default + PartialEq>(
    text: Option<&str>,
    names: &[(&str, T)],
    field: &str,
    report: &mut Report,
) -> T {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return T::default();
    };
    let value = names.iter().find(|(name, _)| *name == text);
    let message = || {
        let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        let default = names.iter().find(|(_, value)| *value == T::default());
        let default = default.map_or("absent", |(name, _)| *name);
        format!("{} is not {}; taken as {default}", quoted(text), known.join(" or "))
    };
    report.need(value, field, message).map(|(_, value)| *value).unwrap_or_default()
}

/// Whether what tells a port from others could be read. Without it a port would be another one.
pub(crate) fn has_identity(path: &str, report: &mut Report) -> bool {
    for name in ["name", "protocol", "port"] {
        let field = format!("{path}.{name}");
        if report.lost(&field).is_some() {
            report.refuse(&field, "", "cannot be read; its port is ignored");
            return false;
        }
    }
    true
}

/// A port of endpoints, from v1 or discovery.k8s.io/v1.
pub(crate) fn endpoint_port(
    name: Option<&str>,
    protocol: Option<&str>,
    number: i32,
    path: &str,
    report: &mut Report,
) -> Option<EndpointPort> {
    if !has_identity(path, report) {
        return None;
    }
    let protocol = self::protocol(protocol, &format!("{path}.protocol"), report);
    let port = port(number, &format!("{path}.port"), report);
    let name = name.unwrap_or_default().to_owned();
    Some(EndpointPort { name, protocol: protocol?, port: port? })
}

/// The Pod that an endpoint stands for.
pub(crate) fn pod_name(target: Option<&ObjectReference>) -> Option<String> {
    let pod = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
    pod.name.clone()
}

/// The name of an object in a namespace; absent: `default`.
pub(crate) fn object_name(metadata: &ObjectMeta, report: &mut Report) -> Option<ObjectName> {
    let namespace = metadata.namespace.as_deref().filter(|name| !name.is_empty());
    let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE);
    let name = name(metadata, report)?;
    if is_subdomain(namespace) {
        return Some(ObjectName::new(namespace, name));
    }
    report.add("metadata.namespace", format!("{} is not a DNS name", quoted(namespace)));
    None
}

/// `metadata.name`.
pub(crate) fn name(metadata: &ObjectMeta, report: &mut Report) -> Option<String> {
    let name = metadata.name.as_deref().unwrap_or_default();
    if is_subdomain(name) {
        return Some(name.to_owned());
    }
    let message = match name {
        "" => "is missing, so the object is ignored".to_owned(),
        name => format!("{} is not a DNS name, so the object is ignored", quoted(name)),
    };
    report.add("metadata.name", message);
    None
}

/// The proxy that serves this object, if the label names one.
pub(crate) fn other_proxy(metadata: &ObjectMeta) -> Option<&str> {
    label(metadata, OTHER_PROXY)
}

/// A label's value.
pub(crate) fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    value(metadata.labels.as_ref(), key)
}

/// An annotation's value.
pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    value(metadata.annotations.as_ref(), key)
}

fn value<'a>(map: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    map?.get(key).map(String::as_str)
}

/// A DNS label of RFC 1123, the form of port names and of the parts of other names.
pub(crate) fn is_label(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

/// DNS labels with dots between, the form of object names.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}
