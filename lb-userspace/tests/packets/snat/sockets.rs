//! Ports that processes of the node use: a masqueraded client that took one would take the answers
//! that are meant for the process.

use super::{answered, asked, client, masqueraded, serve_elsewhere};
use crate::case::{Case, TARGET_PORT};
use crate::rig::{LINK, Rig, each_of, each_routed, each_routed_of};
use crate::tables::{HERE, leading_to};
use lb_common::layout::node::LinkValue;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// A socket of the node.
#[expect(dead_code, reason = "they are there, and do nothing")]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Binds a socket of the case's protocol; of the other one if `other`.
fn bind(case: Case, at: SocketAddr, other: bool) -> Socket {
    if case.is_tcp() == other {
        Socket::Udp(UdpSocket::bind(at).unwrap())
    } else {
        Socket::Tcp(TcpListener::bind(at).unwrap())
    }
}

/// Every address of the node.
fn any(case: Case, port: u16) -> SocketAddr {
    let addr: IpAddr =
        if case.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(addr, port)
}

#[test]
fn a_client_leaves_its_port_to_a_socket_that_has_it() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let socket = bind(case, any(case, 20_000), false);
        let port = masqueraded(rig, uplink, &asked(case));
        assert_ne!(port, 20_000);
        answered(rig, uplink, port, client(case));
        // It keeps what it got.
        drop(socket);
        let later = case.later(client(case), case.vip());
        assert_eq!(masqueraded(rig, uplink, &later), port);
        let next = case.opening(case.on_uplink(2, 20_000), case.vip());
        assert_eq!(masqueraded(rig, uplink, &next), 20_000, "nobody has it any more");
    });
}

#[test]
fn a_socket_at_the_nodes_own_address_has_its_port() {
    // An IPv6 address is nobody's for the first second.
    each_routed_of(Case::all().filter(|case| !case.v6), |rig, uplink| {
        serve_elsewhere(rig);
        let _socket = bind(rig.case, SocketAddr::new(rig.case.node(), 20_000), false);
        assert_ne!(masqueraded(rig, uplink, &asked(rig.case)), 20_000);
    });
}

#[test]
fn sockets_of_other_ports_addresses_and_protocols_do_not_matter() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let loopback: IpAddr =
            if case.v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let _sockets = [
            bind(case, any(case, 20_001), false),
            bind(case, any(case, 20_000), true),
            bind(case, SocketAddr::new(loopback, 20_000), false),
        ];
        assert_eq!(masqueraded(rig, uplink, &asked(case)), 20_000);
    });
}

#[test]
fn a_client_whose_address_is_kept_has_a_port_of_its_own() {
    each_routed(|rig, _| {
        let case = rig.case;
        rig.serve(1);
        let _socket = bind(case, any(case, 20_000), false);
        assert_eq!(rig.chosen(&asked(case)), case.backend(1));
    });
}

#[test]
fn a_client_that_is_its_own_backend_leaves_its_port_too() {
    each_of(Case::all(), |rig| {
        let case = rig.case;
        let choice = rig.behind(&[case.pod(TARGET_PORT)], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.link(LINK, LinkValue::POD, Some(case.node()));
        let port = |rig: &mut Rig, from| {
            let out = rig.send(&case.opening(case.pod(from), case.vip()));
            out.frame().src().port()
        };
        assert_eq!(port(rig, 19_000), 19_000);
        let _socket = bind(case, any(case, 20_000), false);
        assert_ne!(port(rig, 20_000), 20_000);
    });
}
