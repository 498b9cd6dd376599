//! CRC32c (Castagnoli) of packets whose ports change: SCTP's checksum (RFC 9260 appendix A).
//!
//! A CRC is linear: changing bytes changes it by the CRC of the difference alone, whatever else is
//! in the packet. The difference is a polynomial, and what follows it only multiplies it by a
//! power of x, so the payload is never read. Bits are reflected, as everywhere with this CRC: the
//! highest bit of a word is the coefficient of x^0.

/// The polynomial 0x1EDC6F41 (RFC 9260 appendix A), reflected.
const POLY: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;
/// x^(8 * n): what n bytes that follow multiply by.
static SHIFTS: [u32; 256] = powers(byte());
/// x^(8 * 256 * n): what n times 256 bytes that follow multiply by.
static LONG_SHIFTS: [u32; 256] = powers(long());

/// x^8: one byte.
const fn byte() -> u32 {
    ONE >> 8
}

/// x^(8 * 256): 256 bytes, by doubling.
const fn long() -> u32 {
    let (mut power, mut doubled) = (byte(), 0);
    while doubled < 8 {
        power = multiply(power, power);
        doubled += 1;
    }
    power
}

/// The powers of a polynomial, from the 0th on.
#[expect(clippy::indexing_slicing, reason = "the compiler computes it, and would notice")]
const fn powers(base: u32) -> [u32; 256] {
    let mut table = [ONE; 256];
    let mut n = 1;
    while n < 256 {
        table[n] = multiply(table[n - 1], base);
        n += 1;
    }
    table
}

/// The product of two polynomials modulo [`POLY`]; without a branch, which a BPF verifier would
/// have to follow both ways 32 times.
#[inline(never)]
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut shifted, mut bit) = (0, b, 0);
    while bit < 32 {
        let set = (a >> (31 - bit)) & 1;
        product ^= shifted & set.wrapping_neg();
        shifted = (shifted >> 1) ^ (POLY & (shifted & 1).wrapping_neg());
        bit += 1;
    }
    product
}

/// What to exclusive-or to the CRC (in the machine's order of a little-endian field) of a packet of
/// `len` bytes whose first four bytes changed by `change` (old exclusive-or new, as they travel).
/// `len` counts modulo 2^16.
#[expect(clippy::indexing_slicing, reason = "a byte counts to 256")]
#[inline(always)]
pub fn diff(change: [u8; 4], len: u32) -> u32 {
    let [low, high, ..] = len.to_le_bytes();
    let shift = multiply(SHIFTS[usize::from(low)], LONG_SHIFTS[usize::from(high)]);
    multiply(shift, u32::from_le_bytes(change))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// By the definition: a bit at a time.
    fn crc(bytes: &[u8]) -> u32 {
        let mut register = u32::MAX;
        for byte in bytes {
            register ^= u32::from(*byte);
            for _ in 0..8 {
                let low = register & 1;
                register >>= 1;
                if low == 1 {
                    register ^= POLY;
                }
            }
        }
        !register
    }

    #[test]
    fn rfc_3720_vectors() {
        // RFC 3720 appendix B.4: 32 bytes of zeros, of ones, counting up.
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn no_change_makes_no_difference() {
        assert_eq!(diff([0; 4], 1234), 0);
    }

    proptest! {
        #[test]
        fn difference_equals_recomputation(
            mut packet in proptest::collection::vec(any::<u8>(), 4..1600),
            new in any::<[u8; 4]>(),
        ) {
            let before = crc(&packet);
            let mut change = new;
            for (byte, old) in change.iter_mut().zip(&packet) {
                *byte ^= old;
            }
            packet[..4].copy_from_slice(&new);
            prop_assert_eq!(before ^ diff(change, packet.len() as u32), crc(&packet));
        }
    }
}
