//! What is expected of reports: each expectation fails with the whole report.

use std::net::{IpAddr, SocketAddr};
use xtask::lab::Host;
use xtask::lab::traffic::connect::{Options, Report};

/// Connects from `host`; nothing may fail.
pub(crate) fn answered(host: &Host, options: &Options) -> Report {
    let report = host.connect(options).unwrap();
    let failed = report.errors_len() + options.count - report.replies_len();
    assert_eq!(failed, 0, "{} to {}: {report:?}", host.name(), options.to);
    report
}

/// HTTP over TCP, some connections at a time.
pub(crate) fn http(to: SocketAddr, count: u32) -> Options {
    Options::to(to).count(count).parallel(8)
}

/// Datagrams from sockets that are not connected.
pub(crate) fn datagrams(to: SocketAddr, count: u32) -> Options {
    Options { datagram: true, ..http(to, count) }
}

/// A datagram each from connected sockets.
pub(crate) fn connected(to: SocketAddr, count: u32) -> Options {
    Options { udp: true, ..http(to, count) }
}

/// Exactly `names` answer, and each at least once. Every server of three is missed by 40
/// connections once in ten million times.
pub(crate) fn answer(host: &Host, options: &Options, names: &[&str]) -> Report {
    let report = answered(host, options);
    let (from, to) = (host.name(), options.to);
    assert!(report.replies.keys().eq(names), "{from} to {to}: not {names:?} but {report:?}");
    report
}

/// Nobody answers, and every failure is one of these kinds.
pub(crate) fn fails(host: &Host, options: &Options, kinds: &[&str]) {
    let report = host.connect(options).unwrap();
    let (from, to) = (host.name(), options.to);
    let expected = report.replies.is_empty()
        && !report.errors.is_empty()
        && report.errors.keys().all(|kind| kinds.contains(&kind.as_str()));
    assert!(expected, "{from} to {to}: not only {kinds:?}: {report:?}");
}

/// The servers see the client at this address alone.
pub(crate) fn seen_as(host: &Host, options: &Options, address: &str) {
    let report = answered(host, options);
    let address: IpAddr = address.parse().unwrap();
    let (from, to) = (host.name(), options.to);
    assert!(report.seen_as.iter().eq([&address]), "{from} to {to}: not {address} but {report:?}");
}

/// Every way of talking to one service, by its HTTP and its UDP port.
pub(crate) fn all_ways(http_at: SocketAddr, udp_at: SocketAddr, count: u32) -> [Options; 3] {
    [http(http_at, count), datagrams(udp_at, count), connected(udp_at, count)]
}
