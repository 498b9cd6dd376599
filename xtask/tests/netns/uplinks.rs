//! A node with two uplinks whose client comes by the one that is not the node's way to it.

use crate::chain::{Chain, FAR_UDP, NODE_SECOND, at, ends};
use crate::expect::{answer, connected, datagrams};
use crate::pmtu::{datagrams_tell, transfers_tell};
use crate::traceroute::{refused, trace};
use std::net::SocketAddr;

/// Ports of the Services.
const FAR_BULK: u16 = 30701;
const FAR_CLOSED: u16 = 30709;
const NEAR_UDP: u16 = 30853;

#[test]
fn a_client_is_answered_whatever_link_it_comes_by() {
    let chain = Chain::new(&[]);
    chain.add_uplink();
    for to in [at(NODE_SECOND, NEAR_UDP), at(NODE_SECOND, FAR_UDP)].concat() {
        let name = if to.port() == FAR_UDP { "far" } else { "kubia-1" };
        for options in [datagrams(to, 20), connected(to, 20)] {
            answer(chain.client(), &options, &[name]);
        }
    }
    errors_are_heard(&chain, &[0, 1]);
}

#[test]
fn answers_and_errors_leave_by_the_link_that_the_client_came_from() {
    let chain = Chain::new(&[]);
    chain.add_uplink();
    chain.lose_way_to_client();
    answer(chain.client(), &datagrams(at(NODE_SECOND, FAR_UDP)[0], 20), &["far"]);
    errors_are_heard(&chain, &[0]);
}

#[test]
fn paths_are_discovered_by_the_link_that_the_client_came_from() {
    for narrow in [3, 4] {
        let chain = Chain::new(&[narrow]);
        chain.add_uplink();
        datagrams_tell(chain.client(), &at(NODE_SECOND, FAR_UDP)[1..]);
        chain.lose_way_to_client();
        transfers_tell(chain.client(), &at(NODE_SECOND, FAR_BULK)[..1]);
    }
}

fn errors_are_heard(chain: &Chain, families: &[usize]) {
    let pick =
        |all: [SocketAddr; 2]| families.iter().map(|family| all[*family]).collect::<Vec<_>>();
    refused(chain.client(), &pick(at(NODE_SECOND, FAR_CLOSED)));
    let routers = [ends(0, 2), ends(1, 2), ends(6, 2), ends(3, 2), ends(4, 2)];
    trace(chain.client(), &pick(at(NODE_SECOND, FAR_UDP)), &routers);
}
