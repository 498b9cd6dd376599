//! What has been seen of a connection: enough to know when its ports may be used again.
//!
//! Windows and sequence numbers are not followed: a packet is never refused for what it claims
//! (kube-proxy's users suffered from the opposite). RFC 9293 section 3.6 has the closing rules.

use crate::wire::tcp::Tcp;
use bytemuck::{Pod, Zeroable};

/// Bits of what was seen; 0 is a flow that has just been opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Progress(pub u8);

impl Progress {
    /// The backend has answered.
    pub const REPLIED: u8 = 1;
    /// The client has sent FIN.
    pub const CLIENT_FIN: u8 = 2;
    /// The backend has sent FIN.
    pub const BACKEND_FIN: u8 = 4;
    /// Either side has sent RST.
    pub const RESET: u8 = 8;

    /// What TCP control bits `flags`, sent by the backend if `reply`, add to it.
    #[inline(always)]
    #[must_use]
    pub const fn after_tcp(self, flags: u8, reply: bool) -> Self {
        let mut bits = self.0;
        if reply {
            bits |= Self::REPLIED;
        }
        if flags & Tcp::FIN != 0 {
            bits |= if reply { Self::BACKEND_FIN } else { Self::CLIENT_FIN };
        }
        if flags & Tcp::RST != 0 {
            bits |= Self::RESET;
        }
        Self(bits)
    }

    /// Whether the connection is over, so that a new SYN opens another one.
    #[inline(always)]
    pub const fn is_closed(self) -> bool {
        const BOTH: u8 = Progress::CLIENT_FIN | Progress::BACKEND_FIN;
        self.0 & Self::RESET != 0 || self.0 & BOTH == BOTH
    }

    /// The word that `lbctl` shows.
    pub const fn name(self) -> &'static str {
        if self.0 & Self::RESET != 0 {
            "RESET"
        } else if self.is_closed() {
            "CLOSED"
        } else if self.0 & (Self::CLIENT_FIN | Self::BACKEND_FIN) != 0 {
            "CLOSING"
        } else if self.0 & Self::REPLIED != 0 {
            "ESTABLISHED"
        } else {
            "OPENING"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: &[(u8, bool)]) -> &'static str {
        steps
            .iter()
            .fold(Progress::default(), |p, (flags, reply)| p.after_tcp(*flags, *reply))
            .name()
    }

    #[test]
    fn handshake_establishes() {
        assert_eq!(after(&[(Tcp::SYN, false)]), "OPENING");
        assert_eq!(after(&[(Tcp::SYN, false), (Tcp::SYN | Tcp::ACK, true)]), "ESTABLISHED");
    }

    #[test]
    fn one_fin_closes_half() {
        assert_eq!(after(&[(Tcp::SYN | Tcp::ACK, true), (Tcp::FIN | Tcp::ACK, false)]), "CLOSING");
    }

    #[test]
    fn both_fins_close() {
        assert_eq!(after(&[(Tcp::FIN, true), (Tcp::FIN, false)]), "CLOSED");
    }

    #[test]
    fn one_reset_closes() {
        assert_eq!(after(&[(Tcp::RST, true)]), "RESET");
        assert!(Progress(Progress::RESET).is_closed());
    }
}
