//! One's complement sums (RFC 1071) and their incremental change (RFC 1624).
//!
//! A one's complement sum does not depend on byte order as long as every word is read alike
//! (RFC 1071 section 2 B), so words are taken in the machine's order and never swapped.
//!
//! A *difference* is what has to be added to the complement of a checksum when bytes change:
//! `diff = ~old + new`, and `check' = ~(~check + diff)` (RFC 1624, equation 3). It depends on the
//! bytes alone, not on the packet, so a flow computes it once.

use crate::wire::Addr;

/// The difference that replacing the word `old` by `new` makes.
#[inline(always)]
pub const fn diff(old: [u8; 2], new: [u8; 2]) -> u16 {
    add(!u16::from_ne_bytes(old), u16::from_ne_bytes(new))
}

/// The difference that replacing the address `old` by `new` makes. The prefix of mapped IPv4
/// addresses is the same in both and cancels out.
#[inline(always)]
pub fn addr_diff(old: &Addr, new: &Addr) -> u16 {
    add(!addr_sum(old), addr_sum(new))
}

/// The folded sum of an address. Words of 64 bits are folded down: carries come back in at every
/// width (RFC 1071 section 2 C).
#[inline(always)]
fn addr_sum(addr: &Addr) -> u16 {
    let [high, low]: [u64; 2] = bytemuck::cast(addr.0);
    let halves = (high >> 32) + (high & 0xffff_ffff) + (low >> 32) + (low & 0xffff_ffff);
    let words =
        (halves >> 48) + (halves >> 32 & 0xffff) + (halves >> 16 & 0xffff) + (halves & 0xffff);
    fold(words as u32)
}

/// Two differences, or two folded sums, taken together.
#[inline(always)]
pub const fn add(a: u16, b: u16) -> u16 {
    fold(a as u32 + b as u32)
}

/// A sum with its carries added back in.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// A checksum field after the bytes it covers changed by `diff`.
#[inline(always)]
pub const fn update(check: [u8; 2], diff: u16) -> [u8; 2] {
    (!add(!u16::from_ne_bytes(check), diff)).to_ne_bytes()
}

/// A UDP checksum after a change: 0 stays 0 ("none"), and a result of 0 is sent as all ones
/// (RFC 768).
#[inline(always)]
pub const fn update_udp(check: [u8; 2], diff: u16) -> [u8; 2] {
    if matches!(check, [0, 0]) {
        return check;
    }
    match update(check, diff) {
        [0, 0] => [0xff, 0xff],
        changed => changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The checksum of `bytes` by the definition: complement of the sum, big-endian words.
    fn check(bytes: &[u8]) -> u16 {
        let sum: u64 = bytes
            .chunks(2)
            .map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)))
            .sum();
        let mut sum = sum;
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn rfc_1071_example_sums_to_ddf2() {
        let addr = Addr([0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(u16::from_be_bytes(addr_sum(&addr).to_ne_bytes()), 0xddf2);
    }

    #[test]
    fn rfc_1624_example_changes_dd2f_to_0000() {
        let old = 0x5555_u16.to_be_bytes();
        let new = 0x3285_u16.to_be_bytes();
        assert_eq!(update(0xdd2f_u16.to_be_bytes(), diff(old, new)), [0, 0]);
    }

    #[test]
    fn udp_without_checksum_keeps_none() {
        assert_eq!(update_udp([0, 0], 0x1234), [0, 0]);
    }

    #[test]
    fn udp_checksum_that_becomes_zero_is_sent_as_all_ones() {
        let old = 0x5555_u16.to_be_bytes();
        let new = 0x3285_u16.to_be_bytes();
        assert_eq!(update_udp(0xdd2f_u16.to_be_bytes(), diff(old, new)), [0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn update_equals_recomputation(mut packet in any::<[u8; 40]>(), new in any::<[u8; 16]>(), at in 0_usize..12) {
            let at = at * 2;
            let before = check(&packet).to_be_bytes();
            let mut old = [0; 16];
            old.copy_from_slice(&packet[at..at + 16]);
            packet[at..at + 16].copy_from_slice(&new);
            let after = u16::from_be_bytes(update(before, addr_diff(&Addr(old), &Addr(new))));
            let expected = check(&packet);
            // 0x0000 and 0xffff are the two zeros of one's complement.
            prop_assert!(after == expected || (after ^ expected) == 0xffff && (after == 0 || expected == 0));
        }

        #[test]
        fn differences_add_up(a in any::<[u8; 2]>(), b in any::<[u8; 2]>(), c in any::<[u8; 2]>()) {
            let two_steps = add(diff(a, b), diff(b, c));
            let check = [0x12, 0x34];
            let (x, y) = (update(check, two_steps), update(check, diff(a, c)));
            prop_assert!(x == y || (x == [0, 0] && y == [0xff, 0xff]) || (y == [0, 0] && x == [0xff, 0xff]));
        }
    }
}
