//! What the agent answers as a name server, to a pod, to the node, and to strangers.

use crate::patience::eventually;
use crate::stage::Stage;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use xtask::lab::Host;
use xtask::lab::traffic::ask::question;
use xtask::lab::traffic::serve;

/// Where pods and others reach it.
const INSIDE: &str = "10.244.0.1:53";
const OUTSIDE: &str = "192.0.2.2:53";

const HEADLESS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: each, namespace: default}
spec: {clusterIP: None, selector: {app: kubia}}
";

const HEADER: usize = 12;
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;
const REFUSED: u8 = 5;

/// The code of an answer, how many records it has, and the address at its end.
fn ask(from: &Host, server: &str, name: &str) -> Option<(u8, u8, Option<Ipv4Addr>)> {
    let server: SocketAddr = server.parse().unwrap();
    let answer = from.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send_to(&question(name)?, server)?;
        let mut answer = vec![0; 1500];
        let (length, from) = socket.recv_from(&mut answer)?;
        assert_eq!(from, server, "the answer comes from where it was asked");
        answer.truncate(length);
        Ok(answer)
    });
    let answer = answer.ok()?;
    let count = answer[7];
    let last = answer.last_chunk::<4>().copied().filter(|_| answer.len() > HEADER && count > 0);
    Some((answer[3] & 15, count, last.map(Ipv4Addr::from)))
}

#[test]
fn upstreams_of_the_system_are_followed() {
    let mut stage = Stage::idle();
    let [upstream, ..] = stage.network.external.as_slice() else { panic!("there are others") };
    let names = ["api.example.com=198.51.100.80"];
    let _upstream = upstream.serve(&serve::Options::new("upstream").dns(53, &names)).unwrap();
    // Nobody is there.
    stage.network.node.etc("resolv.conf", "nameserver 192.0.2.77\n").unwrap();
    stage.start_with(&["--dns-listen", INSIDE]);
    let ask = || ask(&stage.network.shell, INSIDE, "api.example.com");
    assert_ne!(ask().map(|(code, ..)| code), Some(NO_ERROR));
    // A file that is being written names nobody for a moment.
    stage.network.node.etc("resolv.conf", "").unwrap();
    stage.network.node.etc("resolv.conf", "nameserver 192.0.2.111\n").unwrap();
    let found = Some((NO_ERROR, 1, Some(Ipv4Addr::new(198, 51, 100, 80))));
    eventually("the other one is asked", || ask() == found);
}

#[test]
fn names_are_answered_and_follow_the_objects() {
    let listen = format!("{INSIDE},{OUTSIDE}");
    let flags = ["--dns-listen", &listen, "--dns-upstream", "192.0.2.10"];
    let stage = Stage::with_files(&[("each.yaml", HEADLESS)], &flags);
    let (shell, node, client) = (&stage.network.shell, &stage.network.node, &stage.network.client);
    let web = "web.default.svc.cluster.local";
    let found = Some((NO_ERROR, 1, Some(Ipv4Addr::new(10, 96, 0, 20))));
    eventually("a pod learns the address", || ask(shell, INSIDE, web) == found);
    assert_eq!(ask(node, OUTSIDE, web), found);
    assert_eq!(ask(client, OUTSIDE, web), Some((REFUSED, 0, None)), "a stranger");
    let missing = ask(shell, INSIDE, "wep.default.svc.cluster.local").unwrap();
    assert_eq!(missing.0, NO_SUCH_NAME);

    let each = |count| {
        let answer = ask(shell, INSIDE, "each.default.svc.cluster.local");
        answer.is_some_and(|(code, answers, _)| (code, answers) == (NO_ERROR, count))
    };
    eventually("every pod of a headless Service", || each(3));
    stage.remove("pod-kubia-3.yaml");
    eventually("without the one that went", || each(2));
    stage.remove("each.yaml");
    let gone = || ask(shell, INSIDE, "each.default.svc.cluster.local").map(|(code, ..)| code);
    eventually("without the Service", || gone() == Some(NO_SUCH_NAME));
}
