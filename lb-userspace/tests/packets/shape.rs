//! What else a frame can be: tagged, with IPv6 extension headers, cut into fragments.
//!
//! Each function makes bytes of the bytes of a plain frame, so what a scene expects is made from
//! the translated frame in the same way as what it sends is made from the original one.

use crate::frame::{Frame, L3};
use etherparse::defrag::IpDefragPool;
use etherparse::{IpFragOffset, Ipv4Header, Ipv6FragmentHeader, SlicedPacket};

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

/// The frame as fragments of one datagram, cut at these offsets (multiples of 8) behind its IP
/// header.
pub(crate) fn fragments(frame: &[u8], id: u32, cuts: &[usize]) -> Vec<Vec<u8>> {
    let begin = L3 + if is_v6(frame) { IPV6 } else { usize::from(frame[L3] & 0x0f) * 4 };
    let (head, data) = frame.split_at(begin);
    let begins = [0].iter().chain(cuts);
    let ends = cuts.iter().copied().chain([data.len()]);
    let piece = |(begin, end): (&usize, usize)| {
        fragment(head, &data[*begin..end], (id, *begin, end != data.len()))
    };
    begins.zip(ends).map(piece).collect()
}

/// One fragment: identification, offset, whether more follow.
fn fragment(head: &[u8], data: &[u8], (id, offset, more): (u32, usize, bool)) -> Vec<u8> {
    let offset = IpFragOffset::try_new(u16::try_from(offset / 8).unwrap()).unwrap();
    if is_v6(head) {
        let mut head = head.to_vec();
        let next = head[L3 + 6].into();
        head[L3 + 6] = 44;
        claim(&mut head, Ipv6FragmentHeader::LEN + data.len());
        let extension = Ipv6FragmentHeader::new(next, offset, more, id).to_bytes();
        return [&head, &extension[..], data].concat();
    }
    let mut ip = Ipv4Header::from_slice(&head[L3..]).unwrap().0;
    ip.identification = u16::try_from(id).unwrap();
    (ip.dont_fragment, ip.more_fragments, ip.fragment_offset) = (false, more, offset);
    ip.set_payload_len(data.len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    [&head[..L3], &ip.to_bytes(), data].concat()
}

/// Puts fragments together, in whatever order they come.
///
/// # Panics
/// One is missing, or a length or checksum of the datagram is wrong.
#[track_caller]
pub(crate) fn reassembled(fragments: &[Vec<u8>]) -> Frame {
    let mut pool = IpDefragPool::<(), ()>::new();
    let add = |bytes: &Vec<u8>| {
        let packet = SlicedPacket::from_ethernet(bytes).unwrap();
        pool.process_sliced_packet(&packet, (), ()).unwrap()
    };
    let datagram = fragments.iter().find_map(add).expect("all fragments of a datagram");
    let first = &fragments[0];
    if is_v6(first) {
        let mut head = first[..L3 + IPV6].to_vec();
        head[L3 + 6] = datagram.ip_number.0;
        claim(&mut head, datagram.payload.len());
        return Frame::read(&[head, datagram.payload].concat());
    }
    let mut ip = Ipv4Header::from_slice(&first[L3..]).unwrap().0;
    (ip.fragment_offset, ip.more_fragments) = (IpFragOffset::ZERO, false);
    ip.set_payload_len(datagram.payload.len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    Frame::read(&[&first[..L3], &ip.to_bytes(), &datagram.payload].concat())
}

fn is_v6(frame: &[u8]) -> bool {
    frame[L3] >> 4 == 6
}
