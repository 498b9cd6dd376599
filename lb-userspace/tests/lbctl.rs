//! `lbctl` over real maps that an agent pinned and left behind. Needs root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test panics where it cannot go on")]

use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::VERSION;
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::Clock;
use lb_common::layout::service::{ServiceValue, field};
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::bpf::loader::{self, Capacities, Constants, Pins};
use lb_userspace::bpf::maps::Maps;
use lb_userspace::cli::lbctl::{Console, run};
use lb_userspace::model::Problem;
use lb_userspace::model::status::Status;
use lb_userspace::reconcile::Edit;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::thread;
use tempfile::TempDir;

const VIP: Addr = Addr::v4([10, 96, 0, 10]);
const POD: Addr = Addr::v4([10, 244, 0, 11]);
const CLIENT: Addr = Addr::v4([10, 244, 0, 20]);

/// A node with one Service and one flow, whose agent has ended.
struct Node {
    bpffs: TempDir,
    state: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { bpffs: TempDir::new().unwrap(), state: TempDir::new().unwrap() };
        mount(Some("bpf"), node.bpffs.path(), Some("bpf"), MsFlags::empty(), None::<&str>)
            .expect("mounting bpffs needs root");
        let version = node.bpffs.path().join(format!("v{VERSION}"));
        let [maps, load] = ["maps", "loads/1"].map(|folder| version.join(folder));
        for folder in [&maps, &load] {
            fs::create_dir_all(folder).unwrap();
        }
        let small =
            Capacities { conntrack: 64, frontends: 16, slots: 16, backends: 16, services: 16 };
        let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0, watched: false };
        let mut ebpf =
            loader::load(&constants, &small, Some(Pins { maps: &maps, load: &load })).unwrap();
        fill(&mut Maps::take(&mut ebpf).unwrap());
        let problem = Problem {
            subject: "Service default/kubia".into(),
            field: "spec.externalIPs[0]".into(),
            message: "is claimed by an older Service".into(),
        };
        let status = Status {
            pid: 1,
            version: "0.1.0".into(),
            problems: vec![problem],
            ..Status::default()
        };
        status.write(node.state.path()).unwrap();
        node
    }

    /// Exit code, standard output, standard error.
    fn lbctl(&self, args: &str) -> (ExitCode, String, String) {
        let folders = [
            "--bpffs",
            self.bpffs.path().to_str().unwrap(),
            "--state-dir",
            self.state.path().to_str().unwrap(),
        ];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console =
            Console { out: &mut out, err: &mut err, color: false, terminal: false, watched: false };
        let args = ["lbctl"].into_iter().chain(args.split(' ')).chain(folders);
        let code = run(args.map(Into::into), &mut console);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// What a call that succeeds prints.
    fn shown(&self, args: &str) -> String {
        let (code, out, err) = self.lbctl(args);
        assert_eq!(code, ExitCode::SUCCESS, "{args}: {err}");
        out
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = umount2(self.bpffs.path(), MntFlags::MNT_DETACH);
    }
}

fn fill(maps: &mut Maps) {
    let choice = Choice { base: 0, len: 1, flags: 0 };
    let frontend = FrontendValue {
        service: 1,
        affinity: 0,
        affinity_timeout_s: 0,
        inside: choice,
        outside: choice,
        kind: FrontendValue::CLUSTER_IP,
        flags: 0,
        zero: [0; 2],
    };
    let flags = BackendValue::READY | BackendValue::SERVING | BackendValue::IN_CLUSTER_SET;
    let (port, proto) = (Port::new(8080), IpProto::TCP);
    let backend =
        BackendValue { addr: POD, port, proto, flags, service: 1, generation: 1, zero: [0; 4] };
    let service = ServiceValue {
        namespace: field("default"),
        name: field("kubia"),
        port_name: field("http"),
        target_port: field("8080"),
        port: Port::new(80),
        node_port: Port::NONE,
        proto,
        kind: ServiceValue::CLUSTER_IP,
        flags: 0,
        family: 4,
    };
    let key = FrontendKey::of(VIP, Port::new(80), proto);
    let edits = [
        Edit::Backend(1, backend),
        Edit::Slots(0, vec![1]),
        Edit::Service(1, Some(service)),
        Edit::Frontend(key, Some(frontend)),
        Edit::Address(Addr::v4([192, 0, 2, 2]), AddressValue::NODE_PORTS),
    ];
    for edit in &edits {
        maps.apply(edit).unwrap();
    }
    maps.set_clock(Clock { jiffies: 1_000, monotonic_ns: 0, hz: 250 }).unwrap();
    let (key, value) = flow();
    maps.put_flow(key, value).unwrap();
}

fn flow() -> (FlowKey, FlowValue) {
    let (sport, dport) = (Port::new(41234), Port::new(80));
    let key = FlowKey {
        src: CLIENT,
        dst: VIP,
        sport,
        dport,
        proto: IpProto::TCP,
        edge: Edge::INGRESS,
        zero: [0; 2],
    };
    let value = FlowValue {
        src: CLIENT,
        dst: POD,
        sport,
        dport: Port::new(8080),
        addr_diff: 0,
        port_diff: 0,
        backend: 1,
        generation: 1,
        service: 1,
        link: 0,
        seen: 1_000,
        progress: Progress(Progress::REPLIED),
        flags: 0,
        zero: [0; 2],
    };
    (key, value)
}

#[test]
fn what_an_agent_pinned_is_read_back_while_it_is_down() {
    let node = Node::new();
    assert_eq!(
        node.shown("get services"),
        "NAMESPACE  NAME   TYPE       CLUSTER-IP  EXTERNAL-IP  PORT(S)\n\
         default    kubia  ClusterIP  10.96.0.10  <none>       80/TCP\n"
    );
    assert_eq!(
        node.shown("get ep kubia"),
        "NAMESPACE  SERVICE  PORT      ENDPOINT          STATE  LOCAL  USED-FOR\n\
         default    kubia    http/TCP  10.244.0.11:8080  ready  no     cluster\n"
    );
    assert!(
        node.shown("get fe")
            .contains("10.96.0.10:80/TCP  ClusterIP  default/kubia:http  1 endpoint")
    );
    assert!(node.shown("get be -n default").contains("10.244.0.11:8080"));
    let flows = node.shown("get ct --client 10.244.0.20");
    assert!(
        flows.contains(
            "\nTCP 10.244.0.20:41234 -> 10.96.0.10:80 -> 10.244.0.11:8080  ESTABLISHED  idle "
        ),
        "{flows}"
    );
    assert_eq!(node.shown("get ct --client 10.244.0.21"), "");
}

#[test]
fn the_status_names_capacities_and_problems() {
    let node = Node::new();
    let shown = node.shown("get status");
    assert!(
        shown.starts_with("Agent:     down: the maps are what version 0.1.0 left\n"),
        "{shown}"
    );
    for line in [
        "CONNTRACK      1        64        1%    evicts",
        "SERVICES       1        16        6%    refuses",
    ] {
        assert!(shown.contains(line), "{line:?} in\n{shown}");
    }
    let problem = "Service default/kubia: spec.externalIPs[0]: is claimed by an older Service";
    assert!(shown.contains(problem), "{shown}");
    let described = node.shown("describe svc default/kubia");
    assert!(described.contains("Endpoints:                10.244.0.11:8080\n"), "{described}");
    assert!(
        described.contains("  Warning  spec.externalIPs[0]: is claimed by an older Service\n"),
        "{described}"
    );
}

#[test]
fn a_name_that_nothing_has_is_an_error_and_an_empty_namespace_is_not() {
    let node = Node::new();
    let (code, out, err) = node.lbctl("get svc other");
    assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
    assert_eq!(err, "error: services \"other\" not found\n");
    let (code, out, err) = node.lbctl("get svc -n other");
    assert_eq!((code, out.as_str()), (ExitCode::SUCCESS, ""));
    assert_eq!(err, "no services found in namespace other\n");
    assert_eq!(node.shown("get aff -o json"), "{\n  \"items\": []\n}\n");
}

#[test]
fn an_explanation_without_an_agent_is_what_the_maps_hold() {
    let node = Node::new();
    let shown = node.shown("explain service default/kubia");
    assert!(
        shown.starts_with(
            "Service default/kubia\nthe agent is down: what is wanted, and why, is not known\n"
        ),
        "{shown}"
    );
    for line in [
        "  10.96.0.10:80  <none>  ?       yes\n",
        "  10.244.0.11:8080  <none>  ?       ready, used for cluster\n",
        "Problem: Service default/kubia: spec.externalIPs[0]: is claimed by an older Service\n",
    ] {
        assert!(shown.contains(line), "{line:?} in\n{shown}");
    }
    let (code, _, err) = node.lbctl("explain svc kubia -n other");
    assert_eq!(
        (code, err.as_str()),
        (ExitCode::FAILURE, "error: service \"other/kubia\" not found\n")
    );
    // What an agent that was killed left behind answers nobody.
    drop(UnixListener::bind(node.state.path().join("agent.sock")).unwrap());
    assert_eq!(node.shown("explain service default/kubia"), shown);
}

#[test]
fn an_agent_of_another_build_is_told_from_none() {
    let node = Node::new();
    let listener = UnixListener::bind(node.state.path().join("agent.sock")).unwrap();
    let other = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(b"what?\n").unwrap();
        // Reading what was asked lets the client read what was answered.
        let _ = client.read(&mut [0; 4096]);
    });
    let (code, _, err) = node.lbctl("explain svc default/kubia");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(err.contains("it answers in the words of another build"), "{err}");
    other.join().unwrap();
}

#[test]
fn another_layout_is_named() {
    let node = Node::new();
    let root = node.bpffs.path();
    fs::rename(root.join(format!("v{VERSION}")), root.join("v999")).unwrap();
    let (code, _, err) = node.lbctl("get svc");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(err.contains("found layout v999 in"), "{err}");
}
