//! Source ports for flows whose source is replaced.
//!
//! A client keeps its own port if that is free and of no use to the node itself: processes of the
//! node connect from the same address, and their kernel chooses ports from 32768 on without asking
//! us. Otherwise a bounded number of candidates is tried; the conntrack map decides, because a
//! reply half can be inserted only once.

use crate::wire::Port;

/// First port of the search. Below are the ports that need privileges (RFC 6335 section 6).
pub const FIRST: u16 = 1024;
/// How many ports the search covers: 1024 to 29999, below node ports (30000) and what kernels
/// choose for themselves (`net.ipv4.ip_local_port_range`, from 32768).
pub const SPAN: u32 = 30_000 - FIRST as u32;
/// Candidates per new flow, the client's own port included.
pub const TRIES: u32 = 16;

/// Whether a client whose address is replaced may keep its port.
#[inline(always)]
pub const fn may_stay(own: Port) -> bool {
    (own.number() as u32) < FIRST as u32 + SPAN
}

/// The `attempt`-th candidate: 0 is the client's own port, the rest are spread by `hash`.
#[inline(always)]
pub const fn candidate(own: Port, hash: u32, attempt: u32) -> Port {
    if attempt == 0 {
        return own;
    }
    // 4099 is prime and no divisor of SPAN, so candidates do not repeat within TRIES.
    let offset = (hash as u64 + attempt as u64 * 4099) % SPAN as u64;
    Port::new(FIRST + offset as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn candidates_differ_and_need_no_privilege(hash in any::<u32>(), own in any::<u16>()) {
            let mut seen = std::collections::BTreeSet::new();
            for attempt in 1..TRIES {
                let port = candidate(Port::new(own), hash, attempt).number();
                prop_assert!(port >= FIRST);
                prop_assert!(seen.insert(port), "port {port} twice");
            }
            prop_assert_eq!(candidate(Port::new(own), hash, 0).number(), own);
        }
    }
    extern crate std;
}
