//! What else a frame can be: tagged, with IPv6 extension headers.
//!
//! Each function makes bytes of the bytes of a plain frame, so what a scene expects is made from
//! the translated frame in the same way as what it sends is made from the original one.

use crate::frame::L3;

/// Where a tag begins in a frame.
const TAG: usize = 12;
/// Length of an IPv6 header.
const IPV6: usize = 40;

/// The frame with tags (type, VLAN), the outer one first.
pub(crate) fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(kind, vlan)| [kind.to_be_bytes(), vlan.to_be_bytes()]);
    let (macs, rest) = frame.split_at(TAG);
    [macs, &tags.flatten().collect::<Vec<u8>>(), rest].concat()
}

/// An IPv6 extension header: its kind, and what follows its first byte.
#[derive(Clone, Debug)]
pub(crate) struct Extension(pub(crate) u8, pub(crate) Vec<u8>);

/// The IPv6 frame with a chain of extension headers in front of everything behind its IPv6 header.
pub(crate) fn extended(frame: &[u8], chain: &[Extension]) -> Vec<u8> {
    let mut ip = frame[..L3 + IPV6].to_vec();
    let upper = ip[L3 + 6];
    let kinds = chain.iter().map(|extension| extension.0).chain([upper]);
    let headers: Vec<u8> = (chain.iter().zip(kinds.clone().skip(1)))
        .flat_map(|(extension, next)| [&[next][..], &extension.1].concat())
        .collect();
    ip[L3 + 6] = kinds.clone().next().unwrap();
    let rest = &frame[L3 + IPV6..];
    claim(&mut ip, headers.len() + rest.len());
    [ip, headers, rest.to_vec()].concat()
}

/// Makes an IPv6 header claim so many bytes behind it.
pub(crate) fn claim(frame: &mut [u8], len: usize) {
    frame[L3 + 4..L3 + 6].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
}
