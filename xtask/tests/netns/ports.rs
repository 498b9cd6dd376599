//! The node's address is shared by its own processes and by clients that are masqueraded: their
//! ports must not meet.

use crate::expect::{answered, datagrams, http};
use crate::stage::Stage;
use std::net::SocketAddr;
use xtask::lab::traffic::connect::Options;

/// Ports as clients' kernels choose them; so many that each backend gets some.
const PORTS: std::ops::Range<u16> = 41_000..41_010;

#[test]
fn a_process_of_the_node_may_use_the_port_of_a_masqueraded_client() {
    let elsewhere = ("elsewhere.yaml", include_str!("manifests/elsewhere.yaml"));
    let stage = Stage::with_files(&[elsewhere], &[]);
    let [_, node, client] = stage.clients();
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for port in PORTS {
        for options in [http(at("10.96.0.30:80"), 1), datagrams(at("10.96.0.30:53"), 1)] {
            answered(client, &Options { from_port: Some(port), ..options });
        }
    }
    // Not through a Service: these have nothing to do with us.
    for server in ["11.11.11.11", "22.22.22.22"] {
        let (tcp, udp) = (at(&format!("{server}:80")), at(&format!("{server}:5353")));
        for port in PORTS {
            for options in [http(tcp, 1), datagrams(udp, 1)] {
                answered(node, &Options { from_port: Some(port), ..options });
            }
        }
    }
}
