//! The kernel's list of UDP sockets, and how one is closed from outside: `NETLINK_SOCK_DIAG`
//! (`sock_diag(7)`, `include/uapi/linux/inet_diag.h`), in the network namespace of the thread
//! that opened it.

use anyhow::{Context as _, Result, ensure};
use lb_common::wire::{Addr, Port};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::IPPROTO_UDP;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use std::io;

pub(super) use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};

type Payload = NetlinkPayload<SockDiagMessage>;

/// A way to ask.
pub(super) struct Diag(Socket);

/// A UDP socket that is connected.
pub(super) struct Connected {
    family: u8,
    id: SocketId,
}

impl Connected {
    /// The kernel's name of it, as `bpf_get_socket_cookie` has it.
    pub(super) fn cookie(&self) -> u64 {
        // Two words, the lower one first; so are the bytes of a word on the machines we run on.
        u64::from_le_bytes(self.id.cookie)
    }

    /// Whom it talks to. IPv4 over an IPv6 socket is mapped, which is our form of IPv4 anyway.
    pub(super) fn peer(&self) -> (Addr, Port) {
        (self.id.destination_address.into(), Port::new(self.id.destination_port))
    }
}

impl Diag {
    /// Begins to ask.
    pub(super) fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a sock_diag socket")?;
        socket.bind_auto().context("binding a sock_diag socket")?;
        socket.connect(&SocketAddr::new(0, 0)).context("connecting a sock_diag socket")?;
        Ok(Self(socket))
    }

    /// All connected UDP sockets of one family.
    pub(super) fn connected(&self, family: u8) -> Result<Vec<Connected>> {
        let any = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
        self.ask(NLM_F_DUMP, SockDiagMessage::InetRequest(request(family, any)))
            .context("listing UDP sockets")
    }

    /// Closes a socket for its process; false: the process was faster.
    pub(super) fn destroy(&self, socket: &Connected) -> Result<bool> {
        let request = SockDiagMessage::InetRequest(request(socket.family, socket.id.clone()));
        match self.ask(NLM_F_ACK, SockDiagDestroy::new(request)) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, Errno::ENOENT) => Ok(false),
            Err(error) => Err(error).context("closing a UDP socket"),
        }
    }

    /// Sends a request and reads what comes up to the end of the list, or the acknowledgement.
    fn ask<T>(&self, flags: u16, request: T) -> Result<Vec<Connected>>
    where
        T: NetlinkSerializable + Into<NetlinkPayload<T>>,
    {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let mut sockets = Vec::new();
        loop {
            for payload in self.receive()? {
                if let Some(code) = end(&payload) {
                    ensure!(code == 0, io::Error::from_raw_os_error(code.saturating_abs()));
                    return Ok(sockets);
                }
                sockets.extend(connected(payload));
            }
        }
    }

    /// The messages of one datagram.
    fn receive(&self) -> Result<Vec<Payload>> {
        let (bytes, _) = self.0.recv_from_full()?;
        let mut rest = bytes.as_slice();
        let mut payloads = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?;
            let len = (message.header.length as usize).next_multiple_of(4);
            payloads.push(message.payload);
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(payloads)
    }
}

/// The negative error number, or 0, of the message that ends an answer.
fn end(payload: &Payload) -> Option<i32> {
    if let NetlinkPayload::Done(done) = payload {
        return Some(done.code);
    }
    if let NetlinkPayload::Error(error) = payload { Some(error.raw_code()) } else { None }
}

fn connected(payload: Payload) -> Option<Connected> {
    let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) = payload else {
        return None;
    };
    Some(Connected { family: found.header.family, id: found.header.socket_id })
}

/// Connected UDP sockets are in the state that TCP calls "established".
fn request(family: u8, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::ESTABLISHED,
        socket_id,
    }
}

fn is(error: &anyhow::Error, errno: Errno) -> bool {
    let error = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    error == Some(errno as i32)
}
