//! Programs that go on with a packet, and what is handed over to them.
//!
//! A packet of a known flow is finished by the program that met it. Everything rarer is done by
//! programs of their own, reached by tail calls: the verifier then walks through each part by
//! itself, and each has the whole stack. What was read of the packet is handed over in a per-CPU
//! cell; nothing can come in between, because programs of one hook do not interrupt each other.

use lb_common::verdict::Reason;

/// A program that goes on with a packet: its place in `STAGES` or `XDP_STAGES`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Stage {
    /// Opens a flow.
    Open = 0,
    /// Turns the packet into an answer.
    Answer = 1,
    /// Reads what the quick parser leaves: tags, extension headers, fragments, SCTP, ICMP.
    Unusual = 2,
    /// Puts fragments that were held back on their way.
    Release = 3,
    /// Begins anew, at ingress.
    Ingress = 4,
    /// Begins anew, at egress.
    Egress = 5,
    /// Finds the flow of a packet that was read before.
    Known = 6,
    /// Goes on with a fragment that has no transport header.
    Fragment = 7,
    /// Goes on with an ICMP message.
    Icmp = 8,
}

impl Stage {
    /// How many there are.
    pub(crate) const COUNT: u32 = 9;
}

/// What is handed over besides what was read of the packet.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Errand {
    /// Why it is answered: the number of a [`Reason`].
    pub(crate) reason: u32,
    /// The largest packet that would fit, in bytes from the IP header on.
    pub(crate) mtu: u32,
    /// How many fragments of the datagram are held.
    pub(crate) held: u32,
    /// The packet was found to be none of ours, if not 0.
    pub(crate) foreign: u32,
}

/// Why a stage did not finish a packet.
pub(crate) enum Stop {
    /// The packet is none of our business: it passes untouched, uncounted.
    NotOurs,
    /// Another program goes on with it.
    Next(Stage),
    /// A first fragment was found to be none of ours: that is to be noted.
    Foreign,
    /// So many fragments of its datagram wait for it: they go on first.
    Release(u32),
    /// The client is told that it was too big; this many bytes would fit.
    TooBig(u32),
    /// It is ours, but.
    Because(Reason),
}

impl From<Reason> for Stop {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}
