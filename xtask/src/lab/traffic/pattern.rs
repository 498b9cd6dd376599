//! Bytes that tell their own place in a stream: what is lost, doubled or swapped shows.

/// A prime, so that no segment or page size divides it.
const PERIOD: u64 = 65_521;

/// An endless stream of known bytes.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    /// The only one there is.
    pub(super) fn new() -> Self {
        let byte = |place: u64| (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        Self((0..PERIOD).map(byte).collect())
    }

    /// Some bytes from `offset` on: at least one, at most `len`.
    pub(super) fn at(&self, offset: u64, len: u64) -> &[u8] {
        let start = usize::try_from(offset % PERIOD).unwrap_or_default();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let rest = self.0.get(start..).unwrap_or_default();
        rest.get(..len).unwrap_or(rest)
    }

    /// The first offset where `bytes`, which begin at `offset`, are not what they should be.
    pub(super) fn difference(&self, mut offset: u64, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            let expected = self.at(offset, bytes.len() as u64);
            let (now, rest) = bytes.split_at_checked(expected.len())?;
            if now != expected {
                let equal = now.iter().zip(expected).take_while(|(one, other)| one == other);
                return Some(offset + equal.count() as u64);
            }
            offset += expected.len() as u64;
            bytes = rest;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_equals_itself_across_its_period() {
        let pattern = Pattern::new();
        let mut bytes = pattern.at(65_000, 10_000).to_vec();
        bytes.extend(pattern.at(65_521, 1_000));
        assert_eq!(pattern.difference(65_000, &bytes), None);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let pattern = Pattern::new();
        let mut bytes = pattern.at(100, 50).to_vec();
        bytes[7] ^= 1;
        assert_eq!(pattern.difference(100, &bytes), Some(107));
    }

    #[test]
    fn a_shift_by_a_segment_is_found() {
        let pattern = Pattern::new();
        assert!(pattern.difference(0, pattern.at(1_448, 1_448)).is_some());
    }
}
