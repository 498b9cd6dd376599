//! Inputs to other inputs, for targets whose inputs have a form: JSON documents that stay JSON,
//! packets that stay packets.
//!
//! The form of a file is its meaning and nothing else, so a file found by one mutator means the
//! same after the mutator has changed.

/// JSON documents.
pub mod json;

use fastrand::Rng;

/// libFuzzer's mutation of bytes: a buffer, how much of it is used, how much of it may be; gives
/// how much of it is used then.
pub type Bytes = fn(&mut [u8], usize, usize) -> usize;

/// Where the next decisions come from: the same seed, the same mutation.
pub struct Chance {
    /// Numbers.
    pub rng: Rng,
    bytes: Bytes,
}

impl Chance {
    /// Decisions that follow from `seed`.
    pub fn new(seed: u32, bytes: Bytes) -> Self {
        Self { rng: Rng::with_seed(seed.into()), bytes }
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.rng.usize(..choices.len())]
    }

    /// Bytes as libFuzzer would change them, at most `room` longer.
    pub fn changed(&mut self, bytes: &[u8], room: usize) -> Vec<u8> {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + room, 0);
        let max = buffer.len();
        let len = (self.bytes)(&mut buffer, bytes.len(), max);
        buffer.truncate(len);
        buffer
    }
}

/// Puts `input` into libFuzzer's buffer in place of the first `size` bytes, unless it is longer than
/// `max`; gives how many bytes of the buffer are used then.
pub fn replace(data: &mut [u8], size: usize, max: usize, input: &[u8]) -> usize {
    if input.len() > max {
        return size;
    }
    data[..input.len()].copy_from_slice(input);
    input.len()
}
