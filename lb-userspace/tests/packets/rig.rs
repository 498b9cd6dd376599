//! Loaded programs with small maps of their own: packets in, verdicts and packets out.

use crate::case::Case;
use crate::frame::Frame;
use crate::hook::Hook;
use crate::network::{self, Link};
use crate::tables::SERVICE;
use crate::wire::Wire;
use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::links::LinkOrder;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{SchedClassifier, TcAttachType, TestRun as _, TestRunOptions};
use bytemuck::Zeroable;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};
use lb_common::layout::name;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_userspace::bpf::Raw;
use lb_userspace::bpf::loader::{self, Capacities, Constants};
use lb_userspace::bpf::maps::Maps;
use lb_userspace::reconcile::tables::{self, Edit, Tables};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

/// Jiffies a second, as the programs are told. What the kernel thinks does not matter: scenes
/// move the times in entries, not the clock.
pub(crate) const HZ: u32 = 250;
/// The link that packets come in by unless a scene says otherwise: loopback, the first of every
/// namespace.
pub(crate) const LINK: u32 = 1;
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

    /// Compares bytes with what was promised.
    #[track_caller]
    pub(crate) fn is_bytes(&self, verdict: Verdict, bytes: &[u8]) {
        assert_eq!((self.verdict, &self.bytes[..]), (verdict, bytes));
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
    /// What became of first fragments.
    pub(crate) fragments: Hash<FragmentKey, FragmentValue>,
    /// Fragments that wait.
    pub(crate) held: Hash<HeldKey, HeldValue>,
    heartbeats: Array<MapData, u64>,
    pub(crate) case: Case,
    /// The link that packets come in by.
    pub(crate) link: u32,
    /// What `REASONS` held when the case began.
    counted: BTreeMap<Reason, u64>,
}

type Hash<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;

/// Rigs that are not in use: the verifier takes half a second for the programs.
static IDLE: Mutex<Vec<Rig>> = Mutex::new(Vec::new());

/// Plays a scene for every hook, family and protocol. All clients are pods behind the link, and
/// there are no routes.
pub(crate) fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::all(), scene);
}

/// The same for these cases.
pub(crate) fn each_of(cases: impl Iterator<Item = Case>, scene: impl Fn(&mut Rig)) {
    enter_namespace();
    play(cases, scene);
}

/// The same on a router with one uplink, by which everything comes in and leaves; the node's
/// address stands for clients on it.
pub(crate) fn each_routed(scene: impl Fn(&mut Rig, &Link)) {
    each_routed_of(Case::all(), scene);
}

/// The same for these cases.
pub(crate) fn each_routed_of(cases: impl Iterator<Item = Case>, scene: impl Fn(&mut Rig, &Link)) {
    enter_namespace();
    let uplink = network::uplink();
    play(cases, |rig| {
        rig.link = uplink.index;
        rig.link(uplink.index, LinkValue::UPLINK, Some(rig.case.node()));
        scene(rig, &uplink);
    });
}

/// Plays a scene for these cases with TC programs on the uplink of a router, and pods behind
/// another link; the node's address stands for clients on the uplink.
pub(crate) fn each_wired(cases: impl Iterator<Item = Case>, scene: impl Fn(&mut Rig, &Wire)) {
    enter_namespace();
    let wire = Wire::new();
    play(cases, |rig| {
        rig.link = wire.uplink.index;
        rig.link(wire.uplink.index, LinkValue::UPLINK, Some(rig.case.node()));
        let attached = rig.attach();
        scene(rig, &wire);
        drop(attached);
    });
}

/// A network namespace that dies with the test's thread.
fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).expect("packet tests need root");
}

fn play(cases: impl Iterator<Item = Case>, scene: impl Fn(&mut Rig)) {
    let idle = IDLE.lock().unwrap().pop();
    let mut rig = idle.unwrap_or_else(Rig::load);
    for case in cases {
        // Shown when the scene fails.
        eprintln!("{case:?}");
        rig.clear();
        (rig.case, rig.link) = (case, LINK);
        rig.link(LINK, LinkValue::POD, None);
        scene(&mut rig);
    }
    IDLE.lock().unwrap().push(rig);
}

/// Plays a scene for those cases that its sentence is about.
pub(crate) fn each_where(wanted: impl Fn(Case) -> bool, scene: impl Fn(&mut Rig)) {
    each_of(Case::all().filter(|case| wanted(*case)), scene);
}

impl Rig {
    fn load() -> Self {
        let constants = Constants { hz: HZ, hash_seed: 42, netns_cookie: 0, watched: false };
        let mut ebpf = loader::load(&constants, &CAPACITIES, None).unwrap();
        loader::packet_programs(&mut ebpf).unwrap();
        let maps = Maps::take(&mut ebpf).unwrap();
        let fragments = ebpf.take_map(name::FRAGMENTS).unwrap().try_into().unwrap();
        let held = ebpf.take_map(name::HELD).unwrap().try_into().unwrap();
        let heartbeats = ebpf.take_map(name::HEARTBEATS).unwrap().try_into().unwrap();
        let case = Case::all().next().unwrap();
        Self { ebpf, maps, fragments, held, heartbeats, case, link: LINK, counted: BTreeMap::new() }
    }

    /// Empties all maps. Counters go on; scenes look at their growth.
    fn clear(&mut self) {
        self.lose_all();
        self.forget();
        empty(&mut self.fragments);
        empty(&mut self.held);
        self.set_heartbeats([0, 0]);
        let tables = self.maps.tables().unwrap();
        for edit in tables::diff(&tables, &Tables::default()) {
            self.edit(edit);
        }
        for id in tables.backends.into_keys() {
            self.edit(Edit::Backend(id, Zeroable::zeroed()));
        }
        self.count_anew();
    }

    /// Says when the agent's name server answered last, by family: nanoseconds of the monotonic
    /// clock.
    pub(crate) fn set_heartbeats(&mut self, beats: [u64; 2]) {
        for (index, beat) in (0..).zip(beats) {
            self.heartbeats.set(index, beat, 0).unwrap();
        }
    }

    /// Lets [`Rig::reasons`] begin here.
    pub(crate) fn count_anew(&mut self) {
        self.counted = self.maps.reasons().unwrap();
    }

    /// Attaches the TC programs to the uplink for as long as what it gives lives.
    fn attach(&mut self) -> Vec<SchedClassifierLink> {
        let sides = [
            (loader::TC_INGRESS, TcAttachType::Ingress),
            (loader::TC_EGRESS, TcAttachType::Egress),
        ];
        let attach = |(program, side)| {
            let order = TcAttachOptions::TcxOrder(LinkOrder::default());
            let tc = self.tc(program);
            let id = tc.attach_with_options("uplink", side, order).unwrap();
            tc.take_link(id).unwrap()
        };
        sides.into_iter().map(attach).collect()
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

    /// Runs a program over bytes that come in, or leave, by the link.
    #[track_caller]
    pub(crate) fn run(&mut self, hook: Hook, bytes: &[u8]) -> Outcome {
        let mut out = vec![0; bytes.len() + 256];
        let context = context(hook, self.link, bytes);
        let options = TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = match hook {
            Hook::Xdp => loader::xdp(&mut self.ebpf).unwrap().test_run(options),
            Hook::TcIngress => self.tc(loader::TC_INGRESS).test_run(options),
            Hook::TcEgress => self.tc(loader::TC_EGRESS).test_run(options),
        }
        .unwrap_or_else(|error| panic!("{hook:?} over {} bytes: {error}", bytes.len()));
        out.truncate(result.data_size_out as usize);
        Outcome { verdict: verdict(hook, result.return_value), bytes: out }
    }

    fn tc(&mut self, program: &str) -> &mut SchedClassifier {
        loader::tc(&mut self.ebpf, program).unwrap()
    }

    /// How the hook says "back by the link it came from".
    pub(crate) fn turned_back(&self) -> Verdict {
        if self.case.is_xdp() { Verdict::TurnedBack } else { Verdict::Redirected }
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

    /// Takes all flows away.
    pub(crate) fn lose_all(&mut self) {
        for (key, _) in self.maps.flows().unwrap() {
            self.maps.remove_flow(&key).unwrap();
        }
    }

    /// Forgets all clients.
    pub(crate) fn forget(&mut self) {
        for (key, _) in self.maps.affinities().unwrap() {
            self.maps.remove_affinity(&key).unwrap();
        }
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

fn empty<K: bytemuck::Pod, V: bytemuck::Pod>(map: &mut Hash<K, V>) {
    let keys: Vec<Raw<K>> = map.keys().map(Result::unwrap).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}

/// The beginning of `struct xdp_md` or `struct __sk_buff` (include/uapi/linux/bpf.h) for a frame
/// on a link; the rest is zero.
fn context(hook: Hook, link: u32, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    let words = match hook {
        // data, data_end, data_meta, ingress_ifindex
        Hook::Xdp => vec![0, len, 0, link],
        // ifindex is the eleventh word.
        Hook::TcIngress | Hook::TcEgress => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, link],
    };
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn verdict(hook: Hook, action: u32) -> Verdict {
    match (hook, action) {
        (Hook::Xdp, 1) | (Hook::TcIngress | Hook::TcEgress, 2) => Verdict::Dropped,
        (Hook::Xdp, 2) | (Hook::TcIngress | Hook::TcEgress, 3) => Verdict::Passed,
        (Hook::Xdp, 3) => Verdict::TurnedBack,
        (Hook::Xdp, 4) | (Hook::TcIngress | Hook::TcEgress, 7) => Verdict::Redirected,
        (hook, action) => panic!("{hook:?} returned action {action}"),
    }
}
