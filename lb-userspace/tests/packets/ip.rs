//! IP headers of either family.

use crate::frame::HOPS;
use etherparse::{
    IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FlowLabel, Ipv6Header, ip_number,
};
use std::net::IpAddr;

/// IP headers with something in every field that has to survive.
pub(crate) fn headers(src: IpAddr, dst: IpAddr) -> IpHeaders {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut ip =
                Ipv4Header::new(0, HOPS, ip_number::TCP, src.octets(), dst.octets()).unwrap();
            ip.dscp = 46.try_into().unwrap();
            ip.ecn = 2.try_into().unwrap();
            ip.identification = 0xbeef;
            IpHeaders::Ipv4(ip, Ipv4Extensions::default())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let ip = Ipv6Header {
                traffic_class: 0xba,
                flow_label: Ipv6FlowLabel::try_new(0x8_1234).unwrap(),
                hop_limit: HOPS,
                source: src.octets(),
                destination: dst.octets(),
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(ip, Ipv6Extensions::default())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    }
}

/// Source and destination.
pub(crate) fn addresses(ip: &IpHeaders) -> (IpAddr, IpAddr) {
    match ip {
        IpHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
        IpHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
    }
}

/// Replaces source and destination.
pub(crate) fn set_addresses(ip: &mut IpHeaders, src: IpAddr, dst: IpAddr) {
    match (ip, src, dst) {
        (IpHeaders::Ipv4(ip, _), IpAddr::V4(src), IpAddr::V4(dst)) => {
            (ip.source, ip.destination) = (src.octets(), dst.octets());
        }
        (IpHeaders::Ipv6(ip, _), IpAddr::V6(src), IpAddr::V6(dst)) => {
            (ip.source, ip.destination) = (src.octets(), dst.octets());
        }
        (ip, ..) => panic!("{src} and {dst} do not fit {ip:?}"),
    }
}
