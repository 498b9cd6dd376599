//! Why a packet that is ours was not simply translated.

/// The reasons that are counted (`REASONS`) and shown. Numbers are part of the map layout:
/// append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The service has no usable endpoint: the client is refused.
    NoEndpoint = 0,
    /// No usable endpoint on this node, and the traffic policy is `Local`: dropped.
    NoLocalEndpoint = 1,
    /// No free source port within the search: dropped.
    SourcePortsExhausted = 2,
    /// The flow could not be stored: dropped.
    FlowTable = 3,
    /// No route to the backend, or no address to masquerade with: dropped.
    NoRoute = 4,
    /// The hop limit ended here (RFC 791, RFC 8200): the client is told.
    HopLimit = 5,
    /// Headers or lengths contradict each other: passed on untouched.
    Malformed = 6,
    /// A fragment that came before the first of its datagram: held.
    FragmentHeld = 7,
    /// A slot named a backend of another service; the client tries again: dropped.
    StaleSlot = 8,
    /// The kernel refused to change the packet: dropped.
    Rewrite = 9,
    /// The client is in none of the Service's `loadBalancerSourceRanges`: dropped.
    SourceRange = 10,
    /// The virtual address has no Service at this port: the client is refused.
    NoPort = 11,
    /// Too big for the link to the backend, and may not be fragmented: the client is told the
    /// size.
    TooBig = 12,
    /// A fragment that cannot be held until the first of its datagram comes, or the first of an
    /// SCTP packet whose port would change: dropped.
    FragmentLost = 13,
    /// More IPv6 extension headers than are walked: passed on untouched.
    Headers = 14,
    /// An echo request to a virtual address: answered.
    Echo = 15,
    /// A program that should go on with the packet is missing: dropped.
    Stage = 16,
}

/// What becomes of such a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It ends here, and nobody is told.
    Dropped,
    /// It is turned into an answer to the client.
    Answered,
    /// It goes on untouched.
    Passed,
    /// It waits for another one.
    Held,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 17;

    /// All of them, by number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NoEndpoint,
        Self::NoLocalEndpoint,
        Self::SourcePortsExhausted,
        Self::FlowTable,
        Self::NoRoute,
        Self::HopLimit,
        Self::Malformed,
        Self::FragmentHeld,
        Self::StaleSlot,
        Self::Rewrite,
        Self::SourceRange,
        Self::NoPort,
        Self::TooBig,
        Self::FragmentLost,
        Self::Headers,
        Self::Echo,
        Self::Stage,
    ];

    /// Whether the client is told: the packet itself is turned into the answer.
    #[inline(always)]
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::NoEndpoint | Self::NoPort | Self::TooBig | Self::HopLimit | Self::Echo)
    }

    /// What becomes of the packet.
    pub const fn fate(self) -> Fate {
        match self {
            Self::NoEndpoint | Self::NoPort | Self::TooBig | Self::HopLimit | Self::Echo => {
                Fate::Answered
            }
            Self::Malformed | Self::Headers => Fate::Passed,
            Self::FragmentHeld => Fate::Held,
            Self::NoLocalEndpoint
            | Self::SourcePortsExhausted
            | Self::FlowTable
            | Self::NoRoute
            | Self::StaleSlot
            | Self::Rewrite
            | Self::SourceRange
            | Self::FragmentLost
            | Self::Stage => Fate::Dropped,
        }
    }

    /// The name used in tables, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEndpoint => "NoEndpoint",
            Self::NoLocalEndpoint => "NoLocalEndpoint",
            Self::SourcePortsExhausted => "SourcePortsExhausted",
            Self::FlowTable => "FlowTable",
            Self::NoRoute => "NoRoute",
            Self::HopLimit => "HopLimit",
            Self::Malformed => "Malformed",
            Self::FragmentHeld => "FragmentHeld",
            Self::StaleSlot => "StaleSlot",
            Self::Rewrite => "Rewrite",
            Self::SourceRange => "SourceRange",
            Self::NoPort => "NoPort",
            Self::TooBig => "TooBig",
            Self::FragmentLost => "FragmentLost",
            Self::Headers => "Headers",
            Self::Echo => "Echo",
            Self::Stage => "Stage",
        }
    }

    /// What happened and what it means, in a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoEndpoint => "refused: the service has no usable endpoint",
            Self::NoLocalEndpoint => {
                "dropped: the traffic policy is Local and this node has no usable endpoint"
            }
            Self::SourcePortsExhausted => "dropped: no free source port to masquerade with",
            Self::FlowTable => "dropped: the flow table refused a new entry",
            Self::NoRoute => "dropped: no route to the backend, or the leaving link has no address",
            Self::HopLimit => "refused: the hop limit (TTL) ended at this node; the client is told",
            Self::Malformed => "passed untouched: headers or lengths contradict each other",
            Self::FragmentHeld => "held: a fragment came before the first of its datagram",
            Self::StaleSlot => "dropped: the service changed while the packet was handled",
            Self::Rewrite => "dropped: the kernel could not make the packet writable",
            Self::SourceRange => "dropped: the client is not in loadBalancerSourceRanges",
            Self::NoPort => "refused: no Service has this port at the virtual address",
            Self::TooBig => {
                "refused: too big for the link to the backend; the client is told the size"
            }
            Self::FragmentLost => "dropped: a fragment that could neither be translated nor held",
            Self::Headers => "passed untouched: more IPv6 extension headers than are walked",
            Self::Echo => "answered: an echo request to a virtual address",
            Self::Stage => "dropped: a program that should go on with the packet is missing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fate_and_sentence_and_programs_agree() {
        for reason in Reason::ALL {
            let words = match reason.fate() {
                Fate::Dropped => ["dropped:", "dropped:"],
                Fate::Answered => ["refused:", "answered:"],
                Fate::Passed => ["passed untouched:", "passed untouched:"],
                Fate::Held => ["held:", "held:"],
            };
            assert!(words.iter().any(|word| reason.sentence().starts_with(word)), "{reason:?}");
            assert_eq!(reason.fate() == Fate::Answered, reason.is_answered(), "{reason:?}");
        }
    }
}
