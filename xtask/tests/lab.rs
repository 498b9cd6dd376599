//! What a lab promises: its networks work, its clients see what is wrong, and nothing of it stays.
//!
//! Needs root.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use xtask::lab::kubia::{self, Kubia, NODE, pod_addresses};
use xtask::lab::traffic::{bulk, connect, hold, serve};
use xtask::lab::{End, Host, Lab, Process, sweep};

const PATIENCE: Duration = Duration::from_secs(10);

/// Two hosts on a wire, the second with every server.
struct Pair {
    client: Host,
    server: Host,
    process: Process,
    lab: Lab,
}

impl Pair {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let (client, server) = (lab.host("client").unwrap(), lab.host("server").unwrap());
        let end = |host, number| {
            let end = End::new(host, "eth0").address(&format!("192.0.2.{number}/24"));
            end.address(&format!("2001:db8::{number}/64"))
        };
        lab.veth(end(&client, 1), end(&server, 2)).unwrap();
        let all = serve::Options::new("server").http(80).udp(53).echo(7).bulk(5001);
        let process = server.serve(&all).unwrap();
        Self { client, server, process, lab }
    }
}

fn to(address: &str) -> connect::Options {
    connect::Options::to(address.parse().unwrap())
}

fn only(host: &Host, options: &connect::Options) -> String {
    let report = host.connect(options).unwrap();
    report.only().unwrap_or_else(|| panic!("{} to {}: {report:?}", host.name(), options.to)).into()
}

/// Everything on this machine that bears the lab's name.
fn traces(id: &str) -> Vec<String> {
    let folders = ["/run/netns", "/run/lb-lab", "/sys/fs/bpf", "/sys/fs/cgroup"];
    let folders = folders.iter().chain(["/sys/fs/cgroup/unified"].iter());
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let names = entries.map(|entry| entry.path().display().to_string());
    names
        .filter(|name| name.contains(&format!("{id}-")) || name.ends_with(id))
        .chain(processes(id))
        .collect()
}

fn processes(id: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    // Who is dead but not yet waited for has no command line any more.
    let alive = |path: &std::path::PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|line| !line.is_empty())
    };
    let ours = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(&format!("/{id}/")))
    };
    entries.filter(ours).filter(alive).map(|path| path.display().to_string()).collect()
}

#[test]
fn every_host_of_the_kubia_network_reaches_those_it_should() {
    let network = Kubia::new().unwrap();
    let _servers = network.serve().unwrap();
    let from = [&network.shell, &network.pods[0], &network.node, &network.client];
    for (pod, number) in network.pods.iter().zip([11, 12, 13]) {
        for host in from {
            for address in pod_addresses(number) {
                let options = connect::Options::to(SocketAddr::new(address, kubia::HTTP));
                assert_eq!(only(host, &options), pod.name());
            }
        }
    }
    for host in [&network.node, &network.client, &network.shell] {
        assert_eq!(only(host, &to("11.11.11.11:80")), "external-1");
        assert_eq!(only(host, &to("22.22.22.22:80")), "external-2");
    }
    let _node = network.node.serve(&serve::Options::new("node").http(80)).unwrap();
    for address in NODE {
        let address = SocketAddr::new(address.parse().unwrap(), 80);
        assert_eq!(only(&network.client, &connect::Options::to(address)), "node");
    }
}

#[test]
fn udp_is_answered_by_the_address_that_was_asked() {
    let network = Kubia::new().unwrap();
    let _servers = network.serve().unwrap();
    let asked = SocketAddr::new([11, 11, 11, 11].into(), kubia::UDP);
    let options = connect::Options { datagram: true, ..connect::Options::to(asked) };
    assert_eq!(only(&network.node, &options.clone().count(10)), "external-1");
    let connected = connect::Options { udp: true, datagram: false, ..options };
    assert_eq!(only(&network.node, &connected), "external-1");
}

#[test]
fn a_hundred_megabytes_arrive_whole_both_ways() {
    let pair = Pair::new();
    let options = bulk::Options::to("[2001:db8::2]:5001".parse().unwrap(), 100_000_000);
    assert_eq!(pair.client.bulk(&options).unwrap().bytes, 100_000_000);
}

#[test]
fn a_client_may_choose_its_address_and_port() {
    let pair = Pair::new();
    pair.client.address("eth0", "192.0.2.9/24").unwrap();
    let own: IpAddr = "192.0.2.9".parse().unwrap();
    let base = to("192.0.2.2:80").count(20);
    let options = connect::Options { from: Some(own), from_port: Some(4000), ..base };
    let report = pair.client.connect(&options).unwrap();
    assert_eq!(report.replies_len(), 20, "{report:?}");
    assert_eq!(report.seen_as, [own].into());
}

#[test]
fn large_datagrams_are_echoed_in_fragments() {
    let pair = Pair::new();
    let options = connect::Options { datagram: true, size: 20_000, ..to("192.0.2.2:53") };
    assert_eq!(only(&pair.client, &options), "server");
}

#[test]
fn failures_are_told_by_kind() {
    let pair = Pair::new();
    let refused = pair.client.connect(&to("192.0.2.2:81")).unwrap();
    assert_eq!(refused.errors, [("connection refused".to_owned(), 1)].into());
    let silent = connect::Options { timeout_ms: 50, ..to("192.0.2.77:80") };
    let late = pair.client.connect(&silent).unwrap();
    assert_eq!(late.errors, [("timed out".to_owned(), 1)].into());
}

#[test]
fn held_connections_live_and_their_loss_is_noticed() {
    let pair = Pair::new();
    let options = hold::Options::to("192.0.2.2:80".parse().unwrap());
    let held = pair.client.hold(&options).unwrap();
    thread::sleep(Duration::from_millis(100));
    let report = held.finish().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.opened, [("server".to_owned(), 200)].into());
    assert!(report.answers > 400, "{report:?}");

    let held = pair.client.hold(&options).unwrap();
    drop(pair.process);
    thread::sleep(Duration::from_millis(100));
    let report = held.finish().unwrap();
    assert_eq!(report.lost.values().sum::<u32>(), 200, "{report:?}");
}

#[test]
fn programs_run_in_their_hosts_cgroup_and_namespace() {
    let pair = Pair::new();
    let program =
        pair.server.program("sh").args(["-c", "cat /proc/self/cgroup; ls -Li /proc/self/ns/net"]);
    let output = program.run().unwrap();
    assert!(output.contains(&format!("0::/{}/server\n", pair.lab.id())), "{output}");
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(pair.server.netns()).unwrap());
    assert!(output.contains(&inode.to_string()), "{output}");
}

#[test]
fn a_host_may_have_files_of_etc_of_its_own() {
    let own = || fs::read_to_string("/etc/resolv.conf").unwrap();
    let before = own();
    let pair = Pair::new();
    pair.client.etc("resolv.conf", "nameserver 192.0.2.2\n").unwrap();
    let read = |host: &Host| host.program("cat").args(["/etc/resolv.conf"]).run().unwrap();
    assert_eq!(read(&pair.client), "nameserver 192.0.2.2\n");
    assert_eq!(read(&pair.server), before);
    assert_eq!(own(), before);
    pair.client.etc("no-such-file", "").unwrap();
    let failed = pair.client.program("true").run();
    assert!(format!("{:#}", failed.unwrap_err()).contains("at /etc/no-such-file"));
}

#[test]
fn a_failed_program_tells_why() {
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    let failed = host.program("sh").args(["-c", "echo why >&2; exit 3"]).run();
    assert!(format!("{:#}", failed.unwrap_err()).contains("exit status: 3\nwhy"));
    let missing = host.program("no-such-program").run();
    assert!(format!("{:#}", missing.unwrap_err()).contains("starting no-such-program"));
}

#[test]
fn kernel_parameters_stay_in_their_namespace() {
    let own = || fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let before = own();
    let lab = Lab::new().unwrap();
    let host = lab.host("a").unwrap();
    host.sysctl("net.ipv4.ip_default_ttl", "7").unwrap();
    assert_eq!(host.within(|| Ok(own())).unwrap(), "7\n");
    assert_eq!(own(), before);
}

#[test]
fn links_are_as_asked() {
    let lab = Lab::new().unwrap();
    let (one, other) = (lab.host("one").unwrap(), lab.host("other").unwrap());
    let mac = [2, 0, 0, 0, 0, 9];
    lab.veth(End::new(&one, "a").mtu(1400).mac(mac), End::new(&other, "b").mtu(1400)).unwrap();
    assert_eq!(one.mac("a").unwrap(), mac);
    assert_eq!(one.links().unwrap(), ["lo", "a"]);
    assert!(one.program("cat").args(["/proc/net/dev"]).run().unwrap().contains("a:"));
    one.fill_checksums("a").unwrap();
    let unknown = one.feature("a", "no-such-feature", true);
    assert!(format!("{:#}", unknown.unwrap_err()).contains("no-such-feature of a"));
    one.delete("a").unwrap();
    assert_eq!(other.links().unwrap(), ["lo"]);
}

#[test]
fn pods_may_be_routed_without_a_bridge() {
    let lab = Lab::new().unwrap();
    let (node, pod) = (lab.host("node").unwrap(), lab.host("pod").unwrap());
    let outside = End::new(&node, "veth-pod").address("169.254.1.1/32");
    lab.veth(outside, End::new(&pod, "eth0").address("10.1.0.5/32")).unwrap();
    pod.route_onto("169.254.1.1/32", "eth0").unwrap();
    pod.route("0.0.0.0/0", "169.254.1.1").unwrap();
    node.route_onto("10.1.0.5/32", "veth-pod").unwrap();
    let _server = pod.serve(&serve::Options::new("pod").http(80)).unwrap();
    assert_eq!(only(&node, &to("10.1.0.5:80")), "pod");
}

#[test]
fn a_neighbour_may_be_written_by_hand() {
    let pair = Pair::new();
    let wrong = [2, 0, 0, 0, 0, 1];
    pair.client.neighbour("eth0", "192.0.2.2", wrong).unwrap();
    let options = connect::Options { timeout_ms: 50, ..to("192.0.2.2:80") };
    assert_eq!(pair.client.connect(&options).unwrap().replies_len(), 0);
    pair.client.neighbour("eth0", "192.0.2.2", pair.server.mac("eth0").unwrap()).unwrap();
    assert_eq!(only(&pair.client, &options), "server");
}

#[test]
fn two_labs_of_one_process_do_not_meet() {
    let (one, other) = (Pair::new(), Pair::new());
    assert_ne!(one.lab.id(), other.lab.id());
    drop(one.process);
    assert!(one.client.connect(&to("192.0.2.2:80")).unwrap().only().is_none());
    assert_eq!(only(&other.client, &to("192.0.2.2:80")), "server");
    drop(one.lab);
    assert_eq!(only(&other.client, &to("192.0.2.2:80")), "server");
}

#[test]
fn nothing_is_left_of_a_dropped_lab() {
    let pair = Pair::new();
    let bpffs = pair.server.bpffs().unwrap();
    fs::create_dir(bpffs.join("inner")).unwrap();
    fs::create_dir(pair.server.cgroup().join("inner")).unwrap();
    // A grandchild that nobody holds a handle of.
    let mut shell =
        pair.client.program("sh").args(["-c", "sleep 1000 & echo started; wait"]).spawn().unwrap();
    shell.wait_for("started", PATIENCE).unwrap();
    let id = pair.lab.id().to_owned();
    assert!(traces(&id).len() > 6, "{:?}", traces(&id));
    drop(pair);
    assert_eq!(traces(&id), [""; 0]);
}

#[test]
fn nothing_is_left_after_a_panic() {
    let mut id = String::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let pair = Pair::new();
        id = pair.lab.id().to_owned();
        panic!("as wanted");
    }));
    assert!(panicked.is_err());
    assert_eq!(traces(&id), [""; 0]);
}

/// `xtask lab kubia` and its lab's name.
fn another_process() -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let mut child = command.args(["lab", "kubia"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let id = line.split(' ').next().unwrap().to_owned();
    assert!(traces(&id).len() > 10, "{line}: {:?}", traces(&id));
    (child, id)
}

fn end(child: &mut Child, signal: Signal) -> Option<i32> {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn nothing_is_left_after_an_interrupt() {
    let (mut child, id) = another_process();
    assert_eq!(end(&mut child, Signal::SIGINT), Some(130));
    assert_eq!(traces(&id), [""; 0]);
}

#[test]
fn programs_die_with_their_lab_and_the_next_one_sweeps() {
    let (mut child, id) = another_process();
    sweep().unwrap();
    assert!(traces(&id).len() > 10, "swept while alive: {:?}", traces(&id));
    assert_eq!(end(&mut child, Signal::SIGKILL), None);
    let deadline = Instant::now() + PATIENCE;
    while !processes(&id).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes(&id));
        thread::sleep(Duration::from_millis(1));
    }
    sweep().unwrap();
    assert_eq!(traces(&id), [""; 0]);
}
