//! The programs on links, and frames that go through them: what `BPF_PROG_TEST_RUN` does not play
//! is what becomes of a frame that was sent, put back, or had its tag beside its bytes.

use crate::network::{self, Link};
use crate::shape::tagged;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, RecvMsg, SockFlag, SockProtocol,
    SockType, recvmsg, sendto, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::{setsockopt_impl, sockopt_impl};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};

sockopt_impl!(
    /// A packet socket tells what the kernel knows about a frame beside its bytes.
    PacketAuxdata,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_AUXDATA,
    bool
);

sockopt_impl!(
    /// Frames of a packet socket begin with a [`Todo`].
    PacketVnetHdr,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_VNET_HDR,
    bool
);

/// What a device has yet to do to a frame: `struct virtio_net_hdr`
/// (`include/uapi/linux/virtio_net.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Todo {
    /// Kind of segments (`Todo::TCP_V4` and its kin), and bytes of payload in each.
    pub(crate) segments: Option<(u8, u16)>,
    /// Where the summing up of the checksum begins in the frame, and where it lies from there on.
    pub(crate) checksum: Option<(u16, u16)>,
}

impl Todo {
    pub(crate) const TCP_V4: u8 = 1;
    pub(crate) const TCP_V6: u8 = 4;
    const LEN: usize = 10;

    fn bytes(self) -> [u8; Self::LEN] {
        let (kind, size) = self.segments.unwrap_or_default();
        let (start, offset) = self.checksum.unwrap_or_default();
        let head = [u8::from(self.checksum.is_some()), kind];
        let words = [0, size, start, offset].map(u16::to_ne_bytes);
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&[&head[..], &words.concat()].concat());
        bytes
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Self {
            segments: (bytes[1] != 0).then(|| (bytes[1], word(4))),
            checksum: (bytes[0] & 1 != 0).then(|| (word(6), word(8))),
        }
    }
}

/// A node with the programs on its uplink and pods behind another link.
pub(crate) struct Wire {
    pub(crate) uplink: Link,
    pub(crate) pods: Link,
    /// Hears everything in the namespace.
    socket: OwnedFd,
}

/// The far end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// Of the uplink.
    Wire,
    /// Of the pods' link.
    Cable,
}

impl Far {
    fn addr(self) -> LinkAddr {
        let name = match self {
            Self::Wire => "wire",
            Self::Cable => "cable",
        };
        network::at(name).unwrap()
    }
}

impl Wire {
    /// Builds the network.
    pub(crate) fn new() -> Self {
        let [uplink, pods] = network::uplink_and_pods();
        let (raw, all) = (SockType::Raw, SockProtocol::EthAll);
        let socket = socket(AddressFamily::Packet, raw, SockFlag::empty(), all).unwrap();
        setsockopt(&socket, PacketAuxdata, &true).unwrap();
        setsockopt(&socket, PacketVnetHdr, &true).unwrap();
        Self { uplink, pods, socket }
    }

    /// Sends a frame to the node from the far end of a link.
    pub(crate) fn send(&self, from: Far, frame: &[u8]) {
        self.send_unfinished(from, frame, Todo::default());
    }

    /// Sends one to which a device has yet to do something.
    pub(crate) fn send_unfinished(&self, from: Far, frame: &[u8], todo: Todo) {
        let bytes = [&todo.bytes()[..], frame].concat();
        sendto(self.socket.as_raw_fd(), &bytes, &from.addr(), MsgFlags::empty()).unwrap();
    }

    /// The next frames that the node sends to the far end of a link: so many, finished, and no
    /// more.
    ///
    /// # Panics
    /// There are fewer within five seconds, or more.
    #[track_caller]
    pub(crate) fn hear(&self, at: Far, count: usize) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        self.wait(TimeVal::seconds(5));
        while heard.len() < count {
            let next = self.next(at);
            let (frame, todo) = next.unwrap_or_else(|| panic!("{} of {count}", heard.len()));
            assert_eq!(todo, Todo::default());
            heard.push(frame);
        }
        self.silence(at);
        heard
    }

    /// The only frame that the node sends there, and what is yet to be done.
    ///
    /// # Panics
    /// There is none within five seconds, or more.
    #[track_caller]
    pub(crate) fn hear_unfinished(&self, at: Far) -> (Vec<u8>, Todo) {
        self.wait(TimeVal::seconds(5));
        let heard = self.next(at).expect("a frame");
        self.silence(at);
        heard
    }

    /// What a frame causes is done when `send` has returned, or a little later.
    #[track_caller]
    fn silence(&self, at: Far) {
        self.wait(TimeVal::milliseconds(10));
        assert_eq!(self.next(at), None, "another frame");
    }

    fn wait(&self, time: TimeVal) {
        setsockopt(&self.socket, ReceiveTimeout, &time).unwrap();
    }

    /// The next frame that came out at the far end of a link, if one comes.
    fn next(&self, at: Far) -> Option<(Vec<u8>, Todo)> {
        const OUTGOING: u8 = 4;
        let far = at.addr().ifindex();
        loop {
            let (bytes, from) = self.receive()?;
            let (todo, frame) = bytes.split_at(Todo::LEN);
            if from.ifindex() == far && from.pkttype() != OUTGOING && is_talk(frame) {
                return Some((frame.to_vec(), Todo::read(todo)));
            }
        }
    }

    /// The next frame behind its header, if one comes, and where it is.
    fn receive(&self) -> Option<(Vec<u8>, LinkAddr)> {
        let mut bytes = vec![0; 65_536];
        let mut beside = nix::cmsg_space!([u8; 20]);
        let mut room = [IoSliceMut::new(&mut bytes)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<LinkAddr>(fd, &mut room, Some(&mut beside), flags).ok()?;
        let (len, from, tag) = (message.bytes, message.address.unwrap(), tag(&message));
        let (todo, frame) = bytes[..len].split_at(Todo::LEN);
        let tags: Vec<_> = tag.into_iter().collect();
        Some(([todo, &tagged(frame, &tags)].concat(), from))
    }
}

/// The VLAN tag (type, VLAN) that the kernel keeps beside a frame.
fn tag(message: &RecvMsg<'_, '_, LinkAddr>) -> Option<(u16, u16)> {
    const VALID: u8 = 1 << 4;
    let ControlMessageOwned::Unknown(beside) = message.cmsgs().unwrap().next()? else {
        panic!("asked for nothing else")
    };
    let beside = beside.data_bytes;
    // `struct tpacket_auxdata` (include/uapi/linux/if_packet.h) begins with the status and ends
    // with two halves of the tag.
    let half = |at: usize| u16::from_ne_bytes([beside[at], beside[at + 1]]);
    let status = u32::from_ne_bytes([beside[0], beside[1], beside[2], beside[3]]);
    (status & u32::from(VALID) != 0).then(|| (half(18), half(16)))
}

/// Whether a frame is more than the kernel's own noise: to one host, and no ARP.
fn is_talk(frame: &[u8]) -> bool {
    frame[0] & 1 == 0 && frame[12..14] != [0x08, 0x06]
}
