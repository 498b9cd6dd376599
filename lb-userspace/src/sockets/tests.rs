//! What is noted; the sockets themselves are in `tests/sockets.rs`.

use super::*;

const UDP: BackendValue = BackendValue {
    addr: Addr::v4([10, 0, 0, 1]),
    port: Port::new(53),
    proto: IpProto::UDP,
    flags: 0,
    service: 1,
    generation: 4,
    zero: [0; 4],
};

#[track_caller]
fn noted(before: BackendValue, after: BackendValue, expect: bool) {
    let mut closer = Closer::default();
    closer.note(7, &before, &after);
    let cells = Gone::from([((before.addr, before.port), [(7, before.generation)].into())]);
    assert_eq!(closer.fresh, if expect { cells } else { Gone::new() });
}

#[test]
fn a_udp_backend_whose_generation_moves_is_noted() {
    noted(UDP, BackendValue { generation: 5, flags: 1, ..UDP }, true);
    noted(UDP, BackendValue { generation: 5, service: 0, addr: Addr::ANY, ..UDP }, true);
}

#[test]
fn a_backend_that_stays_is_not_noted() {
    noted(UDP, BackendValue { flags: BackendValue::TERMINATING, ..UDP }, false);
}

#[test]
fn other_protocols_and_free_cells_have_no_sockets_of_ours() {
    let tcp = BackendValue { proto: IpProto::TCP, ..UDP };
    noted(tcp, BackendValue { generation: 5, ..tcp }, false);
    let free = BackendValue { service: 0, ..UDP };
    noted(free, BackendValue { generation: 5, ..UDP }, false);
}

#[test]
fn ipv6_sockets_are_asked_for_ipv4_too() {
    let gone = |addr| Gone::from([((addr, Port::new(53)), BTreeSet::new())]);
    assert_eq!(families(&gone(UDP.addr)), [AF_INET, AF_INET6]);
    assert_eq!(families(&gone(Addr([0xfd; 16]))), [AF_INET6]);
}
