//! Source ports for flows whose source is replaced.
//!
//! A client keeps its own port if that is free. Otherwise a bounded number of candidates is
//! tried; the conntrack map decides, because a reply half can be inserted only once.

use crate::wire::Port;

/// First port of the search. Below are the ports that need privileges (RFC 6335 section 6).
pub const FIRST: u16 = 1024;
/// How many ports the search covers: 1024 to 65535.
pub const SPAN: u32 = 65_536 - FIRST as u32;
/// Candidates per new flow, the client's own port included.
pub const TRIES: u32 = 16;

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
