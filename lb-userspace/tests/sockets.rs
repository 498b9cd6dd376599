//! UDP sockets that are closed because their endpoint is gone, in a network namespace of the
//! test's own thread; it needs root. What `SOCKETS` would say is told by the test: the programs
//! that fill it are at work in `xtask/tests/netns`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use anyhow::bail;
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::sockets::{Closer, try_out};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::LinkUnspec;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The endpoint's cell and its generation.
const CELL: u32 = 7;
const GENERATION: u32 = 4;

/// A server at an address, and what the programs would have remembered of its clients.
struct Endpoint {
    socket: UdpSocket,
    /// The cell and the generation that they were led to.
    led: Option<(u32, u32)>,
}

impl Endpoint {
    fn new(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        Self { socket, led: Some((CELL, GENERATION)) }
    }

    fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A socket that is connected to it.
    fn client(&self) -> UdpSocket {
        client((self.addr().ip(), 0).into(), self.addr())
    }

    /// One that talks IPv4 through IPv6.
    fn mapped_client(&self) -> UdpSocket {
        let to = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), self.addr().port());
        client((Ipv6Addr::UNSPECIFIED, 0).into(), to.into())
    }

    /// The endpoint goes: its sockets are looked for; how many were closed.
    fn go(&self) -> usize {
        self.gone().close(|key| Ok(self.entry(key)))
    }

    /// The endpoint goes, and nobody has looked for its sockets yet.
    fn gone(&self) -> Closer {
        let (addr, port) = (self.addr().ip().into(), Port::new(self.addr().port()));
        let before = BackendValue {
            addr,
            port,
            proto: IpProto::UDP,
            flags: 0,
            service: 1,
            generation: GENERATION,
            zero: [0; 4],
        };
        let after = BackendValue { generation: GENERATION + 1, ..before };
        let mut closer = Closer::default();
        closer.note(CELL, &before, &after);
        closer
    }

    fn entry(&self, key: &SocketKey) -> Option<SocketValue> {
        let expected = (self.addr().ip().into(), Port::new(self.addr().port()), Edge::INGRESS);
        assert_eq!((key.addr, key.port, key.edge), expected);
        assert_ne!(key.cookie, 0);
        let (addr, port) = (Addr::ANY, Port::new(53));
        self.led.map(|(backend, generation)| SocketValue {
            addr,
            port,
            zero: [0; 6],
            backend,
            generation,
        })
    }
}

fn client(own: SocketAddr, to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind(own).unwrap();
    client.connect(to).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    client
}

/// A namespace with a loopback link and nothing else.
fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let up = LinkUnspec::new_with_index(if_nametoindex("lo").unwrap()).up().build();
        handle.link().set(up).execute().await.unwrap();
    });
}

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw)
}

/// Asks, and is answered.
fn talks(client: &UdpSocket, server: &UdpSocket) -> bool {
    let mut buffer = [0; 16];
    client.send(b"ask").unwrap();
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", from).unwrap();
    client.recv(&mut buffer).is_ok()
}

#[test]
fn a_process_hears_of_it_once_and_can_connect_again() {
    enter_namespace();
    for ip in [V4, V6] {
        let (gone, next) = (Endpoint::new(ip), Endpoint::new(ip));
        let client = gone.client();
        assert_eq!(gone.go(), 1);
        assert_eq!(errno(client.recv(&mut [0; 16])), Some(Errno::ECONNABORTED));
        assert_eq!(errno(client.send(b"ask")), Some(Errno::EDESTADDRREQ));
        assert_eq!(errno(client.peer_addr()), Some(Errno::ENOTCONN));
        client.connect(next.addr()).unwrap();
        assert!(talks(&client, &next.socket));
    }
}

#[test]
fn a_process_that_asks_first_hears_of_it_too() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    let client = gone.client();
    assert_eq!(gone.go(), 1);
    assert_eq!(errno(client.send(b"ask")), Some(Errno::EDESTADDRREQ));
    assert_eq!(errno(client.recv(&mut [0; 16])), Some(Errno::ECONNABORTED));
}

#[test]
fn a_process_that_waits_for_an_answer_is_woken() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    let client = gone.client();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let waiting = std::thread::spawn(move || errno(client.recv(&mut [0; 16])));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(gone.go(), 1);
    assert_eq!(waiting.join().unwrap(), Some(Errno::ECONNABORTED));
}

#[test]
fn every_socket_of_the_endpoint_is_found() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    // More than one message of the kernel's list holds.
    let clients: Vec<UdpSocket> = (0..200).map(|_| gone.client()).collect();
    let mapped: Vec<UdpSocket> = (0..200).map(|_| gone.mapped_client()).collect();
    assert_eq!(gone.go(), 400);
    for client in clients.iter().chain(&mapped) {
        assert_eq!(errno(client.recv(&mut [0; 16])), Some(Errno::ECONNABORTED));
    }
    assert_eq!(gone.go(), 0, "they are closed already");
}

#[test]
fn sockets_of_others_are_left_alone() {
    enter_namespace();
    let (gone, other) = (Endpoint::new(V4), Endpoint::new(V4));
    let (at_another, unconnected) = (other.client(), UdpSocket::bind((V4, 0)).unwrap());
    assert_eq!(gone.go(), 0);
    assert!(talks(&at_another, &other.socket));
    assert_eq!(errno(unconnected.take_error().map(drop)), None);
}

#[test]
fn a_socket_that_came_by_itself_or_by_another_service_is_left_alone() {
    enter_namespace();
    for led in [None, Some((CELL + 1, GENERATION)), Some((CELL, GENERATION - 1))] {
        let gone = Endpoint { led, ..Endpoint::new(V4) };
        let client = gone.client();
        assert_eq!(gone.go(), 0);
        assert!(talks(&client, &gone.socket));
    }
}

#[test]
fn a_process_that_closes_its_socket_first_keeps_no_other_from_being_found() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    let first = RefCell::new(Some(gone.client()));
    let second = gone.client();
    let closed = gone.gone().close(|key| {
        first.take();
        Ok(gone.entry(key))
    });
    assert_eq!(closed, 1);
    assert_eq!(errno(second.recv(&mut [0; 16])), Some(Errno::ECONNABORTED));
}

#[test]
fn a_socket_that_is_connected_too_late_is_found_by_the_second_look() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    let mut closer = gone.gone();
    assert_eq!(closer.close(|key| Ok(gone.entry(key))), 0);
    assert!(closer.is_unfinished());
    let late = gone.client();
    assert_eq!(closer.close(|key| Ok(gone.entry(key))), 0, "there is nothing new");
    assert_eq!(closer.close_late(|key| Ok(gone.entry(key))), 1);
    assert_eq!(errno(late.recv(&mut [0; 16])), Some(Errno::ECONNABORTED));
    assert!(!closer.is_unfinished());
}

#[test]
fn nothing_is_asked_while_nothing_goes() {
    let mut closer = Closer::default();
    assert_eq!(closer.close(|_| bail!("asked")), 0);
    assert!(!closer.is_unfinished());
}

#[test]
fn a_table_that_cannot_be_read_closes_nothing() {
    enter_namespace();
    let gone = Endpoint::new(V4);
    let client = gone.client();
    assert_eq!(gone.gone().close(|_| bail!("no rights")), 0);
    assert!(talks(&client, &gone.socket));
}

#[test]
fn the_kernel_closes_sockets_and_a_namespace_without_loopback_is_told_apart() {
    enter_namespace();
    try_out().unwrap();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let error = format!("{:#}", try_out().unwrap_err());
    assert!(error.contains("connecting to 127.0.0.1"), "{error}");
}
