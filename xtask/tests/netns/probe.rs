//! A UDP socket that hears what routers say of its datagrams (`IP_RECVERR`, ip(7)).
//!
//! The kernel hands an ICMP error to a connected socket only if the packet that it quotes went
//! from the socket's own address to its peer's: what is heard is about the address that was asked.

use crate::patience::within;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SetSockOpt, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover,
    set_ipv6_mtu_discover,
};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;
use xtask::lab::Host;

/// Routers answer at once; this is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket, connected.
pub(crate) struct Probe {
    socket: UdpSocket,
    from: String,
    to: SocketAddr,
}

/// What a router said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What the error means to a socket.
    pub(crate) error: Errno,
    /// Who said it.
    pub(crate) by: IpAddr,
    /// Where the datagram was going.
    pub(crate) about: SocketAddr,
    /// The MTU, if it was too long.
    pub(crate) mtu: u32,
}

impl Probe {
    /// Opens a socket on a host.
    pub(crate) fn new(host: &Host, to: SocketAddr) -> Self {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self::with(bound(host, (any, 0).into()), host, to)
    }

    /// Takes a socket of a host.
    pub(crate) fn with(socket: UdpSocket, host: &Host, to: SocketAddr) -> Self {
        socket.connect(to).unwrap();
        let probe = Self { socket, from: host.name().to_owned(), to };
        probe.set(sockopt::Ipv4RecvErr, sockopt::Ipv6RecvErr, true);
        probe
    }

    /// Datagrams die at this hop.
    pub(crate) fn hop_limit(self, hops: i32) -> Self {
        self.set(sockopt::Ipv4Ttl, sockopt::Ipv6Ttl, hops);
        self
    }

    /// Datagrams are sent as long as they are or not at all.
    pub(crate) fn whole(self) -> Self {
        let set = if self.to.is_ipv4() {
            set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::DO)
        } else {
            set_ipv6_mtu_discover(&self.socket, Ipv6PathMtuDiscovery::DO)
        };
        set.unwrap();
        self
    }

    /// Sends a datagram with so many bytes of payload.
    pub(crate) fn send(&self, len: usize) -> io::Result<()> {
        self.socket.send(&vec![b'x'; len]).map(drop)
    }

    /// The next answer; how long it is.
    pub(crate) fn answer(&self) -> io::Result<usize> {
        self.socket.recv(&mut vec![0; 65_536])
    }

    /// Waits for the next error.
    pub(crate) fn hear(&self) -> Heard {
        let mut heard = None;
        within(PATIENCE, &format!("{} hears of an error about {}", self.from, self.to), || {
            heard = self.error_queue();
            heard.is_some()
        });
        heard.unwrap()
    }

    /// What the kernel knows of the path to the peer.
    pub(crate) fn mtu(&self) -> u32 {
        let mtu = if self.to.is_ipv4() { ip_mtu(&self.socket) } else { ipv6_mtu(&self.socket) };
        mtu.unwrap()
    }

    fn error_queue(&self) -> Option<Heard> {
        let mut payload = [0; 2000];
        let mut buffers = [IoSliceMut::new(&mut payload)];
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE;
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(fd, &mut buffers, Some(&mut space), flags).ok()?;
        let about = address(&message.address?)?;
        let (error, by) = message.cmsgs().unwrap().find_map(said)?;
        let number = i32::try_from(error.ee_errno).unwrap();
        Some(Heard { error: Errno::from_raw(number), by, about, mtu: error.ee_info })
    }

    fn set<T>(&self, v4: impl SetSockOpt<Val = T>, v6: impl SetSockOpt<Val = T>, value: T) {
        let set = if self.to.is_ipv4() {
            setsockopt(&self.socket, v4, &value)
        } else {
            setsockopt(&self.socket, v6, &value)
        };
        set.unwrap();
    }
}

/// A socket of a host that does not wait forever.
pub(crate) fn bound(host: &Host, own: SocketAddr) -> UdpSocket {
    let socket = host.within(|| Ok(UdpSocket::bind(own)?)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// An error, and who said it.
fn said(message: ControlMessageOwned) -> Option<(libc::sock_extended_err, IpAddr)> {
    if let ControlMessageOwned::Ipv4RecvErr(error, Some(by)) = message {
        Some((error, Ipv4Addr::from(by.sin_addr.s_addr.to_ne_bytes()).into()))
    } else if let ControlMessageOwned::Ipv6RecvErr(error, Some(by)) = message {
        Some((error, Ipv6Addr::from(by.sin6_addr.s6_addr).into()))
    } else {
        None
    }
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}
