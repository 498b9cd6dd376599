//! `STEPS`: array of words by [`Step`].
//!
//! Written by the programs when they are loaded to be watched (`lbctl trace`): what each stage
//! found out about the packet. Programs that serve a node write nothing, and the map is never
//! pinned. A word is 0 if the packet did not come that far.

/// A decision on the way of a packet, and what its word holds besides [`Step::TAKEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Step {
    /// What the destination means: bits of
    /// [`AddressValue`](super::address::AddressValue).
    Address = 0,
    /// Whether the packet belongs to a flow: 1, or 0, or [`Step::FOREIGN`].
    Flow = 1,
    /// The frontend: service id, and its kind in the upper half.
    Frontend = 2,
    /// Whether the client is in the source ranges: 1, or 0; not taken without any.
    Guard = 3,
    /// The client: 1 if it counts as inside, and 2 if it is behind a link of this node.
    Client = 4,
    /// The set to choose from: number of slots, and bits of
    /// [`Choice`](super::frontend::Choice) in the upper half.
    Choice = 5,
    /// The backend that the client is remembered with, or 0; not taken without affinity.
    Affinity = 6,
    /// The chosen backend, or 0.
    Backend = 7,
    /// What becomes of the source: bits of [`FlowValue`](super::conntrack::FlowValue), and the
    /// link to leave by in the upper half.
    Source = 8,
}

impl Step {
    /// How many there are.
    pub const COUNT: usize = 9;
    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Address,
        Self::Flow,
        Self::Frontend,
        Self::Guard,
        Self::Client,
        Self::Choice,
        Self::Affinity,
        Self::Backend,
        Self::Source,
    ];
    /// The packet came this far.
    pub const TAKEN: u64 = 1 << 63;

    /// The packet belongs to a flow of another proxy.
    pub const FOREIGN: u64 = 2;

    /// A word of two halves; the highest bit of the upper one is lost.
    #[inline(always)]
    pub const fn word(low: u32, high: u32) -> u64 {
        low as u64 | (high as u64) << 32
    }
}
