//! Packets that are not ours, or contradict themselves: they pass untouched, and those that look
//! like ours are counted.

use crate::case::Case;
use crate::frame::{L3, NODE_MAC, PEER_MAC};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each, each_where};
use lb_common::verdict::Reason;

/// Sends bytes in and out that must stay as they are; tells what was counted for them.
#[track_caller]
fn untouched(rig: &mut Rig, bytes: &[u8]) -> Vec<(Reason, u64)> {
    let coming_in = untouched_in(rig, rig.case.hook, bytes);
    assert_eq!(untouched_in(rig, Hook::TcEgress, bytes), coming_in, "out as in");
    coming_in
}

/// The same in one hook.
#[track_caller]
fn untouched_in(rig: &mut Rig, hook: Hook, bytes: &[u8]) -> Vec<(Reason, u64)> {
    rig.count_anew();
    let out = rig.run(hook, bytes);
    assert_eq!((out.verdict, &out.bytes[..]), (Verdict::Passed, bytes), "{hook:?}");
    rig.reasons()
}

const MALFORMED: [(Reason, u64); 1] = [(Reason::Malformed, 1)];

/// The bytes of a packet that would be translated, changed.
fn broken(rig: &mut Rig, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    rig.serve(1);
    let case = rig.case;
    let mut bytes = case.opening(case.pod(20_000), case.vip()).bytes();
    change(&mut bytes);
    bytes
}

/// Where the transport header begins.
fn l4(case: Case) -> usize {
    L3 + if case.v6 { 40 } else { 20 }
}

#[test]
fn arp_is_not_ours() {
    each(|rig| {
        let mut bytes = [NODE_MAC, PEER_MAC].concat();
        bytes.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
        bytes.extend([0; 20]);
        assert_eq!(untouched(rig, &bytes), []);
    });
}

#[test]
fn other_ethertypes_are_not_ours() {
    each(|rig| {
        // 802.1Q, 802.1ad, LLDP, MPLS, a length.
        for ethertype in [[0x81, 0x00], [0x88, 0xa8], [0x88, 0xcc], [0x88, 0x47], [0x00, 0x40]] {
            let bytes = broken(rig, |bytes| bytes[12..14].copy_from_slice(&ethertype));
            assert_eq!(untouched(rig, &bytes), [], "{ethertype:02x?}");
        }
    });
}

#[test]
fn icmp_is_not_ours() {
    each_where(Case::is_tcp, |rig| {
        let (at, proto) = if rig.case.v6 { (L3 + 6, 58) } else { (L3 + 9, 1) };
        let bytes = broken(rig, |bytes| bytes[at] = proto);
        assert_eq!(untouched(rig, &bytes), []);
    });
}

#[test]
fn a_packet_cut_anywhere_is_never_translated() {
    each(|rig| {
        let whole = broken(rig, |_| {});
        // The kernel gives TC programs no test run of less than an IP header.
        let whole_ip = l4(rig.case);
        for len in if rig.case.is_xdp() { L3 } else { whole_ip }..whole.len() {
            let counted = untouched_in(rig, rig.case.hook, &whole[..len]);
            assert_eq!(counted, MALFORMED, "cut to {len} bytes");
        }
        for len in whole_ip..whole.len() {
            let counted = untouched_in(rig, Hook::TcEgress, &whole[..len]);
            assert_eq!(counted, MALFORMED, "cut to {len} bytes");
        }
    });
}

#[test]
fn a_tcp_header_that_was_cut_with_the_ip_length_put_right_is_malformed() {
    each(|rig| {
        let case = rig.case;
        let whole = broken(rig, |_| {});
        for len in l4(case)..l4(case) + if case.is_tcp() { 36 } else { 8 } {
            let mut cut = whole[..len].to_vec();
            claim(case, &mut cut, len - L3);
            assert_eq!(untouched(rig, &cut), MALFORMED, "cut to {len} bytes");
        }
    });
}

/// Makes the IP header claim `len` bytes, itself included.
fn claim(case: Case, bytes: &mut [u8], len: usize) {
    let (at, len) = if case.v6 { (L3 + 4, len - 40) } else { (L3 + 2, len) };
    bytes[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
}

#[test]
fn an_ip_length_beyond_the_frame_is_malformed() {
    each(|rig| {
        let case = rig.case;
        let len = broken(rig, |_| {}).len() - L3;
        for lie in [len + 1, len + 1000, 65_535] {
            let bytes = broken(rig, |bytes| claim(case, bytes, lie));
            assert_eq!(untouched(rig, &bytes), MALFORMED, "{lie} instead of {len}");
        }
    });
}

#[test]
fn an_ip_length_too_short_for_its_headers_is_malformed() {
    each(|rig| {
        let case = rig.case;
        let ip = l4(case) - L3;
        let transport = if case.is_tcp() { 20 } else { 8 };
        for lie in ip..ip + transport {
            let bytes = broken(rig, |bytes| claim(case, bytes, lie));
            assert_eq!(untouched(rig, &bytes), MALFORMED, "{lie} bytes");
        }
    });
}

#[test]
fn an_ipv4_length_below_the_ip_header_is_malformed() {
    each_where(
        |case| !case.v6,
        |rig| {
            let case = rig.case;
            for lie in 0..20 {
                let bytes = broken(rig, |bytes| claim(case, bytes, lie));
                assert_eq!(untouched(rig, &bytes), MALFORMED, "{lie} bytes");
            }
        },
    );
}

#[test]
fn an_ipv4_header_length_below_20_is_malformed() {
    each_where(
        |case| !case.v6,
        |rig| {
            for words in 0..5 {
                let bytes = broken(rig, |bytes| bytes[L3] = 0x40 | words);
                assert_eq!(untouched(rig, &bytes), MALFORMED, "{words} words");
            }
        },
    );
}

#[test]
fn an_ipv4_header_longer_than_the_packet_is_malformed() {
    each_where(
        |case| !case.v6 && !case.is_tcp(),
        |rig| {
            let bytes = broken(rig, |bytes| {
                bytes.truncate(L3 + 40);
                bytes[L3] = 0x4f;
                bytes[L3 + 2..L3 + 4].copy_from_slice(&40_u16.to_be_bytes());
            });
            assert_eq!(untouched(rig, &bytes), MALFORMED);
        },
    );
}

#[test]
fn another_ip_version_than_the_ethertype_says_is_malformed() {
    each(|rig| {
        let own = if rig.case.v6 { 6 } else { 4 };
        for version in (0..16).filter(|version| *version != own) {
            let bytes = broken(rig, |bytes| bytes[L3] = bytes[L3] & 0x0f | version << 4);
            assert_eq!(untouched(rig, &bytes), MALFORMED, "version {version}");
        }
    });
}

#[test]
fn a_tcp_header_length_below_20_is_malformed() {
    each_where(Case::is_tcp, |rig| {
        let at = l4(rig.case) + 12;
        for words in 0..5 {
            let bytes = broken(rig, |bytes| bytes[at] = words << 4);
            assert_eq!(untouched(rig, &bytes), MALFORMED, "{words} words");
        }
    });
}

#[test]
fn a_tcp_header_longer_than_the_packet_is_malformed() {
    each_where(Case::is_tcp, |rig| {
        let at = l4(rig.case) + 12;
        // The SYN has a header of 36 bytes and nothing behind it.
        for words in 10..16 {
            let bytes = broken(rig, |bytes| bytes[at] = words << 4);
            assert_eq!(untouched(rig, &bytes), MALFORMED, "{words} words");
        }
    });
}

#[test]
fn a_malformed_packet_of_a_known_flow_is_not_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.chosen(&asked);
        let bytes = asked.bytes();
        assert_eq!(untouched(rig, &bytes[..bytes.len() - 1]), MALFORMED);
    });
}
