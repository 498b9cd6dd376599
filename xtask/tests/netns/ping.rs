//! Echo requests (RFC 792, RFC 4443) at a Service's own address: by default nobody answers, with
//! `--answer-ping` the address does as long as somebody stands behind it.

use crate::patience::eventually;
use crate::stage::{PODS, Stage, VIPS};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv,
    send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use xtask::lab::Host;

/// The Service without endpoints.
const EMPTY: [&str; 2] = ["10.96.0.40", "fd00:10:96::40"];

/// An address of the range that no Service has.
const NOBODYS: [&str; 2] = ["10.96.0.99", "fd00:10:96::99"];

/// An answer that takes longer is none.
const PATIENCE_US: i64 = 200_000;

#[test]
fn by_default_a_virtual_address_answers_no_ping() {
    let stage = stage(&[]);
    for from in [&stage.network.shell, &stage.network.client] {
        // What the lab does by itself.
        assert!(answers(from, "10.244.0.11") && answers(from, "fd00:10:244::11"));
        for to in VIPS {
            assert!(!answers(from, to), "{to} answers {}", from.name());
        }
    }
}

#[test]
fn with_answer_ping_an_address_answers_while_it_has_endpoints() {
    let stage = stage(&["--answer-ping"]);
    let from = [&stage.network.shell, &stage.network.client];
    for from in from {
        for to in VIPS {
            assert!(answers(from, to), "{to} does not answer {}", from.name());
        }
        for to in [EMPTY, NOBODYS].concat() {
            assert!(!answers(from, to), "{to} answers {}", from.name());
        }
    }
    for name in PODS {
        stage.remove(&format!("pod-{name}.yaml"));
    }
    for from in from {
        for to in VIPS {
            eventually(&format!("{to} does not answer any more"), || !answers(from, to));
        }
    }
}

/// With a Service without endpoints too.
fn stage(flags: &[&str]) -> Stage {
    let stage = Stage::with_files(&[("empty.yaml", include_str!("manifests/empty.yaml"))], flags);
    for host in [&stage.network.shell, &stage.network.client] {
        host.sysctl("net.ipv4.ping_group_range", "0 0").unwrap();
    }
    stage
}

/// Whether an echo request is answered by the address that was asked, with what it carried.
fn answers(from: &Host, to: &str) -> bool {
    let to: IpAddr = to.parse().unwrap();
    let answer = from.within(|| Ok(ping(to, b"is anybody there?"))).unwrap();
    answer.is_ok_and(|payload| payload == b"is anybody there?")
}

/// The payload of the answer. The kernel writes identifier and checksum, and takes no answer
/// but that of the socket's peer.
fn ping(to: IpAddr, payload: &[u8]) -> nix::Result<Vec<u8>> {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128),
    };
    let socket = socket(family, SockType::Datagram, SockFlag::empty(), protocol)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, PATIENCE_US))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(to, 0)))?;
    let request = [&[kind, 0, 0, 0, 0, 0, 0, 1], payload].concat();
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = vec![0; 2000];
    let len = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    Ok(answer[..len].get(8..).unwrap_or_default().to_vec())
}
