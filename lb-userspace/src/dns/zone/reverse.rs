//! Names of addresses (`in-addr.arpa`, `ip6.arpa`), and for which of them we answer.
//!
//! Ranges need not end where labels do: a zone begins at the first label that lies within the
//! range, so that 10.96.0.0/12 is sixteen zones.

use super::super::name::name;
use hickory_proto::rr::Name;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a reverse name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The addresses below it; a single one for a whole name.
    pub(super) net: IpNet,
    /// Labels follow that are no part of an address.
    pub(super) beyond: bool,
}

impl Place {
    /// Where a name lies, by its labels in lower case; `None`: it is no reverse name.
    pub(super) fn of(labels: &[Vec<u8>]) -> Option<Self> {
        let mut from_root = labels.iter().rev().map(Vec::as_slice);
        let (arpa, family) = (from_root.next()?, from_root.next()?);
        match (arpa, family) {
            (b"arpa", b"in-addr") => Self::v4(from_root),
            (b"arpa", b"ip6") => Self::v6(from_root),
            _ => None,
        }
    }

    fn v4<'a>(mut labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut bits, mut length) = (0, 0);
        while length < 32 {
            let Some(label) = labels.next() else { return place(v4(bits), length, false) };
            let Some(octet) = octet(label) else { return place(v4(bits), length, true) };
            length += 8;
            bits |= u32::from(octet) << (32 - length);
        }
        place(v4(bits), length, labels.next().is_some())
    }

    fn v6<'a>(mut labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut bits, mut length) = (0, 0);
        while length < 128 {
            let Some(label) = labels.next() else { return place(v6(bits), length, false) };
            let Some(nibble) = nibble(label) else { return place(v6(bits), length, true) };
            length += 4;
            bits |= u128::from(nibble) << (128 - length);
        }
        place(v6(bits), length, labels.next().is_some())
    }

    /// The single address that the name stands for.
    pub(super) fn address(self) -> Option<IpAddr> {
        let is_whole = self.net.prefix_len() == self.net.max_prefix_len();
        (is_whole && !self.beyond).then(|| self.net.addr())
    }

    /// The zone that it lies in, if we answer for these ranges.
    pub(super) fn zone(self, ranges: &[IpNet]) -> Option<Name> {
        let range = ranges.iter().find(|range| range.contains(&self.net))?;
        let step = if self.net.addr().is_ipv4() { 8 } else { 4 };
        let length = range.prefix_len().div_ceil(step) * step;
        // Above the first label within the range the name belongs to somebody else as well.
        (length <= self.net.prefix_len()).then(|| apex(self.net.addr(), length)).flatten()
    }
}

fn place(address: IpAddr, length: u8, beyond: bool) -> Option<Place> {
    Some(Place { net: IpNet::new(address, length).ok()?, beyond })
}

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from(bits).into()
}

fn v6(bits: u128) -> IpAddr {
    Ipv6Addr::from(bits).into()
}

/// As it is written in a name: no sign, no leading zero.
fn octet(label: &[u8]) -> Option<u8> {
    let octet: u8 = std::str::from_utf8(label).ok()?.parse().ok()?;
    (octet.to_string().as_bytes() == label).then_some(octet)
}

fn nibble(label: &[u8]) -> Option<u8> {
    let [digit] = label else { return None };
    char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The name of the first `length` bits of an address.
fn apex(address: IpAddr, length: u8) -> Option<Name> {
    let whole = Name::from(address);
    let step = if address.is_ipv4() { 8 } else { 4 };
    let kept = usize::from(length / step) + 2;
    let all: Vec<&str> = whole.iter().filter_map(|label| std::str::from_utf8(label).ok()).collect();
    name(all.get(all.len().checked_sub(kept)?..)?.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::super::super::name::labels;
    use super::*;
    use proptest::prelude::*;

    fn place(text: &str) -> Option<Place> {
        let labels = text.trim_end_matches('.').split('.');
        Place::of(&labels.map(|label| label.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn zone(text: &str, range: &str) -> Option<String> {
        place(text).unwrap().zone(&[range.parse().unwrap()]).map(|zone| zone.to_string())
    }

    #[test]
    fn a_name_stands_for_an_address_or_a_net() {
        let net = |text: &str| place(text).map(|place| (place.net.to_string(), place.beyond));
        let is = |net: &str, beyond| Some((net.to_owned(), beyond));
        assert_eq!(net("10.0.96.10.in-addr.arpa."), is("10.96.0.10/32", false));
        assert_eq!(net("96.10.in-addr.arpa."), is("10.96.0.0/16", false));
        assert_eq!(net("x.10.0.96.10.in-addr.arpa."), is("10.96.0.10/32", true));
        assert_eq!(net("010.0.96.10.in-addr.arpa."), is("10.96.0.0/24", true));
        assert_eq!(net("+1.96.10.in-addr.arpa."), is("10.96.0.0/16", true));
        assert_eq!(net("d.f.ip6.arpa."), is("fd00::/8", false));
        assert_eq!(net("in-addr.arpa."), is("0.0.0.0/0", false));
        assert_eq!(net("arpa."), None);
        assert_eq!(net("10.96.in-addr.example."), None);
    }

    #[test]
    fn zones_begin_with_the_first_label_within_a_range() {
        for (name, range, expected) in [
            ("1.0.96.10.in-addr.arpa.", "10.96.0.0/16", Some("96.10.in-addr.arpa.")),
            ("1.0.97.10.in-addr.arpa.", "10.96.0.0/16", None),
            ("1.0.97.10.in-addr.arpa.", "10.96.0.0/12", Some("97.10.in-addr.arpa.")),
            ("10.in-addr.arpa.", "10.96.0.0/12", None),
            ("96.10.in-addr.arpa.", "10.96.0.0/12", Some("96.10.in-addr.arpa.")),
            ("1.0.96.10.in-addr.arpa.", "10.96.0.1/32", Some("1.0.96.10.in-addr.arpa.")),
            ("0.0.d.f.ip6.arpa.", "fd00::/8", Some("d.f.ip6.arpa.")),
        ] {
            assert_eq!(zone(name, range).as_deref(), expected, "{name} {range}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_found_by_its_name(address: IpAddr) {
            let place = Place::of(&labels(&Name::from(address))).unwrap();
            prop_assert_eq!(place.address(), Some(address));
        }
    }
}
