//! Names of the cluster domain, as lists of labels and as they go over the wire.

use hickory_proto::rr::Name;
use std::net::IpAddr;

/// A name without its root, each label in lower case.
pub(super) fn labels(name: &Name) -> Vec<Vec<u8>> {
    name.iter().map(<[u8]>::to_ascii_lowercase).collect()
}

/// The name of these labels, from the leftmost to the root; `None`: one of them, or all together,
/// are too long.
pub(super) fn name<'a>(labels: impl IntoIterator<Item = &'a str>) -> Option<Name> {
    let mut name = Name::root();
    for label in labels {
        name = name.append_label(label.as_bytes()).ok()?;
    }
    Some(name)
}

/// The first label of an endpoint without a host name, and of a pod: its address with dashes.
///
/// A label does not end with a dash: `fd00::` becomes `fd00--0`, as in `CoreDNS`.
pub(super) fn dashed(address: IpAddr) -> String {
    let mut text = address.to_string().replace(['.', ':'], "-");
    if text.ends_with('-') {
        text.push('0');
    }
    text
}

/// The address that a pod's first label stands for: written with dashes, not with what they are
/// for (a label may hold any byte).
pub(super) fn undashed(label: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(label).ok().filter(|text| !text.contains(['.', ':']))?;
    let dots = || text.replace('-', ".").parse().map(IpAddr::V4).ok();
    let colons = || text.replace('-', ":").parse().map(IpAddr::V6).ok();
    dots().or_else(colons)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_become_labels() {
        for (address, label) in [
            ("172.0.0.3", "172-0-0-3"),
            ("5678:abcd::1", "5678-abcd--1"),
            ("5678:abcd::", "5678-abcd--0"),
        ] {
            assert_eq!(dashed(address.parse().unwrap()), label);
        }
    }

    #[test]
    fn what_is_no_address_is_no_pod() {
        for label in
            ["", "1-2-3", "1-2-3-4-5", "web", "1-2-3-256", "-", "1.2.3.4", "fd00::1", "--1.2.3.4"]
        {
            assert_eq!(undashed(label.as_bytes()), None, "{label}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_found_by_its_label(address: IpAddr) {
            // As the model has it: IPv4 is never mapped.
            let address = address.to_canonical();
            prop_assert_eq!(undashed(dashed(address).as_bytes()), Some(address));
        }
    }
}
