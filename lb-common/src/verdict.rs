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
    /// The hop limit ended here (RFC 791, RFC 8200): dropped.
    HopLimit = 5,
    /// Headers or lengths contradict each other: passed on untouched.
    Malformed = 6,
    /// A fragment: passed on untouched.
    Fragment = 7,
    /// A slot named a backend of another service; the client tries again: dropped.
    StaleSlot = 8,
    /// The kernel refused to change the packet: dropped.
    Rewrite = 9,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// All of them, by number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NoEndpoint,
        Self::NoLocalEndpoint,
        Self::SourcePortsExhausted,
        Self::FlowTable,
        Self::NoRoute,
        Self::HopLimit,
        Self::Malformed,
        Self::Fragment,
        Self::StaleSlot,
        Self::Rewrite,
    ];

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
            Self::Fragment => "Fragment",
            Self::StaleSlot => "StaleSlot",
            Self::Rewrite => "Rewrite",
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
            Self::HopLimit => "dropped: the hop limit (TTL) ended at this node",
            Self::Malformed => "passed untouched: headers or lengths contradict each other",
            Self::Fragment => "passed untouched: an IP fragment",
            Self::StaleSlot => "dropped: the service changed while the packet was handled",
            Self::Rewrite => "dropped: the kernel could not make the packet writable",
        }
    }
}
