//! The kernel's table of connections (`NETLINK_NETFILTER`, `include/uapi/linux/netfilter/nfnetlink_conntrack.h`),
//! in the network namespace of the thread that asks.

use super::connection::Connection;
use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    DefaultNla, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, Status};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use std::io;
use std::path::Path;

/// `CTA_STATUS_MASK`: which bits of the status a listed connection must have (Linux 5.19; older
/// kernels list all).
const STATUS_MASK: u16 = 26;

type Payload = NetlinkPayload<NetfilterMessage>;

/// Connections whose destination netfilter replaced. A kernel that follows no connections has
/// none.
///
/// # Errors
/// The kernel refused to tell (`CAP_NET_ADMIN` is missing), or what it tells cannot be read.
pub fn translated() -> Result<Vec<Connection>> {
    let mut socket = match Socket::new(NETLINK_NETFILTER) {
        Ok(socket) => socket,
        Err(error) if is(&error, Errno::EPROTONOSUPPORT) => return Ok(Vec::new()),
        Err(error) => return Err(error).context("opening a netfilter socket"),
    };
    socket.bind_auto().context("binding a netfilter socket")?;
    socket.connect(&SocketAddr::new(0, 0)).context("connecting a netfilter socket")?;
    socket.send(&request(), 0).context("asking for the kernel's connections")?;
    let mut connections = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().context("reading the kernel's connections")?;
        match read(&bytes, &mut connections)? {
            None => {}
            Some(0) => return Ok(connections),
            Some(code) if code == Errno::EINVAL as i32 => return unlisted().map(|()| Vec::new()),
            Some(code) => {
                return Err(io::Error::from_raw_os_error(code))
                    .context("asking for the kernel's connections");
            }
        }
    }
}

/// Nobody answers for connections: they are not followed, or not listed.
fn unlisted() -> Result<()> {
    if Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists() {
        bail!(
            "the kernel follows connections and does not list them: load the module \
             nf_conntrack_netlink, or connections that kube-proxy translated break"
        );
    }
    Ok(())
}

/// Asks for all connections of both families whose destination was replaced.
fn request() -> Vec<u8> {
    let wanted = Status::DstNat.bits().to_be_bytes();
    let filter = vec![
        ConntrackAttribute::CtaStatus(Status::DstNat),
        ConntrackAttribute::Other(DefaultNla::new(STATUS_MASK, wanted.to_vec())),
    ];
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let message = NetfilterMessage::new(header, ConntrackMessage::Get(filter));
    let mut head = NetlinkHeader::default();
    head.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(head, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Adds the connections of one datagram. The number of an error, or 0, if it ends the list. A
/// connection of a kind that is not known is left out: it is none that a Service has.
pub(super) fn read(bytes: &[u8], connections: &mut Vec<Connection>) -> Result<Option<i32>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = length(rest)?;
        let (message, others) = rest.split_at(len.min(rest.len()));
        rest = others;
        match NetlinkMessage::<NetfilterMessage>::deserialize(message) {
            Ok(message) => {
                if let Some(code) = end(&message.payload) {
                    return Ok(Some(code.saturating_abs()));
                }
                connections.extend(connection(&message.payload));
            }
            Err(error) => tracing::debug!("a connection that cannot be read: {error}"),
        }
    }
    Ok(None)
}

/// The length of the first of some messages, with what fills it up to the next.
fn length(bytes: &[u8]) -> Result<usize> {
    /// Of `struct nlmsghdr`.
    const HEADER: usize = 16;
    let Some([a, b, c, d]) = bytes.first_chunk() else {
        bail!("the kernel's list of connections ends in a message of {} bytes", bytes.len());
    };
    let len = usize::try_from(u32::from_ne_bytes([*a, *b, *c, *d]))?;
    if len < HEADER || len > bytes.len() {
        bail!("a message about a connection claims {len} bytes of {}", bytes.len());
    }
    Ok(len.next_multiple_of(4))
}

/// The negative error number, or 0, of the message that ends an answer.
fn end(payload: &Payload) -> Option<i32> {
    if let NetlinkPayload::Done(done) = payload {
        return Some(done.code);
    }
    if let NetlinkPayload::Error(error) = payload { Some(error.raw_code()) } else { None }
}

fn connection(payload: &Payload) -> Option<Connection> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &message.inner else {
        return None;
    };
    Connection::read(attributes)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
