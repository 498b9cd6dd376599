//! A node in the network namespace of the test's thread, whose agent has ended.

use crate::network::{self, index};
use crate::tables;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::VERSION;
use lb_common::layout::affinity::{AffinityKey, AffinityValue};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::node::{Clock, LinkValue, XdpState};
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::bpf::clock;
use lb_userspace::bpf::loader::{self, Capacities, Constants, Pins};
use lb_userspace::bpf::maps::Maps;
use lb_userspace::cli::lbctl::{Console, run};
use lb_userspace::reconcile::Edit;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tempfile::TempDir;

const CAPACITIES: Capacities =
    Capacities { conntrack: 1_024, frontends: 64, slots: 64, backends: 64, services: 64 };

/// A node with Services.
pub(crate) struct Node {
    bpffs: TempDir,
    state: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        network::enter();
        let node = Self { bpffs: TempDir::new().unwrap(), state: TempDir::new().unwrap() };
        mount(Some("bpf"), node.bpffs.path(), Some("bpf"), MsFlags::empty(), None::<&str>)
            .expect("mounting bpffs needs root");
        let [maps, load] = ["maps", "loads/1"].map(|folder| node.pins().join(folder));
        for folder in [&maps, &load, &node.pins().join("links")] {
            fs::create_dir_all(folder).unwrap();
        }
        let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0, watched: false };
        let pins = Pins { maps: &maps, load: &load };
        let mut ebpf = loader::load(&constants, &CAPACITIES, Some(pins)).unwrap();
        let mut maps = Maps::take(&mut ebpf).unwrap();
        for edit in tables::edits(index("veth1"), index("uplink")) {
            maps.apply(&edit).unwrap();
        }
        maps.set_clock(clock::measure().unwrap()).unwrap();
        // What stands for attached socket programs: any pinned object of the name.
        for name in loader::CONNECT {
            let any = aya::maps::MapData::from_pin(node.pins().join("maps/CLOCK")).unwrap();
            any.pin(node.pins().join("links").join(name)).unwrap();
        }
        node
    }

    fn pins(&self) -> PathBuf {
        self.bpffs.path().join(format!("v{VERSION}"))
    }

    fn maps(&self) -> Maps {
        Maps::open(&self.pins().join("maps")).unwrap()
    }

    /// Exit code, standard output, standard error.
    pub(crate) fn lbctl(&self, args: &str) -> (ExitCode, String, String) {
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
    #[track_caller]
    pub(crate) fn shown(&self, args: &str) -> String {
        let (code, out, err) = self.lbctl(args);
        assert_eq!(code, ExitCode::SUCCESS, "{args}: {err}");
        out
    }

    /// An established flow of a pod to the remote endpoint of `default/three`.
    pub(crate) fn remember_flow(&self) {
        let mut maps = self.maps();
        let now = jiffies(&maps.clock().unwrap());
        let client = (tables::addr("10.244.0.20"), Port::new(41234));
        let vip = (tables::addr("10.96.0.14"), Port::new(80));
        let backend = (tables::addr("10.244.1.13"), Port::new(8080));
        let forward = key(client, vip, Edge::INGRESS);
        let reply = key(backend, client, Edge::EGRESS);
        maps.put_flow(forward, becomes(client, backend, 0, now)).unwrap();
        maps.put_flow(reply, becomes(vip, client, FlowValue::REPLY, now)).unwrap();
    }

    /// The pod had this backend of `default/sticky` last.
    pub(crate) fn remember_client(&self, backend: &str) {
        let mut maps = self.maps();
        let seen = jiffies(&maps.clock().unwrap());
        let backend: SocketAddr = backend.parse().unwrap();
        let is_meant = |cell: &lb_common::layout::backend::BackendValue| {
            cell.service == tables::STICKY && cell.addr == Addr::from(backend.ip())
        };
        let cells = maps.backends().unwrap();
        let (id, _) = cells.iter().find(|(_, cell)| is_meant(cell)).unwrap();
        let client = tables::addr("10.244.0.20");
        let key = AffinityKey { client, affinity: tables::STICKY, zero: [0; 4] };
        let value = AffinityValue { backend: *id, generation: 1, seen };
        maps.put_affinity(key, value).unwrap();
    }

    /// Lets XDP run on the uplink, as the map has it.
    pub(crate) fn xdp(&self) {
        let mut maps = self.maps();
        let link = index("uplink");
        let value = LinkValue { xdp: XdpState::DRIVER, ..maps.links().unwrap()[&link] };
        maps.apply(&Edit::Link(link, Some(value))).unwrap();
    }

    /// Takes a program off, as far as pins tell.
    pub(crate) fn detach(&self, program: &str) {
        fs::remove_file(self.pins().join("links").join(program)).unwrap();
    }

    /// Everything that is in the maps.
    pub(crate) fn dump(&self) -> String {
        let maps = self.maps();
        let (mut flows, mut affinities) = (maps.flows().unwrap(), maps.affinities().unwrap());
        flows.sort_by_key(|(key, _)| *key);
        affinities.sort_by_key(|(key, _)| *key);
        let tables = maps.tables().unwrap();
        let services: Vec<_> =
            tables.services.keys().map(|id| maps.service_traffic(*id).unwrap()).collect();
        let backends: Vec<_> =
            tables.backends.keys().map(|id| maps.backend_traffic(*id).unwrap()).collect();
        let rest = (maps.sockets().unwrap(), maps.reasons().unwrap(), maps.clock().unwrap());
        format!("{tables:#?}\n{flows:#?}\n{affinities:#?}\n{services:?}\n{backends:?}\n{rest:#?}")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = umount2(self.bpffs.path(), MntFlags::MNT_DETACH);
    }
}

/// The low half of the kernel's jiffies now.
fn jiffies(clock: &Clock) -> u32 {
    let elapsed_ns = clock::monotonic_ns() - clock.monotonic_ns;
    let now = clock.jiffies + elapsed_ns * clock.hz / 1_000_000_000;
    u32::try_from(now & u64::from(u32::MAX)).unwrap()
}

fn key(src: (Addr, Port), dst: (Addr, Port), edge: Edge) -> FlowKey {
    FlowKey {
        src: src.0,
        dst: dst.0,
        sport: src.1,
        dport: dst.1,
        proto: IpProto::TCP,
        edge,
        zero: [0; 2],
    }
}

fn becomes(src: (Addr, Port), dst: (Addr, Port), flags: u8, seen: u32) -> FlowValue {
    use lb_common::algo::checksum;
    let vip = tables::addr("10.96.0.14");
    let backend = tables::addr("10.244.1.13");
    let (addr_diff, port_diff) =
        (checksum::addr_diff(&vip, &backend), checksum::diff(Port::new(80).0, Port::new(8080).0));
    let is_reply = flags & FlowValue::REPLY != 0;
    let either = |diff: u16| if is_reply { !diff } else { diff };
    FlowValue {
        src: src.0,
        dst: dst.0,
        sport: src.1,
        dport: dst.1,
        addr_diff: either(addr_diff),
        port_diff: either(port_diff),
        backend: tables::backend_id(tables::THREE, 2),
        generation: 1,
        service: tables::THREE,
        link: 0,
        seen,
        progress: Progress(Progress::REPLIED),
        flags,
        zero: [0; 2],
    }
}
