//! Pure arithmetic: total functions without memory, panics or I/O.

/// CRC32c of packets whose ports change (RFC 9260 appendix A).
pub mod crc32c;
/// One's complement sums (RFC 1071, RFC 1624).
pub mod checksum;
/// Flow hashes.
pub mod hash;
/// Maglev look-up tables (NSDI 2016, section 3.4).
pub mod maglev;
/// Source ports for masqueraded flows.
pub mod source_port;
/// What has been seen of a connection.
pub mod tcp_state;
