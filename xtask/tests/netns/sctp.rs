//! SCTP associations through Services: this kernel may have no SCTP, so both ends run it in user
//! space (`sctp.c`, libusrsctp) and check each packet's CRC32c.

use crate::chain::{Chain, FAR, NEAR, NODE_LEFT, ends};
use crate::patience::LONG;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::lab::kubia::pod_addresses;
use xtask::lab::{Host, Process};

/// Where the endpoints listen, and what the Services call it.
const ENDPOINT: u16 = 3868;
const SERVICE: u16 = 13200;
const FAR_NODE_PORT: u16 = 30732;
const NEAR_NODE_PORT: u16 = 30832;

const MESSAGES: u32 = 100;

#[test]
fn messages_are_echoed_over_associations_with_kept_and_replaced_sources() {
    let chain = Chain::new(&[]);
    let program = compile(chain.node());
    let _servers = [(chain.far(), ends(5, 2)), (&chain.pod, pod_addresses(11))]
        .map(|(host, own)| own.map(|own| serve(host, &program, own)));
    let parsed = |texts: [&str; 2]| texts.map(|ip| ip.parse().unwrap());
    for (from, own) in [(&chain.shell, pod_addresses(20)), (chain.client(), ends(0, 1))] {
        // What the lab does by itself comes first.
        for (to, port) in [
            (ends(5, 2), ENDPOINT),
            (pod_addresses(11), ENDPOINT),
            (parsed(FAR), SERVICE),
            (parsed(NEAR), SERVICE),
            (parsed(NODE_LEFT), FAR_NODE_PORT),
            (parsed(NODE_LEFT), NEAR_NODE_PORT),
        ] {
            for (own, to) in own.into_iter().zip(to) {
                ask(from, &program, own, (to, port));
            }
        }
    }
}

fn compile(host: &Host) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/sctp.c");
    let program = host.folder().unwrap().join("sctp");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(source);
    let output = cc.args(["-lusrsctp", "-lpthread"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cc sctp.c (is libusrsctp-dev installed?): {errors}");
    program
}

fn serve(host: &Host, program: &Path, own: IpAddr) -> Process {
    let arguments = ["serve".to_owned(), own.to_string(), ENDPOINT.to_string()];
    let mut server = host.program(program).args(arguments).spawn().unwrap();
    server.wait_for("ready", LONG).unwrap();
    server
}

fn ask(from: &Host, program: &Path, own: IpAddr, (to, port): (IpAddr, u16)) {
    let arguments = [own.to_string(), to.to_string(), port.to_string(), MESSAGES.to_string()];
    let client = from.program(program).args(["ask"]).args(arguments);
    let said = client.patience(LONG).run();
    let said = said.unwrap_or_else(|error| panic!("{own} to {to} port {port}: {error:#}"));
    assert_eq!(said, format!("{MESSAGES} messages\n"));
}
