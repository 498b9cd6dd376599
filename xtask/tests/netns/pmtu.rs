//! Path MTU discovery (RFC 1191, RFC 8201) through Services: whoever sends too long a packet is
//! told, as if nobody had translated it, and nobody clamps segments.

use crate::chain::{Chain, FAR, FAR_UDP, NODE_LEFT, NODE_RIGHT, at, ends};
use crate::expect::datagrams;
use crate::patience::within;
use crate::probe::{Heard, Probe};
use nix::errno::Errno;
use std::net::SocketAddr;
use std::time::Duration;
use xtask::lab::Host;
use xtask::lab::kubia::UDP as POD_UDP;
use xtask::lab::traffic::bulk;
use xtask::lab::traffic::connect::Options;

/// Enough to see a path that lets small packets through and loses large ones.
const BYTES: u64 = 2_000_000;

/// The MTU of a narrow link, and no smaller one is allowed to IPv6.
const NARROW: u32 = 1280;

/// A moment for a server to learn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ports of the Services.
const BULK: u16 = 5001;
const FAR_BULK: u16 = 30701;
const NEAR_BULK: u16 = 30801;
const NEAR_UDP: u16 = 30853;

/// What the lab does by itself: who fails here need not look at the agent.
#[test]
fn without_a_service_paths_are_found_to_be_as_narrow() {
    let chain = Chain::new(&[4]);
    let far = |port| ends(5, 2).map(|ip| SocketAddr::new(ip, port));
    transfers_tell(chain.client(), &far(BULK));
    datagrams_tell(&chain.shell, &far(POD_UDP));
}

#[test]
fn an_outside_client_is_told_of_a_narrow_hop_behind_the_node() {
    let chain = Chain::new(&[4]);
    transfers_tell(chain.client(), &at(NODE_LEFT, FAR_BULK));
    datagrams_tell(chain.client(), &at(NODE_RIGHT, FAR_UDP));
}

#[test]
fn an_outside_client_is_told_of_the_nodes_own_narrow_link() {
    let chain = Chain::new(&[3]);
    transfers_tell(chain.client(), &at(NODE_LEFT, FAR_BULK));
    datagrams_tell(chain.client(), &at(NODE_RIGHT, FAR_UDP));
}

#[test]
fn a_pod_is_told_of_narrow_links_near_and_far() {
    for narrow in [3, 4] {
        let chain = Chain::new(&[narrow]);
        transfers_tell(&chain.shell, &at(FAR, BULK));
        datagrams_tell(&chain.shell, &at(NODE_LEFT, FAR_UDP));
    }
}

#[test]
fn a_pod_whose_address_is_replaced_is_told_of_narrow_links_near_and_far() {
    for narrow in [3, 4] {
        let chain = Chain::with(&[narrow], &["--snat", "always"]);
        transfers_tell(&chain.shell, &at(NODE_LEFT, FAR_BULK));
        datagrams_tell(&chain.shell, &at(NODE_RIGHT, FAR_UDP));
    }
}

#[test]
fn endpoints_are_told_of_narrow_links_towards_the_client() {
    for narrow in [1, 2] {
        let chain = Chain::new(&[narrow]);
        // A client that knows the path to an address tells its servers (the MSS of its SYN), so
        // each of these has an address of its own.
        for to in [at(NODE_LEFT, NEAR_BULK), at(NODE_RIGHT, FAR_BULK)].concat() {
            transfer(chain.client(), to);
        }
        for (client, replaced) in ends(0, 1).into_iter().zip(at(NODE_RIGHT, POD_UDP)) {
            assert_eq!(Probe::new(&chain.pod, SocketAddr::new(client, POD_UDP)).mtu(), NARROW);
            assert_eq!(Probe::new(chain.far(), replaced).mtu(), NARROW);
        }
        for to in [at(NODE_LEFT, NEAR_UDP), at(NODE_LEFT, FAR_UDP)].concat() {
            long_answers(chain.client(), to);
        }
    }
}

/// A client that transfers comes to know the path.
pub(crate) fn transfers_tell(client: &Host, to: &[SocketAddr]) {
    for to in to.iter().copied() {
        transfer(client, to);
        assert_eq!(Probe::new(client, to).mtu(), NARROW, "{} to {to}", client.name());
    }
}

/// So does one that sends datagrams, by an address that it has not used before.
pub(crate) fn datagrams_tell(client: &Host, to: &[SocketAddr]) {
    for to in to.iter().copied() {
        let probe = Probe::new(client, to).whole();
        assert_eq!(probe.mtu(), 1500, "{} to {to}", client.name());
        probe.send(1400).unwrap();
        let Heard { error, about, mtu, .. } = probe.hear();
        assert_eq!((error, about, mtu), (Errno::EMSGSIZE, to, NARROW));
        assert_eq!(probe.mtu(), NARROW);
        // The first of these fails because of what was heard, the second because of its length.
        for _ in 0..2 {
            assert_eq!(probe.send(1400).unwrap_err().raw_os_error(), Some(Errno::EMSGSIZE as i32));
        }
        probe.send(1000).unwrap();
        assert!(probe.answer().unwrap() > 1000);
    }
}

fn transfer(client: &Host, to: SocketAddr) {
    let options = bulk::Options { timeout_ms: 4000, ..bulk::Options::to(to, BYTES) };
    let report = client.bulk(&options);
    let report = report.unwrap_or_else(|error| panic!("{} to {to}: {error:#}", client.name()));
    assert_eq!(report.bytes, BYTES);
}

/// Requests that just fit are answered by datagrams that do not: the server's kernel sends the
/// later ones in fragments.
fn long_answers(client: &Host, to: SocketAddr) {
    let options = Options { size: 1230, timeout_ms: 200, ..datagrams(to, 1) };
    within(PATIENCE, &format!("{} gets long answers from {to}", client.name()), || {
        client.connect(&options).unwrap().replies_len() == 1
    });
}
