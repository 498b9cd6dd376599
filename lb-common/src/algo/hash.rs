//! Flow hashes: which slot of a range a new flow takes.
//!
//! The choice is a function of the 5-tuple and a seed, not of chance: a flow whose entry was
//! evicted chooses the same backend again as long as the set is the same.

use crate::flow::FlowKey;

/// Multiplier of Knuth's multiplicative hashing: 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One round: every bit of `word` reaches the high half of the state.
#[inline(always)]
const fn mix(state: u64, word: u64) -> u64 {
    let x = (state ^ word).wrapping_mul(GOLDEN);
    x ^ (x >> 32)
}

/// A 32-bit hash of a flow; `seed` keeps strangers from aiming at a backend.
#[inline(always)]
pub fn flow(key: &FlowKey, seed: u64) -> u32 {
    let words: &[u64; 5] = bytemuck::cast_ref(key);
    let mut state = seed;
    for word in words {
        state = mix(state, *word);
    }
    (mix(state, GOLDEN) >> 32) as u32
}

/// Spreads a hash over `len` places: 0 to `len - 1`, or 0 if `len` is 0.
#[inline(always)]
pub const fn place(hash: u32, len: u32) -> u32 {
    ((hash as u64 * len as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Edge;
    use crate::wire::{Addr, IpProto, Port};

    fn key(client: [u8; 4], sport: u16) -> FlowKey {
        FlowKey {
            src: Addr::v4(client),
            dst: Addr::v4([10, 96, 0, 1]),
            sport: Port::new(sport),
            dport: Port::new(80),
            proto: IpProto::TCP,
            edge: Edge::INGRESS,
            zero: [0; 2],
        }
    }

    fn spread(keys: impl Iterator<Item = FlowKey>, len: u32) -> (u32, u32) {
        let mut counts = [0_u32; 64];
        for k in keys {
            counts[place(flow(&k, 42), len) as usize] += 1;
        }
        let used = &counts[..len as usize];
        (*used.iter().min().unwrap(), *used.iter().max().unwrap())
    }

    #[test]
    fn consecutive_ports_spread_evenly() {
        let (min, max) = spread((0..30_000).map(|i| key([192, 0, 2, 1], 20_000 + i)), 3);
        assert!(min > 9_700 && max < 10_300, "{min} to {max}");
    }

    #[test]
    fn every_second_port_spreads_evenly() {
        // Linux gives even ephemeral ports to connect() first.
        let (min, max) = spread((0..14_000).map(|i| key([192, 0, 2, 1], 32_768 + 2 * i)), 7);
        assert!(min > 1_800 && max < 2_200, "{min} to {max}");
    }

    #[test]
    fn consecutive_clients_spread_evenly() {
        let (min, max) = spread((0..64_000_u32).map(|i| key(i.to_be_bytes(), 4_000)), 64);
        assert!(min > 850 && max < 1_150, "{min} to {max}");
    }

    #[test]
    fn place_stays_inside() {
        assert_eq!(place(u32::MAX, 3), 2);
        assert_eq!(place(0, 3), 0);
        assert_eq!(place(u32::MAX, 0), 0);
    }
}
