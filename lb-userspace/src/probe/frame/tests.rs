use super::*;

const MACS: Macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

fn all_ends() -> Vec<Ends> {
    let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
    let pairs = [("10.0.0.2:40000", "10.96.0.1:80"), ("[fd00:10::2]:40000", "[fd00:96::1]:80")];
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let each = protocols.into_iter().flat_map(|one| pairs.map(|(src, dst)| (one, src, dst)));
    each.map(|(protocol, src, dst)| Ends { protocol, src: socket(src), dst: socket(dst) }).collect()
}

#[test]
fn what_is_built_is_read_back() {
    for ends in all_ends() {
        for bytes in [opening(&ends, MACS).unwrap(), later(&ends, MACS).unwrap()] {
            assert_eq!(read(&bytes).unwrap(), Parsed::Data(ends), "{bytes:?}");
        }
    }
}

#[test]
fn a_packet_that_was_changed_without_its_checksum_is_refused() {
    for ends in all_ends() {
        let mut bytes = opening(&ends, MACS).unwrap();
        // The destination port.
        let at = if ends.src.is_ipv4() { 14 + 20 + 3 } else { 14 + 40 + 3 };
        bytes[at] += 1;
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{ends:?}: {error}");
    }
}

#[test]
fn the_sctp_checksum_is_that_of_the_rfc() {
    // The check value of CRC-32C: RFC 3720 section B.4 and the CRC catalogues.
    assert_eq!(sctp_sum(b"123456789"), 0xe306_9283_u32.to_le_bytes());
    assert_eq!(sctp_sum(&[0; 32]), 0x8a91_36aa_u32.to_le_bytes());
}

#[test]
fn refusals_are_told_from_packets() {
    use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};
    let ends = all_ends()[2];
    let packet = opening(&ends, MACS).unwrap();
    let (vip, client) = ([10, 96, 0, 1], [10, 0, 0, 2]);
    let icmp = |reason| {
        let mut bytes = Vec::new();
        let step = PacketBuilder::ethernet2(MACS.1, MACS.0).ipv4(vip, client, 64);
        let step = step.icmpv4(Icmpv4Type::DestinationUnreachable(reason));
        step.write(&mut bytes, &packet[14..14 + 28]).unwrap();
        bytes
    };
    let refusal = read(&icmp(DestUnreachableHeader::Port)).unwrap();
    assert_eq!(refusal, Parsed::Unreachable(client.into(), ends));
    assert!(read(&icmp(DestUnreachableHeader::Host)).is_err());

    let mut reset = Vec::new();
    let step = PacketBuilder::ethernet2(MACS.1, MACS.0).ipv4(vip, client, 64);
    step.tcp(80, 40_000, 0, 0).rst().write(&mut reset, &[]).unwrap();
    assert!(matches!(read(&reset).unwrap(), Parsed::Reset(_)));
}

#[test]
fn what_is_cut_off_is_refused() {
    for ends in all_ends() {
        let bytes = opening(&ends, MACS).unwrap();
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} bytes of {ends:?}");
        }
    }
}
