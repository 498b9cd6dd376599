//! `cargo xtask bench`: figures, measured and compared within one run.

/// Packets.
mod datapath;
/// Names.
mod dns;

use anyhow::Result;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to measure
    #[command(subcommand)]
    subject: Subject,
}

/// What can be measured.
#[derive(Clone, Debug, clap::Subcommand)]
enum Subject {
    /// Nanoseconds a packet of the real programs, and of one LRU hit to compare with
    ///
    /// A packet is restored before each run and the cost of an empty program is taken off.
    /// Figures of one run compare with each other; those of different machines do not.
    Datapath(datapath::Options),
    /// The name server beside `CoreDNS`: questions a second and how long answers take, by dnsperf
    ///
    /// Both follow the same cluster of 1,000 Services by the same API server and ask the same
    /// upstream; both have one processor for themselves, and dnsperf has another. They are measured
    /// in turns, round after round. Ratios of one run mean something; figures of different machines
    /// do not compare. `CoreDNS` is built under target/tools, which needs Go; dnsperf comes from the
    /// system.
    Dns(dns::Options),
}

/// Builds what is missing, then measures as root.
pub fn run(options: &Options) -> Result<()> {
    match &options.subject {
        Subject::Datapath(options) => datapath::run(*options),
        Subject::Dns(options) => dns::run(options),
    }
}
