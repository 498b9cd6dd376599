//! What the kernel tells, read from bytes that it once told, and what becomes of it.

use super::table::read;
use super::*;
use lb_common::algo::tcp_state::Progress;
use lb_common::layout::backend::BackendValue;
use proptest::prelude::*;

/// What Linux 6.18 sent about two connections: UDP over IPv6 whose client keeps its address, TCP
/// over IPv4 whose client does not.
const LIST: &str = "\
    d40000000001220001000000977a00000a0000004c0001802c00018014000300fd0000000000000000000000000000\
    0214000400fd9600000000000000000000000000201c0002800500010011000000060002009c410000060003000035\
    00004c0002802c00018014000300fd00000000000000000000000000000114000400fd000000000000000000000000\
    0000021c00028005000100110000000600020014e90000060003009c41000008000300000001aa0800080000000000\
    08000c00ba1dc76308000b0000000001080007000000001dd40000000001220001000000977a000002000000340001\
    8014000180080001000a000002080002000a6000141c0002800500010006000000060002009c400000060003000050\
    00003400028014000180080001000a000001080002000a00004d1c0002800500010006000000060002001f90000006\
    0003004e20000008000300000001be080008000000000008000c007fcd048b08000b0000000001080007000006977f\
    300004802c0001800500010003000000050002000a000000050003000a000000060004002300000006000500230000\
    00";
/// Its end.
const END: &str = "140000000300020001000000977a000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn list() -> Vec<Connection> {
    let mut connections = Vec::new();
    assert_eq!(read(&bytes(LIST), &mut connections).unwrap(), None);
    connections
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client of a pod asks a `ClusterIP` by TCP; it keeps its address.
fn asked() -> Connection {
    Connection {
        proto: IpProto::TCP,
        client: addr("10.244.0.20:40000"),
        asked: addr("10.96.0.20:80"),
        server: addr("10.244.0.11:8080"),
        answered: addr("10.244.0.20:40000"),
        progress: Progress(Progress::REPLIED),
    }
}

/// The same by way of a node port; the server sees the node.
fn masqueraded() -> Connection {
    Connection {
        client: addr("192.0.2.10:40000"),
        asked: addr("192.0.2.2:30080"),
        answered: addr("10.244.0.1:61000"),
        ..asked()
    }
}

/// A Service with a `ClusterIP` and a node port, by TCP and UDP, and one endpoint.
fn tables() -> Tables {
    let (tcp, udp) = (IpProto::TCP, IpProto::UDP);
    let mut tables = Tables::default();
    let vip = addr("10.96.0.20:80");
    tables.addresses.insert(vip.ip().into(), AddressValue::FRONTEND | AddressValue::CLUSTER_IP);
    tables.addresses.insert(addr("192.0.2.2:0").ip().into(), AddressValue::NODE_PORTS);
    for (service, proto) in [(1, tcp), (2, udp)] {
        let frontend = FrontendValue { service, ..FrontendValue::zeroed() };
        let own = FrontendKey::of(vip.ip().into(), Port::new(80), proto);
        tables.frontends.insert(own, frontend);
        tables.frontends.insert(FrontendKey::node_port(Port::new(30080), proto, false), frontend);
        let backend = BackendValue {
            addr: addr("10.244.0.11:0").ip().into(),
            port: Port::new(8080),
            proto,
            service,
            ..BackendValue::zeroed()
        };
        tables.backends.insert(service, backend);
    }
    tables
}

fn flow(connection: &Connection) -> Option<ForeignFlow> {
    let tables = tables();
    Ours::of(&tables).flow(connection, 7)
}

#[test]
fn what_the_kernel_tells_is_read() {
    let udp = Connection {
        proto: IpProto::UDP,
        client: addr("[fd00::2]:40001"),
        asked: addr("[fd96::20]:53"),
        server: addr("[fd00::1]:5353"),
        answered: addr("[fd00::2]:40001"),
        progress: Progress(Progress::REPLIED),
    };
    let tcp = Connection {
        proto: IpProto::TCP,
        client: addr("10.0.0.2:40000"),
        asked: addr("10.96.0.20:80"),
        server: addr("10.0.0.1:8080"),
        answered: addr("10.0.0.77:20000"),
        progress: Progress(Progress::REPLIED),
    };
    assert_eq!(list(), [udp, tcp]);
    assert!(tcp.is_masqueraded() && !udp.is_masqueraded());
}

#[test]
fn the_end_of_the_list_is_noticed() {
    let mut connections = Vec::new();
    let all = [bytes(LIST), bytes(END)].concat();
    assert_eq!(read(&all, &mut connections).unwrap(), Some(0));
    assert_eq!(connections.len(), 2);
}

#[test]
fn states_of_tcp_are_told_in_our_terms() {
    const REPLIED: u8 = Progress::REPLIED;
    // Where the state and the client's flags stand in the second message.
    let at = |part: &[u8]| {
        let list = bytes(LIST);
        list.windows(part.len()).position(|window| window == part).unwrap() + 4
    };
    let (state, flags) = (at(&[5, 0, 1, 0, 3]), at(&[6, 0, 4, 0, 0x23]));
    for (number, closed_first, progress) in [
        (1, 0, 0),
        (2, 0, REPLIED),
        (3, 0, REPLIED),
        (4, 4, REPLIED | Progress::CLIENT_FIN),
        (5, 0, REPLIED | Progress::BACKEND_FIN),
        (6, 0, REPLIED | Progress::CLIENT_FIN | Progress::BACKEND_FIN),
        (7, 4, REPLIED | Progress::CLIENT_FIN | Progress::BACKEND_FIN),
        (8, 0, REPLIED | Progress::RESET),
        (9, 0, 0),
        (200, 0, 0),
    ] {
        let mut told = bytes(LIST);
        (told[state], told[flags]) = (number, closed_first);
        let mut connections = Vec::new();
        read(&told, &mut connections).unwrap();
        assert_eq!(connections[1].progress, Progress(progress), "{number}");
    }
}

#[test]
fn a_message_that_lies_about_its_length_is_an_error() {
    for claimed in [0, 3, 15, 425, u32::MAX] {
        let mut told = bytes(LIST);
        told[..4].copy_from_slice(&claimed.to_ne_bytes());
        assert!(read(&told, &mut Vec::new()).is_err(), "{claimed}");
    }
    assert!(read(&bytes(LIST)[..3], &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn whatever_is_told_is_read_or_refused(
        changes in prop::collection::vec((0..424_usize, any::<u8>()), 0..8),
        len in 0..=424_usize,
    ) {
        let mut told = bytes(LIST);
        for (at, byte) in changes {
            told[at] = byte;
        }
        let _ = read(&told[..len], &mut Vec::new());
    }
}

#[test]
fn the_answers_of_a_client_that_keeps_its_address_are_met_where_they_leave() {
    let ForeignFlow { forward, reply } = flow(&asked()).unwrap();
    assert_eq!((forward.0.edge, reply.0.edge), (Edge::INGRESS, Edge::EGRESS));
    assert_eq!(reply.0, forward.0.reply(Edge::EGRESS));
    assert_eq!((forward.1.dst, forward.1.dport), (forward.0.dst, forward.0.dport));
    assert_eq!(forward.1.flags, FlowValue::FOREIGN);
    assert_eq!(reply.1.flags, FlowValue::FOREIGN | FlowValue::REPLY);
    assert_eq!((forward.1.service, forward.1.seen, forward.1.backend), (1, 7, 0));
}

#[test]
fn the_answers_to_the_node_are_met_where_they_come_in() {
    let connection = masqueraded();
    let ForeignFlow { forward, reply } = flow(&connection).unwrap();
    assert_eq!((forward.0.edge, reply.0.edge), (Edge::INGRESS, Edge::INGRESS));
    assert_eq!(reply.0.src, connection.server.ip().into());
    assert_eq!((reply.0.dst, reply.0.dport), (forward.1.src, forward.1.sport));
    assert_eq!((reply.1.dst, reply.1.dport), (forward.0.src, forward.0.sport));
    let snat = FlowValue::FOREIGN | FlowValue::SNAT;
    assert_eq!((forward.1.flags, reply.1.flags), (snat, snat | FlowValue::REPLY));
}

#[test]
fn connections_that_nobody_translated_are_none() {
    let direct = Connection { server: asked().asked, ..asked() };
    assert_eq!(flow(&direct), None);
}

#[test]
fn connections_to_what_is_no_frontend_are_none() {
    for asked_at in ["10.96.0.20:81", "10.96.0.21:80", "192.0.2.3:30080", "192.0.2.2:80"] {
        assert_eq!(flow(&Connection { asked: addr(asked_at), ..asked() }), None, "{asked_at}");
    }
    assert_eq!(flow(&Connection { proto: IpProto::SCTP, ..asked() }), None);
}

#[test]
fn a_tcp_connection_outlives_its_server_and_a_udp_flow_does_not() {
    let server = addr("10.244.0.99:8080");
    assert!(flow(&Connection { server, ..asked() }).is_some());
    let udp = Connection { proto: IpProto::UDP, ..asked() };
    assert!(flow(&udp).is_some());
    assert_eq!(flow(&Connection { server, ..udp }), None);
}
