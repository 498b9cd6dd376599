//! Loaded programs with small maps of their own, and the tables in front of them.

use crate::case::Case;
use crate::frame::Frame;
use crate::network::{self, Uplink};
use aya::Ebpf;
use bytemuck::Zeroable;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::{LinkValue, XdpState};
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, Port};
use lb_userspace::bpf::loader::{self, Capacities, Constants};
use lb_userspace::bpf::maps::Maps;
use lb_userspace::bpf::test_run::{self, Hook};
use lb_userspace::reconcile::tables::{self, Edit, Tables};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

/// Jiffies a second, as the programs are told. What the kernel thinks does not matter: scenes
/// move the times in entries, not the clock.
pub(crate) const HZ: u32 = 250;
/// The link that test runs come in by: loopback, the first of every namespace.
pub(crate) const LINK: u32 = 1;
/// What a backend is unless a scene says otherwise: here, and used by every policy.
pub(crate) const HERE: u8 =
    BackendValue::LOCAL | BackendValue::IN_CLUSTER_SET | BackendValue::IN_LOCAL_SET;
/// The Service port; its backends are 1, 2, ...
pub(crate) const SERVICE: u32 = 1;
/// A backend on another node.
pub(crate) const ELSEWHERE: u8 = BackendValue::IN_CLUSTER_SET;

const CAPACITIES: Capacities =
    Capacities { conntrack: 65_536, frontends: 16, slots: 8_192, backends: 64, services: 8 };

/// What became of a packet, whatever the hook calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on to the host.
    Passed,
    /// It ends here.
    Dropped,
    /// It leaves by a link at once.
    Redirected,
    /// XDP sends it back by the link it came from; TC calls that a redirection.
    TurnedBack,
}

/// What came out of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) bytes: Vec<u8>,
}

impl Outcome {
    /// The packet that came out; every checksum and length of it is right.
    #[track_caller]
    pub(crate) fn frame(&self) -> Frame {
        Frame::read(&self.bytes)
    }

    /// Compares with what was promised.
    #[track_caller]
    pub(crate) fn is(&self, verdict: Verdict, frame: &Frame) {
        assert_eq!((self.verdict, &self.frame()), (verdict, frame));
    }
}

/// Programs and tables, at one case of a scene.
pub(crate) struct Rig {
    ebpf: Ebpf,
    pub(crate) maps: Maps,
    pub(crate) case: Case,
    /// What `REASONS` held when the case began.
    counted: BTreeMap<Reason, u64>,
}

/// Rigs that are not in use: the verifier takes half a second for the programs.
static IDLE: Mutex<Vec<Rig>> = Mutex::new(Vec::new());

/// Plays a scene for every hook, family and protocol. All clients are pods behind the link, and
/// there are no routes.
pub(crate) fn each(scene: impl Fn(&mut Rig)) {
    enter_namespace();
    play(scene);
}

/// The same on a router. All clients are behind the link, which is an uplink; so is the link that
/// routes lead to, and the node's address stands for clients on that.
pub(crate) fn each_routed(scene: impl Fn(&mut Rig, &Uplink)) {
    enter_namespace();
    let uplink = network::uplink();
    play(|rig| {
        rig.link(LINK, LinkValue::UPLINK, None);
        rig.link(uplink.index, LinkValue::UPLINK, Some(rig.case.node()));
        scene(rig, &uplink);
    });
}

/// A network namespace that dies with the test's thread.
fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("packet tests need root");
}

fn play(scene: impl Fn(&mut Rig)) {
    let idle = IDLE.lock().unwrap().pop();
    let mut rig = idle.unwrap_or_else(Rig::load);
    for case in Case::all() {
        // Shown when the scene fails.
        eprintln!("{case:?}");
        rig.clear();
        rig.case = case;
        rig.link(LINK, LinkValue::POD, None);
        scene(&mut rig);
    }
    IDLE.lock().unwrap().push(rig);
}

/// Plays a scene for those cases that its sentence is about.
pub(crate) fn each_where(wanted: impl Fn(Case) -> bool, scene: impl Fn(&mut Rig)) {
    each(|rig| {
        if wanted(rig.case) {
            scene(rig);
        }
    });
}

impl Rig {
    fn load() -> Self {
        let constants = Constants { hz: HZ, hash_seed: 42, netns_cookie: 0 };
        let mut ebpf = loader::load(&constants, &CAPACITIES, None).unwrap();
        for program in [loader::XDP, loader::TC_INGRESS, loader::TC_EGRESS] {
            loader::into_kernel(&mut ebpf, program).unwrap();
        }
        let maps = Maps::take(&mut ebpf).unwrap();
        let case = Case::all().next().unwrap();
        Self { ebpf, maps, case, counted: BTreeMap::new() }
    }

    /// Empties all maps. Counters go on; scenes look at their growth.
    fn clear(&mut self) {
        for (key, _) in self.maps.flows().unwrap() {
            self.maps.remove_flow(&key).unwrap();
        }
        for (key, _) in self.maps.affinities().unwrap() {
            self.maps.remove_affinity(&key).unwrap();
        }
        let tables = self.maps.tables().unwrap();
        for edit in tables::diff(&tables, &Tables::default()) {
            self.edit(edit);
        }
        for id in tables.backends.into_keys() {
            self.edit(Edit::Backend(id, Zeroable::zeroed()));
        }
        self.count_anew();
    }

    /// Lets [`Rig::reasons`] begin here.
    pub(crate) fn count_anew(&mut self) {
        self.counted = self.maps.reasons().unwrap();
    }

    /// Sends a packet into the case's ingress hook.
    #[track_caller]
    pub(crate) fn send(&mut self, frame: &Frame) -> Outcome {
        self.run(self.case.hook, &frame.bytes())
    }

    /// Sends bytes there.
    #[track_caller]
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.run(self.case.hook, bytes)
    }

    /// Sends a packet out by the link, through TC egress.
    #[track_caller]
    pub(crate) fn leave(&mut self, frame: &Frame) -> Outcome {
        self.run(Hook::TcEgress, &frame.bytes())
    }

    /// Runs a program.
    #[track_caller]
    pub(crate) fn run(&mut self, hook: Hook, bytes: &[u8]) -> Outcome {
        let output = test_run::run(&mut self.ebpf, hook, bytes).unwrap();
        let verdict = match (hook, output.action) {
            (Hook::Xdp, 1) | (Hook::TcIngress | Hook::TcEgress, 2) => Verdict::Dropped,
            (Hook::Xdp, 2) | (Hook::TcIngress | Hook::TcEgress, 3) => Verdict::Passed,
            (Hook::Xdp, 3) => Verdict::TurnedBack,
            (Hook::Xdp, 4) | (Hook::TcIngress | Hook::TcEgress, 7) => Verdict::Redirected,
            (hook, action) => panic!("{hook:?} returned action {action}"),
        };
        Outcome { verdict, bytes: output.frame }
    }

    /// How the hook says "back by the link it came from".
    pub(crate) fn turned_back(&self) -> Verdict {
        if self.case.is_xdp() { Verdict::TurnedBack } else { Verdict::Redirected }
    }

    /// Makes an edit.
    #[track_caller]
    pub(crate) fn edit(&mut self, edit: Edit) {
        self.maps.apply(&edit).unwrap();
    }

    /// Says what a link is, and what stands for clients on it.
    pub(crate) fn link(&mut self, index: u32, kind: u8, masquerade: Option<IpAddr>) {
        let addr = masquerade.map_or(Addr::ANY, Addr::from);
        let (v4, v6) = if addr.is_v4() { (addr, Addr::ANY) } else { (Addr::ANY, addr) };
        let link = LinkValue {
            masquerade_v4: v4,
            masquerade_v6: v6,
            kind,
            tc: 0,
            xdp: XdpState::NOT_AN_UPLINK,
            zero: [0; 5],
        };
        self.edit(Edit::Link(index, Some(link)));
    }

    /// Puts `count` backends of this node behind the VIP.
    pub(crate) fn serve(&mut self, count: u8) {
        let choice = self.behind(&self.case.backends(count), HERE);
        self.frontend(self.case.vip(), self.leading_to(choice));
    }

    /// Makes backends 1, 2, ... of these, and the range of slots 0 that holds them.
    pub(crate) fn behind(&mut self, backends: &[SocketAddr], flags: u8) -> Choice {
        for (n, addr) in (1..).zip(backends) {
            self.backend(n, *addr, flags);
        }
        let ids: Vec<u32> = (1..).take(backends.len()).collect();
        self.range(0, &ids)
    }

    /// Writes the `n`-th backend.
    pub(crate) fn backend(&mut self, n: u32, addr: SocketAddr, flags: u8) {
        let value = BackendValue { flags, ..self.backend_value(addr) };
        self.edit(Edit::Backend(n, value));
    }

    /// A backend of the case's service.
    pub(crate) fn backend_value(&self, addr: SocketAddr) -> BackendValue {
        BackendValue {
            addr: addr.ip().into(),
            port: Port::new(addr.port()),
            proto: self.case.proto,
            flags: HERE,
            service: SERVICE,
            generation: 1,
            zero: [0; 4],
        }
    }

    /// Writes backends into a range of slots; there are ranges 0 to 3.
    pub(crate) fn range(&mut self, range: u32, backends: &[u32]) -> Choice {
        let base = range * 2048;
        self.edit(Edit::Slots(base, backends.to_vec()));
        Choice { base, len: backends.len() as u32, flags: 0 }
    }

    /// A frontend of the case's service that leads everybody to `choice`.
    pub(crate) fn leading_to(&self, choice: Choice) -> FrontendValue {
        FrontendValue {
            service: SERVICE,
            affinity: 0,
            affinity_timeout_s: 0,
            inside: choice,
            outside: choice,
            kind: FrontendValue::CLUSTER_IP,
            zero: [0; 3],
        }
    }

    /// Writes a frontend.
    pub(crate) fn frontend(&mut self, at: SocketAddr, value: FrontendValue) {
        let key = FrontendKey::of(at.ip().into(), Port::new(at.port()), self.case.proto);
        self.edit(Edit::Frontend(key, Some(value)));
    }

    /// What was counted for the Service and its first backend since the programs were loaded.
    pub(crate) fn traffic(&self) -> [Traffic; 2] {
        [self.maps.service_traffic(SERVICE).unwrap(), self.maps.backend_traffic(1).unwrap()]
    }

    /// The half of a flow that is stored under `key`.
    #[track_caller]
    pub(crate) fn flow(&self, key: FlowKey) -> FlowValue {
        self.find_flow(key).unwrap_or_else(|| panic!("no flow {key:?}"))
    }

    /// The same, if it is there.
    pub(crate) fn find_flow(&self, key: FlowKey) -> Option<FlowValue> {
        self.maps
            .flows()
            .unwrap()
            .into_iter()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| value)
    }

    /// Takes the forward half of a flow away, as an eviction does.
    pub(crate) fn lose(&mut self, frame: &Frame) {
        self.maps.remove_flow(&frame.key(Edge::INGRESS)).unwrap();
    }

    /// Sends a packet to the VIP and tells the backend that was chosen.
    #[track_caller]
    pub(crate) fn chosen(&mut self, frame: &Frame) -> SocketAddr {
        let outcome = self.send(frame);
        let backend = outcome.frame().dst();
        outcome.is(Verdict::Passed, &frame.to(backend));
        assert_ne!(backend, frame.dst(), "nobody was chosen");
        backend
    }

    /// Reasons that were counted since the case began, or since [`Rig::count_anew`].
    pub(crate) fn reasons(&self) -> Vec<(Reason, u64)> {
        let before = |reason| self.counted.get(reason).copied().unwrap_or_default();
        let now = self.maps.reasons().unwrap();
        now.iter().map(|(r, n)| (*r, n - before(r))).filter(|(_, n)| *n != 0).collect()
    }

    /// Sends a packet that must pass as it is, uncounted.
    #[track_caller]
    pub(crate) fn passes(&mut self, frame: &Frame) {
        self.send(frame).is(Verdict::Passed, frame);
        assert_eq!(self.reasons(), []);
    }

    /// Sends a packet that must be dropped for this reason.
    #[track_caller]
    pub(crate) fn drops(&mut self, frame: &Frame, reason: Reason) {
        self.count_anew();
        let outcome = self.send(frame);
        assert_eq!((outcome.verdict, self.reasons()), (Verdict::Dropped, vec![(reason, 1)]));
    }
}
