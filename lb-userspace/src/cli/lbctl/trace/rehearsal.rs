//! The packet through the programs: what is known of its flow and its client is copied, then it
//! takes the way that it would take.

use super::call::Process;
use super::entry::{Doors, Entry};
use crate::bpf::pin::PinFolder;
use crate::bpf::private::{Action, Hook, Outcome, PrivateDatapath, Steps};
use crate::cli::lbctl::source::Source;
use crate::compile::proto;
use crate::link::route::{Way, way};
use crate::model::Protocol;
use crate::probe::frame::{self, Ends, Macs, Parsed};
use anyhow::{Context as _, Result, bail};
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::affinity::AffinityKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, Port};
use std::collections::{BTreeMap, BTreeSet};

/// Of the sender and of the node: nobody looks at them.
const MACS: Macs = ([0x02, 0x6c, 0x62, 0, 0, 1], [0x02, 0x6c, 0x62, 0, 0, 2]);
/// Room for flows in any case: where there is little, the kernel evicts early.
const SPARE: usize = 1_024;
/// Halves of flows that a connection takes, and as much again to spare.
const PER_CONNECTION: usize = 4;

/// Programs beside those of the node, and where packets are handed to them.
pub(super) struct Rehearsal<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) entry: Entry,
    doors: Doors,
    shadow: PrivateDatapath,
    process: Option<Process>,
}

/// What happened to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trail {
    /// The packet.
    pub(super) ends: Ends,
    /// What programs noted about it.
    pub(super) steps: Steps,
    /// The half of a flow of the node that it belongs to.
    pub(super) known: Option<(FlowKey, FlowValue)>,
    /// The half that says what it becomes.
    pub(super) half: Option<FlowValue>,
    /// The last program that changed or ended it.
    pub(super) program: Option<Program>,
    /// The reason that was counted.
    pub(super) reason: Option<Reason>,
    /// What became of it.
    pub(super) fate: Fate,
}

/// A program that a packet or a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// For frames.
    Frame(Hook),
    /// For `connect(2)`.
    Connect,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it came.
    Untouched,
    /// It ends here, and this is what its sender hears.
    Ended(Told),
    /// It became this, and the host's stack goes on with it.
    Stack(Ends, Way),
    /// It became this, and leaves by the link of this index at once.
    Leaves(Ends, u32),
    /// The socket sends this instead.
    Call(Ends),
}

/// What a sender hears of a packet that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing.
    Nothing,
    /// A TCP reset.
    Reset,
    /// ICMP: port unreachable.
    Unreachable,
    /// The call fails with this error.
    Error(&'static str),
}

impl<'a> Rehearsal<'a> {
    /// Loads the programs, for `count` connections like `ends`.
    pub(super) fn prepare(
        source: &'a Source<'a>,
        entry: Entry,
        ends: &Ends,
        count: usize,
    ) -> Result<Self> {
        let pins = PinFolder::new(&source.place.bpffs);
        let flows = u32::try_from(SPARE + PER_CONNECTION * count)?;
        let mut shadow =
            PrivateDatapath::beside(&pins, flows).context("loading the programs once more")?;
        let process = match &entry {
            Entry::Process { served: true } => Some(Process::join(&mut shadow, ends)?),
            Entry::Process { served: false } | Entry::Link { .. } => None,
        };
        let mut rehearsal = Self { source, entry, doors: Doors::of(source), shadow, process };
        rehearsal.copy_affinity(ends)?;
        Ok(rehearsal)
    }

    /// The next packet that belongs to no flow of the node.
    pub(super) fn unused(&self, mut all: impl Iterator<Item = Ends>) -> Result<Ends> {
        let free = all.find_map(|ends| match self.known(&ends) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(ends)),
            Err(error) => Some(Err(error)),
        });
        free.unwrap_or_else(|| bail!("each source port of this client has a flow already"))
    }

    /// Hands a packet to the programs, or lets a process connect.
    pub(super) fn send(&mut self, ends: &Ends) -> Result<Trail> {
        let mut trail = Trail {
            ends: *ends,
            steps: Steps::new(),
            known: None,
            half: None,
            program: None,
            reason: None,
            fate: Fate::Untouched,
        };
        if self.is_call(ends) {
            self.call(&mut trail)?;
        } else {
            self.walk(&mut trail)?;
        }
        Ok(trail)
    }

    /// Whether programs see the call of a process rather than its packets. Linux has no hook for
    /// calls on SCTP sockets: what they send is met where it leaves.
    fn is_call(&self, ends: &Ends) -> bool {
        matches!(self.entry, Entry::Process { .. }) && ends.protocol != Protocol::Sctp
    }

    fn call(&mut self, trail: &mut Trail) -> Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        let before = self.shadow.maps().reasons()?;
        trail.fate = process.connect(&mut self.shadow, &trail.ends)?;
        trail.steps = self.shadow.take_steps()?;
        trail.reason = grown(&before, &self.shadow.maps().reasons()?);
        trail.program = (trail.fate != Fate::Untouched).then_some(Program::Connect);
        Ok(())
    }

    /// In by a link, and out by another unless a program ends it or sends it out itself.
    fn walk(&mut self, trail: &mut Trail) -> Result<()> {
        trail.known = self.copy_flow(&trail.ends)?;
        let before = self.shadow.maps().reasons()?;
        let sent = frame::opening(&trail.ends, MACS)?;
        let mut packet = Outcome { action: Action::Pass, bytes: sent.clone() };
        for (hook, link) in self.entry.hooks() {
            if packet.action == Action::Pass {
                packet = self.run(hook, link, packet, trail)?;
            }
        }
        if packet.action == Action::Pass
            && let Some(link) = self.leaving(&packet.bytes)?
        {
            packet = self.run(Hook::TcEgress, link, packet, trail)?;
        }
        trail.reason = grown(&before, &self.shadow.maps().reasons()?);
        trail.fate = fate(&sent, &packet, trail)?;
        Ok(())
    }

    fn run(
        &mut self,
        hook: Hook,
        link: u32,
        packet: Outcome,
        trail: &mut Trail,
    ) -> Result<Outcome> {
        let outcome = self.shadow.run(hook, link, &packet.bytes)?;
        let noted = self.shadow.take_steps()?;
        if trail.program.is_none() {
            note(hook, noted, &mut trail.steps);
        }
        if outcome != packet {
            trail.program = Some(Program::Frame(hook));
            trail.half = self.shadow.maps().flow(&key(&ends(&packet.bytes)?, edge(hook)))?;
        }
        Ok(outcome)
    }

    /// The link with programs by which the host's stack sends a packet out.
    fn leaving(&self, bytes: &[u8]) -> Result<Option<u32>> {
        let dst = ends(bytes)?.dst.ip();
        let door = self.doors.towards(dst, way(dst)?).map(|(door, _)| door);
        Ok(door.filter(|door| door.tc).map(|door| door.index))
    }

    /// The half of a flow of the node that a packet belongs to, at either edge.
    fn known(&self, ends: &Ends) -> Result<Option<(FlowKey, FlowValue)>> {
        for edge in [Edge::INGRESS, Edge::EGRESS] {
            let key = key(ends, edge);
            if let Some(value) = self.source.maps.flow(&key)? {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// Copies both halves of the flow that a packet belongs to; gives its own half.
    fn copy_flow(&mut self, ends: &Ends) -> Result<Option<(FlowKey, FlowValue)>> {
        let Some((key, value)) = self.known(ends)? else { return Ok(None) };
        let other = other_half(&key, &value);
        self.shadow.maps_mut().put_flow(key, value)?;
        if let Some(reply) = self.source.maps.flow(&other)? {
            self.shadow.maps_mut().put_flow(other, reply)?;
        }
        Ok(Some((key, value)))
    }

    /// Copies what is remembered of a client at all frontends that it may mean.
    fn copy_affinity(&mut self, ends: &Ends) -> Result<()> {
        let client = if self.is_call(ends) { Addr::ANY } else { ends.src.ip().into() };
        let port = Port::new(ends.dst.port());
        let frontends = self.source.tables.frontends.iter();
        let meant = frontends.filter(|(key, value)| key.port == port && value.affinity != 0);
        let ids: BTreeSet<u32> = meant.map(|(_, value)| value.affinity).collect();
        for affinity in ids {
            let key = AffinityKey { client, affinity, zero: [0; 4] };
            if let Some(value) = self.source.maps.remembered(&key)? {
                self.shadow.maps_mut().put_affinity(key, value)?;
            }
        }
        Ok(())
    }
}

/// Adds what a program noted about a packet that nobody has translated yet. What XDP found out
/// before it left the packet to TC counts: TC finds the flow that XDP has opened. At egress only
/// flows are looked up, and one that is found is the packet's.
fn note(hook: Hook, noted: Steps, steps: &mut Steps) {
    for (step, word) in noted {
        if hook == Hook::TcEgress {
            steps.insert(step, word);
        } else {
            steps.entry(step).or_insert(word);
        }
    }
}

fn fate(sent: &[u8], packet: &Outcome, trail: &Trail) -> Result<Fate> {
    let answered = trail.reason.is_some_and(Reason::is_answered);
    Ok(match packet.action {
        Action::Drop => Fate::Ended(Told::Nothing),
        Action::Leave if answered => Fate::Ended(told(&packet.bytes)?),
        Action::Leave => {
            let half = trail.half.context("a packet left that belongs to no flow")?;
            Fate::Leaves(ends(&packet.bytes)?, half.link)
        }
        Action::Pass if packet.bytes == sent => Fate::Untouched,
        Action::Pass => {
            let now = ends(&packet.bytes)?;
            Fate::Stack(now, way(now.dst.ip())?)
        }
    })
}

/// What an answer is.
fn told(bytes: &[u8]) -> Result<Told> {
    match frame::read(bytes)? {
        Parsed::Reset(_) => Ok(Told::Reset),
        Parsed::Unreachable(..) => Ok(Told::Unreachable),
        Parsed::Data(ends) => bail!("a packet to {} was answered with data", ends.src),
    }
}

/// Who talks to whom in a packet.
fn ends(bytes: &[u8]) -> Result<Ends> {
    match frame::read(bytes).context("a packet came out that nobody takes")? {
        Parsed::Data(ends) => Ok(ends),
        Parsed::Reset(_) | Parsed::Unreachable(..) => bail!("a packet became an answer"),
    }
}

fn edge(hook: Hook) -> Edge {
    match hook {
        Hook::Xdp | Hook::TcIngress => Edge::INGRESS,
        Hook::TcEgress => Edge::EGRESS,
    }
}

fn key(ends: &Ends, edge: Edge) -> FlowKey {
    FlowKey {
        src: ends.src.ip().into(),
        dst: ends.dst.ip().into(),
        sport: Port::new(ends.src.port()),
        dport: Port::new(ends.dst.port()),
        proto: proto(ends.protocol),
        edge,
        zero: [0; 2],
    }
}

/// What the other half of a flow is found by (`nat::other_edge` in `lb-ebpf`).
fn other_half(key: &FlowKey, value: &FlowValue) -> FlowKey {
    let FlowValue { src, dst, sport, dport, .. } = *value;
    let is = |flag| value.flags & flag != 0;
    let reply = is(FlowValue::REPLY);
    let at_ingress = if is(FlowValue::OWN) { !reply } else { reply || is(FlowValue::SNAT) };
    let edge = if at_ingress { Edge::INGRESS } else { Edge::EGRESS };
    FlowKey { src, dst, sport, dport, ..*key }.reply(edge)
}

/// The reason that was counted between two looks.
fn grown(before: &BTreeMap<Reason, u64>, after: &BTreeMap<Reason, u64>) -> Option<Reason> {
    let counted = |reason: &Reason| before.get(reason).copied().unwrap_or_default();
    after.iter().find(|(reason, count)| **count > counted(reason)).map(|(reason, _)| *reason)
}
