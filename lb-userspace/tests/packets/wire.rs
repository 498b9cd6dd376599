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
        Self { uplink, pods, socket }
    }

    /// Sends a frame to the node from the far end of a link.
    pub(crate) fn send(&self, from: Far, frame: &[u8]) {
        sendto(self.socket.as_raw_fd(), frame, &from.addr(), MsgFlags::empty()).unwrap();
    }

    /// The next frames that the node sends to the far end of a link: so many, and no more.
    ///
    /// # Panics
    /// There are fewer within five seconds, or more.
    #[track_caller]
    pub(crate) fn hear(&self, at: Far, count: usize) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        self.wait(TimeVal::seconds(5));
        while heard.len() < count {
            heard
                .push(self.next(at).unwrap_or_else(|| panic!("{} of {count} frames", heard.len())));
        }
        // What a frame causes is done when `send` has returned, or a little later.
        self.wait(TimeVal::milliseconds(10));
        assert_eq!(self.next(at), None, "more than {count} frames");
        heard
    }

    fn wait(&self, time: TimeVal) {
        setsockopt(&self.socket, ReceiveTimeout, &time).unwrap();
    }

    /// The next frame that came out at the far end of a link, if one comes.
    fn next(&self, at: Far) -> Option<Vec<u8>> {
        const OUTGOING: u8 = 4;
        let far = at.addr().ifindex();
        loop {
            let (frame, from) = self.receive()?;
            if from.ifindex() == far && from.pkttype() != OUTGOING && is_talk(&frame) {
                return Some(frame);
            }
        }
    }

    /// The next frame, if one comes, and where it is.
    fn receive(&self) -> Option<(Vec<u8>, LinkAddr)> {
        let mut frame = vec![0; 4096];
        let mut beside = nix::cmsg_space!([u8; 20]);
        let mut room = [IoSliceMut::new(&mut frame)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<LinkAddr>(fd, &mut room, Some(&mut beside), flags).ok()?;
        let (len, from, tag) = (message.bytes, message.address.unwrap(), tag(&message));
        frame.truncate(len);
        Some((tag.map_or(frame.clone(), |tag| tagged(&frame, &[tag])), from))
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
