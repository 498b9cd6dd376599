//! `sessionAffinity: ClientIP` over real time.

use crate::expect::answered;
use crate::stage::Stage;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};
use xtask::lab::Host;
use xtask::lab::traffic::connect::Options;

/// `timeoutSeconds` of the manifest.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Clients, one address each: that none of them moves by chance is one in half a million.
const CLIENTS: std::ops::Range<u8> = 40..52;

#[test]
fn a_client_stays_while_it_comes_back_in_time_and_may_move_after_silence() {
    let file = ("sticky.yaml", include_str!("manifests/sticky.yaml"));
    let stage = Stage::with_files(&[file], &[]);
    let shell = &stage.network.shell;
    for number in CLIENTS {
        shell.address("eth0", &format!("10.244.0.{number}/24")).unwrap();
    }
    for (from, to) in [(shell, "10.96.0.50:80"), (&stage.network.client, "192.0.2.2:30150")] {
        let report = answered(from, &Options::to(to.parse().unwrap()).count(60).parallel(8));
        assert!(report.only().is_some(), "{report:?}");
    }
    let began = Instant::now();
    let first = choices(shell);
    assert!(first.values().any(|name| *name != first[&CLIENTS.start]), "{first:?}");
    // Each new flow renews the memory: together these take longer than the time-out.
    while began.elapsed() < TIMEOUT * 3 / 2 {
        thread::sleep(TIMEOUT / 8);
        assert_eq!(choices(shell), first);
    }
    // The subject is time itself: nothing but silence can be waited for.
    thread::sleep(TIMEOUT + Duration::from_millis(200));
    assert_ne!(choices(shell), first);
}

/// Who answers each client, asked from a port that no flow has had.
fn choices(shell: &Host) -> BTreeMap<u8, String> {
    let to: SocketAddr = "10.96.0.50:53".parse().unwrap();
    shell.within(|| Ok(CLIENTS.map(|number| (number, choice(number, to))).collect())).unwrap()
}

fn choice(number: u8, to: SocketAddr) -> String {
    let own = IpAddr::from([10, 244, 0, number]);
    let socket = UdpSocket::bind((own, 0)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT / 2)).unwrap();
    socket.connect(to).unwrap();
    socket.send(b"who").unwrap();
    let mut buffer = [0; 1000];
    let len = socket.recv(&mut buffer).unwrap();
    let line = buffer[..len].split(|byte| *byte == b'\n').next().unwrap();
    serde_json::from_slice::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned()
}
