//! Offloads of a link, on and off, as `ethtool -K` does it.
//!
//! Generic netlink, family `ethtool`, message `FEATURES_SET`
//! (Documentation/networking/ethtool-netlink.rst). Only its request is written here; the crates
//! that know the family cannot send it.

use anyhow::{Context, Result, bail};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlMessage};
use rtnetlink::packet_core::{
    Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable, Nla,
};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{Socket, SocketAddr};

const FEATURES_SET: u8 = 12;
const FEATURES_HEADER: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const HEADER_DEV_NAME: u16 = 2;
const HEADER_FLAGS: u16 = 3;
/// Answer with an acknowledgement alone.
const FLAG_OMIT_REPLY: u32 = 2;
const BITSET_BITS: u16 = 3;
const BITS_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
/// Its presence means "on".
const BIT_VALUE: u16 = 3;

type Reply = NetlinkPayload<GenlMessage<GenlCtrl>>;

/// Switches the feature `name` (as `ethtool -k` spells it) of a link in this thread's namespace.
pub(super) fn set(link: &str, name: &str, on: bool) -> Result<()> {
    let socket = connect().context("opening generic netlink")?;
    let mut message = GenlMessage::from_payload(Request(request(link, name, on)));
    message.set_resolved_family_id(family(&socket)?);
    if let NetlinkPayload::Error(error) = ask(&socket, message, NLM_F_ACK)?
        && error.code.is_some()
    {
        bail!("setting {name} of {link}: {}", error.to_io());
    }
    Ok(())
}

fn connect() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// The number that this kernel gave to the family.
fn family(socket: &Socket) -> Result<u16> {
    let name = GenlCtrlAttrs::FamilyName(Request::family_name().to_owned());
    let payload = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] };
    let NetlinkPayload::InnerMessage(reply) = ask(socket, GenlMessage::from_payload(payload), 0)?
    else {
        bail!("this kernel has no ethtool netlink (CONFIG_ETHTOOL_NETLINK, Linux 5.6)");
    };
    let mut attributes = reply.payload.nlas.into_iter();
    let id = attributes.find_map(|attribute| {
        if let GenlCtrlAttrs::FamilyId(id) = attribute { Some(id) } else { None }
    });
    id.context("the family ethtool has no number")
}

fn ask<F>(socket: &Socket, mut message: GenlMessage<F>, flags: u16) -> Result<Reply>
where
    GenlMessage<F>: NetlinkSerializable,
    F: GenlFamily + Emitable + std::fmt::Debug,
{
    message.finalize();
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).context("sending to generic netlink")?;
    let (reply, _) = socket.recv_from_full().context("receiving from generic netlink")?;
    Ok(NetlinkMessage::deserialize(&reply).context("reading from generic netlink")?.payload)
}

fn request(link: &str, name: &str, on: bool) -> Vec<Attribute> {
    let header = vec![
        Attribute::Text(HEADER_DEV_NAME, link.to_owned()),
        Attribute::Number(HEADER_FLAGS, FLAG_OMIT_REPLY),
    ];
    let mut bit = vec![Attribute::Text(BIT_NAME, name.to_owned())];
    if on {
        bit.push(Attribute::Flag(BIT_VALUE));
    }
    let bits = vec![Attribute::Nest(BITS_BIT, bit)];
    vec![
        Attribute::Nest(FEATURES_HEADER, header),
        Attribute::Nest(FEATURES_WANTED, vec![Attribute::Nest(BITSET_BITS, bits)]),
    ]
}

/// The payload of `FEATURES_SET`.
#[derive(Debug)]
struct Request(Vec<Attribute>);

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        "ethtool"
    }

    fn command(&self) -> u8 {
        FEATURES_SET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

#[derive(Debug)]
enum Attribute {
    Flag(u16),
    Number(u16, u32),
    Text(u16, String),
    Nest(u16, Vec<Attribute>),
}

impl Nla for Attribute {
    fn value_len(&self) -> usize {
        match self {
            Self::Flag(_) => 0,
            Self::Number(_, number) => size_of_val(number),
            // The kernel wants the zero at its end.
            Self::Text(_, text) => text.len() + 1,
            Self::Nest(_, inner) => inner.as_slice().buffer_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Flag(kind) | Self::Number(kind, _) | Self::Text(kind, _) => *kind,
            Self::Nest(kind, _) => kind | NLA_F_NESTED,
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::Flag(_) => {}
            Self::Number(_, number) => copy(&number.to_ne_bytes(), buffer),
            Self::Text(_, text) => copy(text.as_bytes(), buffer),
            Self::Nest(_, inner) => inner.as_slice().emit(buffer),
        }
    }
}

/// Copies to the beginning of a buffer that `value_len` has sized.
fn copy(bytes: &[u8], buffer: &mut [u8]) {
    for (place, byte) in buffer.iter_mut().zip(bytes) {
        *place = *byte;
    }
}
