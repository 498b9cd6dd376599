//! ICMP (RFC 792) and `ICMPv6` (RFC 4443): errors, and echo.

use bytemuck::{Pod, Zeroable};

/// The part that every ICMP and `ICMPv6` message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Icmp {
    /// Message type.
    pub kind: u8,
    /// What exactly, depending on the type.
    pub code: u8,
    /// Checksum; for `ICMPv6` over a pseudo-header too (RFC 4443 section 2.3).
    pub check: [u8; 2],
    /// Depends on the type. "Too big" has the size that fits: in the last two bytes (RFC 1191
    /// section 4), or in all four (RFC 4443 section 3.2).
    pub rest: [u8; 4],
}

impl Icmp {
    /// Length in bytes.
    pub const LEN: usize = 8;
    /// ICMP "echo reply".
    pub const V4_ECHO_REPLY: u8 = 0;
    /// ICMP "destination unreachable".
    pub const V4_UNREACHABLE: u8 = 3;
    /// ICMP "echo".
    pub const V4_ECHO: u8 = 8;
    /// ICMP "time exceeded".
    pub const V4_TIME_EXCEEDED: u8 = 11;
    /// ICMP "parameter problem".
    pub const V4_PARAMETER: u8 = 12;
    /// ICMP code of "unreachable": "port unreachable".
    pub const V4_PORT: u8 = 3;
    /// ICMP code of "unreachable": "fragmentation needed and DF set".
    pub const V4_FRAGMENTATION: u8 = 4;
    /// `ICMPv6` "destination unreachable".
    pub const V6_UNREACHABLE: u8 = 1;
    /// `ICMPv6` "packet too big".
    pub const V6_TOO_BIG: u8 = 2;
    /// `ICMPv6` "time exceeded".
    pub const V6_TIME_EXCEEDED: u8 = 3;
    /// `ICMPv6` "parameter problem".
    pub const V6_PARAMETER: u8 = 4;
    /// `ICMPv6` code of "unreachable": "port unreachable".
    pub const V6_PORT: u8 = 4;
    /// `ICMPv6` "echo request".
    pub const V6_ECHO: u8 = 128;
    /// `ICMPv6` "echo reply".
    pub const V6_ECHO_REPLY: u8 = 129;

    /// Whether this is an error that quotes the packet it is about.
    #[inline(always)]
    pub const fn is_error(&self, v6: bool) -> bool {
        if v6 {
            matches!(
                self.kind,
                Self::V6_UNREACHABLE
                    | Self::V6_TOO_BIG
                    | Self::V6_TIME_EXCEEDED
                    | Self::V6_PARAMETER
            )
        } else {
            matches!(self.kind, Self::V4_UNREACHABLE | Self::V4_TIME_EXCEEDED | Self::V4_PARAMETER)
        }
    }

    /// Whether this is an echo request.
    #[inline(always)]
    pub const fn is_echo(&self, v6: bool) -> bool {
        self.kind == if v6 { Self::V6_ECHO } else { Self::V4_ECHO }
    }
}

const _: () = assert!(size_of::<Icmp>() == Icmp::LEN);
