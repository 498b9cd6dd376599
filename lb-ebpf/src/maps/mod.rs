//! Every map and every load-time constant, with typed access.
//!
//! Names, sizes and meanings are in `lb_common::layout`. References into maps live as long as the
//! program runs: the kernel frees entries only after it.
#![expect(unsafe_code, reason = "map memory is shared with other CPUs and with the agent")]

/// Flows, and fragments that follow them.
mod flow;

pub(crate) use flow::{
    Entry, claim_flow, flow, forget_flow, forget_held, fragment, held, put_flow, put_fragment,
    put_held,
};

use crate::nat::Draft;
use crate::parse::Seen;
use crate::stage::{Errand, Stage};
use aya_ebpf::Global;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray};
use aya_ebpf::programs::{TcContext, XdpContext};
use lb_common::flow::FlowKey;
use lb_common::layout::address::AddressValue;
use lb_common::layout::affinity::{AffinityKey, AffinityValue, SiblingKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::capacity;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::heartbeat;
use lb_common::layout::node::{Clock, LinkValue};
use lb_common::layout::service::ServiceValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;

const ANY: u64 = 0;
const NO_EXIST: u64 = 1;
/// Entries are allocated when they are made: most hosts use a small part of the capacity.
const NO_PREALLOC: u32 = 1;

#[map]
static CONNTRACK: LruHashMap<FlowKey, FlowValue> =
    LruHashMap::with_max_entries(capacity::CONNTRACK, 0);
#[map]
static FRAGMENTS: LruHashMap<FragmentKey, FragmentValue> =
    LruHashMap::with_max_entries(capacity::FRAGMENTS, 0);
#[map]
static HELD: LruHashMap<HeldKey, HeldValue> = LruHashMap::with_max_entries(capacity::HELD, 0);
#[map]
static ADDRESSES: HashMap<Addr, AddressValue> =
    HashMap::with_max_entries(capacity::ADDRESSES, NO_PREALLOC);
#[map]
static FRONTENDS: HashMap<FrontendKey, FrontendValue> =
    HashMap::with_max_entries(capacity::FRONTENDS, NO_PREALLOC);
#[map]
static SOURCE_RANGES: LpmTrie<[u8; 20], u32> =
    LpmTrie::with_max_entries(capacity::SOURCE_RANGES, NO_PREALLOC);
#[map]
static SLOTS: Array<u32> = Array::with_max_entries(capacity::SLOTS, 0);
#[map]
static BACKENDS: Array<BackendValue> = Array::with_max_entries(capacity::BACKENDS, 0);
#[map]
static AFFINITY: LruHashMap<AffinityKey, AffinityValue> =
    LruHashMap::with_max_entries(capacity::AFFINITY, 0);
#[map]
static SIBLINGS: HashMap<SiblingKey, u32> =
    HashMap::with_max_entries(capacity::SIBLINGS, NO_PREALLOC);
#[map]
static SOCKETS: LruHashMap<SocketKey, SocketValue> =
    LruHashMap::with_max_entries(capacity::SOCKETS, 0);
#[map]
static LINKS: HashMap<u32, LinkValue> = HashMap::with_max_entries(capacity::LINKS, NO_PREALLOC);
#[map]
static CLUSTER_CIDRS: LpmTrie<[u8; 16], u32> =
    LpmTrie::with_max_entries(capacity::CLUSTER_CIDRS, 0);
#[map]
static CLOCK: Array<Clock> = Array::with_max_entries(1, 0);
#[map]
static HEARTBEATS: Array<u64> = Array::with_max_entries(heartbeat::COUNT, 0);
#[map]
static SERVICES: HashMap<u32, ServiceValue> =
    HashMap::with_max_entries(capacity::SERVICES, NO_PREALLOC);
#[map]
static SERVICE_STATS: PerCpuArray<Traffic> = PerCpuArray::with_max_entries(capacity::SERVICES, 0);
#[map]
static BACKEND_STATS: PerCpuArray<Traffic> = PerCpuArray::with_max_entries(capacity::BACKENDS, 0);
#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT as u32, 0);
#[map]
static STAGES: ProgramArray = ProgramArray::with_max_entries(Stage::COUNT, 0);
#[map]
static XDP_STAGES: ProgramArray = ProgramArray::with_max_entries(Stage::COUNT, 0);

// Room for one packet at a time, of this object alone: never pinned.
#[map]
static SEEN: PerCpuArray<Seen> = PerCpuArray::with_max_entries(1, 0);
#[map]
static ERRAND: PerCpuArray<Errand> = PerCpuArray::with_max_entries(1, 0);
#[map]
static DRAFT: PerCpuArray<Draft> = PerCpuArray::with_max_entries(1, 0);
#[map]
static CELLS: PerCpuArray<HeldValue> = PerCpuArray::with_max_entries(2, 0);

#[map]
static STEPS: Array<u64> = Array::with_max_entries(Step::COUNT as u32, 0);

// Written by the agent before the programs are loaded; the verifier takes them for constants.
// SAFETY (for each): the names are unique in this program.
#[unsafe(no_mangle)]
static HZ: Global<u32> = Global::new(250);
#[unsafe(no_mangle)]
static HASH_SEED: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static WATCHED: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static NETNS_COOKIE: Global<u64> = Global::new(0);

/// Jiffies a second; never 0, which leaves no panic for divisions by it.
#[inline(always)]
pub(crate) fn hz() -> u32 {
    HZ.load().max(1)
}

/// What makes this node's hashes its own.
#[inline(always)]
pub(crate) fn hash_seed() -> u64 {
    HASH_SEED.load()
}

/// The node's network namespace; 0: any.
#[inline(always)]
pub(crate) fn netns_cookie() -> u64 {
    NETNS_COOKIE.load()
}

/// Notes a step of a packet, if the programs were loaded to be watched. In others there is nothing
/// of this left: the verifier knows the constant, and removes what it rules out.
#[inline(always)]
pub(crate) fn step(step: Step, word: u64) {
    if WATCHED.load() == 0 {
        return;
    }
    if let Some(cell) = STEPS.get_ptr_mut(step as u32) {
        // SAFETY: one packet at a time is watched.
        unsafe { cell.write(word | Step::TAKEN) };
    }
}

/// Room for a fragment on its way into `HELD`.
#[inline(always)]
pub(crate) fn held_cell() -> Option<&'static mut HeldValue> {
    cell(0)
}

/// Room for a first fragment while others use its frame.
#[inline(always)]
pub(crate) fn own_cell() -> Option<&'static mut HeldValue> {
    cell(1)
}

#[inline(always)]
fn cell(index: u32) -> Option<&'static mut HeldValue> {
    let cell = CELLS.get_ptr_mut(index)?;
    // SAFETY: the cell belongs to this CPU, programs of one hook do not interrupt each other, and
    // each cell has one user.
    Some(unsafe { &mut *cell })
}

/// Hands over what was read of a packet.
#[inline(always)]
pub(crate) fn hand_over(seen: &Seen) {
    if let Some(cell) = SEEN.get_ptr_mut(0) {
        // SAFETY: the cell belongs to this CPU, and programs of one hook do not interrupt each
        // other. A program that was handed something over hands over nothing of this kind.
        unsafe { cell.write(*seen) };
    }
}

/// What was read of the packet by the program that handed it over.
#[inline(always)]
pub(crate) fn handed_over() -> Option<&'static Seen> {
    SEEN.get(0)
}

/// Says what the next program has to do.
#[inline(always)]
pub(crate) fn send_on(errand: Errand) {
    if let Some(cell) = ERRAND.get_ptr_mut(0) {
        // SAFETY: as in `hand_over`; readers copy it.
        unsafe { cell.write(errand) };
    }
}

/// What this program has to do.
#[inline(always)]
pub(crate) fn errand() -> Errand {
    ERRAND.get(0).copied().unwrap_or_default()
}

/// Room for a flow in the making.
#[inline(always)]
pub(crate) fn draft() -> Option<&'static mut Draft> {
    let cell = DRAFT.get_ptr_mut(0)?;
    // SAFETY: as in `cell`.
    Some(unsafe { &mut *cell })
}

/// Goes on in another TC program; comes back only if it is missing.
#[inline(always)]
pub(crate) fn go_on(ctx: *mut __sk_buff, stage: Stage) {
    // SAFETY: `ctx` is the context that the kernel passed to the program, and so its programs.
    unsafe { STAGES.tail_call(&TcContext::new(ctx), stage as u32) };
}

/// The same in XDP.
#[inline(always)]
pub(crate) fn go_on_in_xdp(ctx: *mut xdp_md, stage: Stage) {
    // SAFETY: as in `go_on`.
    unsafe { XDP_STAGES.tail_call(&XdpContext::new(ctx), stage as u32) };
}

/// The frontend under this key.
#[inline(always)]
pub(crate) fn frontend(key: &FrontendKey) -> Option<&'static FrontendValue> {
    // SAFETY: the agent replaces whole values, and old ones stay until the program ends.
    unsafe { FRONTENDS.get(key) }
}

/// The backend id in a slot.
#[inline(always)]
pub(crate) fn slot(index: u32) -> Option<u32> {
    SLOTS.get(index).copied()
}

/// A backend.
#[inline(always)]
pub(crate) fn backend(id: u32) -> Option<&'static BackendValue> {
    BACKENDS.get(id)
}

/// When the agent's name server answered last, in nanoseconds of the monotonic clock.
#[inline(always)]
pub(crate) fn heartbeat(v6: bool) -> u64 {
    let beat = HEARTBEATS.get_ptr(if v6 { heartbeat::V6 } else { heartbeat::V4 });
    // SAFETY: the agent writes the word as a whole.
    beat.map_or(0, |beat| unsafe { beat.read_volatile() })
}

/// The backend that a client had last.
#[inline(always)]
pub(crate) fn affinity(key: &AffinityKey) -> Option<&'static AffinityValue> {
    // SAFETY: values are three words; a mixture of two would name a backend whose generation or
    // service is checked before it is used.
    unsafe { AFFINITY.get(key) }
}

/// Remembers the backend of a client.
#[inline(always)]
pub(crate) fn put_affinity(key: &AffinityKey, value: &AffinityValue) {
    // A full table loses affinity, not the connection.
    let _ = AFFINITY.insert(key, value, ANY);
}

/// What stands for an address in the eyes of a socket.
#[inline(always)]
pub(crate) fn socket(key: &SocketKey) -> Option<&'static SocketValue> {
    // SAFETY: only the process that owns the socket changes its entries.
    unsafe { SOCKETS.get(key) }
}

/// Remembers what stands for an address.
#[inline(always)]
pub(crate) fn put_socket(key: &SocketKey, value: &SocketValue) -> bool {
    SOCKETS.insert(key, value, ANY).is_ok()
}

/// What the agent knows of a link; index 0 holds the node's primary addresses.
#[inline(always)]
pub(crate) fn link(index: u32) -> Option<&'static LinkValue> {
    // SAFETY: the agent replaces whole values, and old ones stay until the program ends.
    unsafe { LINKS.get(index) }
}

/// What an address means; nothing for most.
#[inline(always)]
pub(crate) fn address(addr: &Addr) -> AddressValue {
    // SAFETY: a value is one word.
    unsafe { ADDRESSES.get(addr) }.copied().unwrap_or_default()
}

/// Whether a client may use the guarded frontends of a service port.
#[inline(always)]
pub(crate) fn in_source_range(service: u32, client: &Addr) -> bool {
    let key: [[u8; 4]; 5] = {
        let [a, b, c, d]: [[u8; 4]; 4] = bytemuck::cast(client.0);
        [service.to_ne_bytes(), a, b, c, d]
    };
    SOURCE_RANGES.get(Key::new(160, bytemuck::cast(key))).is_some()
}

/// The backend of a service port at an endpoint's address.
#[inline(always)]
pub(crate) fn sibling(key: &SiblingKey) -> Option<u32> {
    // SAFETY: a value is one word.
    unsafe { SIBLINGS.get(key) }.copied()
}

/// Whether this address belongs to a pod of the cluster.
#[inline(always)]
pub(crate) fn in_cluster(addr: &Addr) -> bool {
    CLUSTER_CIDRS.get(Key::new(128, addr.0)).is_some()
}

/// Counts a packet of `bytes` bytes for a service port and its backend.
#[inline(always)]
pub(crate) fn count(service: u32, backend: u32, bytes: u32) {
    if let Some(cell) = SERVICE_STATS.get_ptr_mut(service) {
        add(cell, bytes);
    }
    if let Some(cell) = BACKEND_STATS.get_ptr_mut(backend) {
        add(cell, bytes);
    }
}

#[inline(always)]
fn add(cell: *mut Traffic, bytes: u32) {
    // SAFETY: the cell belongs to this CPU, and programs of one hook do not interrupt each other.
    let cell = unsafe { &mut *cell };
    cell.packets += 1;
    cell.bytes += u64::from(bytes);
}

/// Counts an opened flow.
#[inline(always)]
pub(crate) fn count_connection(service: u32, backend: u32) {
    let cells = [SERVICE_STATS.get_ptr_mut(service), BACKEND_STATS.get_ptr_mut(backend)];
    for cell in cells.into_iter().flatten() {
        // SAFETY: as in `add`.
        unsafe { (*cell).connections += 1 };
    }
}

/// Counts a packet that met a reason.
#[inline(always)]
pub(crate) fn count_reason(reason: Reason) {
    count_number(reason as u32);
}

/// Counts a packet that met the reason of this number.
#[inline(always)]
pub(crate) fn count_number(reason: u32) {
    if let Some(cell) = REASONS.get_ptr_mut(reason) {
        // SAFETY: as in `add`.
        unsafe { *cell += 1 };
    }
}
