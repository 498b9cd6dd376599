//! Inputs as files: a packet capture in pcap's classic form, so that `tcpdump -nr FILE` shows what
//! was sent.
//!
//! The seconds of a packet's time say which program it is given to, the microseconds by which link
//! it comes or goes. Bytes that are no capture are one frame.

/// A program that takes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    /// XDP.
    Xdp,
    /// TC ingress.
    TcIngress,
    /// TC egress.
    TcEgress,
}

impl Hook {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Xdp, Self::TcIngress, Self::TcEgress];
}

/// A link of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// Of a pod of this node.
    Pod,
    /// To the world.
    Uplink,
}

impl Link {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Pod, Self::Uplink];
}

/// A packet, and where it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) hook: Hook,
    pub(super) link: Link,
    pub(super) frame: Vec<u8>,
}

/// Little-endian, version 2.4, Ethernet.
const HEAD: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0];

/// The packets of a capture, as far as it is whole; `None`: it is none.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Step>> {
    let mut rest = bytes.strip_prefix(&HEAD)?;
    let mut steps = Vec::new();
    while let Some((record, after)) = rest.split_first_chunk::<16>() {
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| record[at + n])) as usize;
        let Some(frame) = after.get(..number(8)) else { break };
        let (hook, link) = (Hook::ALL[number(0) % 3], Link::ALL[number(4) % 2]);
        steps.push(Step { hook, link, frame: frame.to_vec() });
        rest = &after[frame.len()..];
    }
    Some(steps)
}

/// The capture of these packets.
pub(super) fn write(steps: &[Step]) -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    for Step { hook, link, frame } in steps {
        let len = u32::try_from(frame.len()).unwrap();
        for number in [*hook as u32, *link as u32, len, len] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let step = |hook, link, frame: &[u8]| Step { hook, link, frame: frame.to_vec() };
        let steps = [step(Hook::TcEgress, Link::Uplink, b"abc"), step(Hook::Xdp, Link::Pod, b"")];
        assert_eq!(read(&write(&steps)).unwrap(), steps);
    }

    #[test]
    fn a_cut_capture_is_read_up_to_the_cut() {
        let step = Step { hook: Hook::Xdp, link: Link::Pod, frame: vec![1; 60] };
        let bytes = write(&[step.clone(), step.clone()]);
        assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap(), [step]);
        assert_eq!(read(&bytes[..23]), None);
    }
}
