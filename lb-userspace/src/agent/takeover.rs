//! Taking a node over from another proxy without breaking a connection.
//!
//! Before the programs are attached for the first time, the kernel's connections are looked
//! through: those that somebody translated for one of our frontends are left alone. More of them
//! may begin until the last program is attached, so it is looked again. In between programs open
//! a flow for a SYN only ([`LinkValue::TAKING_OVER`](lb_common::layout::node::LinkValue)): whatever
//! else belongs to no flow passes on, as before. So no connection of the other proxy can begin
//! once the programs are attached, and the second look sees all of them. UDP has no SYN: its flows
//! may begin with the other proxy until programs open them too, which is what the third look is
//! for.
//!
//! Afterwards it is looked now and then until all of them have ended: entries are put back that
//! the kernel forgot, and those are forgotten that have ended unseen.

use crate::bpf::datapath::Datapath;
use crate::foreign::{self, Ours};
use crate::reconcile::Tables;
use anyhow::{Context as _, Result};
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::node::LinkValue;
use std::collections::{BTreeMap, BTreeSet};

/// How far the takeover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not all connections of another proxy are known.
    Open,
    /// An agent before this one took the node over, and some of them were left.
    Adopted,
    /// They are waited for.
    Waiting,
    /// There is none, and never will be.
    Over,
}

/// Connections of another proxy, and how many are left.
pub(super) struct Takeover {
    stage: Stage,
    /// Halves of flows, the reply half by the forward half.
    known: BTreeMap<FlowKey, FlowKey>,
    /// Those that netfilter did not have when it was last looked: a list that is read while it
    /// changes may miss one.
    missing: BTreeSet<FlowKey>,
    left: Option<usize>,
    /// Why they could not be looked for.
    failure: Option<String>,
}

impl Takeover {
    /// `tables`: what the last agent left.
    pub(super) fn new(tables: &Tables) -> Self {
        let mark = tables.links.get(&0).map_or(0, |node| node.kind);
        let stage = match mark {
            LinkValue::TAKEN_OVER => Stage::Adopted,
            LinkValue::TAKING_OVER => Stage::Open,
            _ if tables.links.is_empty() => Stage::Open,
            _ => Stage::Over,
        };
        Self {
            stage,
            known: BTreeMap::new(),
            missing: BTreeSet::new(),
            left: (stage == Stage::Over).then_some(0),
            failure: None,
        }
    }

    /// What the node's entry of `LINKS` says of it, to programs and to the next agent.
    pub(super) fn mark(&self) -> u8 {
        match self.stage {
            Stage::Open => LinkValue::TAKING_OVER,
            Stage::Adopted | Stage::Waiting => LinkValue::TAKEN_OVER,
            Stage::Over => 0,
        }
    }

    /// Whether connections of another proxy may still be unknown.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// From now on all of them are known.
    pub(super) fn close(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Waiting;
        }
    }

    /// Whether some may be left.
    pub(super) fn is_unfinished(&self) -> bool {
        self.stage != Stage::Over
    }

    /// How many live; `None`: nobody has looked.
    pub(super) fn left(&self) -> Option<usize> {
        self.left
    }

    /// Why they could not be looked for, if that is so.
    pub(super) fn failure(&self) -> Option<&String> {
        self.failure.as_ref()
    }

    /// Looks through the kernel's connections, and leaves those of another proxy alone.
    pub(super) fn look(&mut self, datapath: &mut Datapath, tables: &Tables) {
        let looked = self.try_to_look(datapath, tables);
        self.failure = looked.err().map(|error| format!("{error:#}"));
        if let Some(failure) = &self.failure {
            tracing::error!("{failure}");
        }
    }

    fn try_to_look(&mut self, datapath: &mut Datapath, tables: &Tables) -> Result<()> {
        if self.stage == Stage::Adopted {
            self.known = left_alone(datapath)?;
            self.stage = Stage::Waiting;
        }
        let connections = foreign::translated().context("looking for connections of kube-proxy")?;
        let (ours, seen) = (Ours::of(tables), datapath.jiffies()?);
        let (mut there, mut left) = (BTreeMap::new(), 0);
        for connection in &connections {
            let Some(flow) = ours.flow(connection, seen) else { continue };
            let maps = datapath.maps_mut();
            if maps.leave_alone(flow.forward.0, flow.forward.1)? {
                maps.leave_alone(flow.reply.0, flow.reply.1)?;
                there.insert(flow.forward.0, flow.reply.0);
                left += usize::from(!connection.progress.is_closed());
            }
        }
        self.forget_ended(there, datapath)?;
        self.left = Some(left);
        if self.stage == Stage::Waiting && self.known.is_empty() {
            self.stage = Stage::Over;
        }
        Ok(())
    }

    /// Forgets those that were not there twice in a row.
    fn forget_ended(
        &mut self,
        there: BTreeMap<FlowKey, FlowKey>,
        datapath: &mut Datapath,
    ) -> Result<()> {
        let known = std::mem::replace(&mut self.known, there);
        let missing = std::mem::take(&mut self.missing);
        for (forward, reply) in known {
            if self.known.contains_key(&forward) {
                continue;
            }
            if missing.contains(&forward) {
                datapath.maps_mut().forget_foreign(&forward)?;
                datapath.maps_mut().forget_foreign(&reply)?;
            } else {
                self.missing.insert(forward);
                self.known.insert(forward, reply);
            }
        }
        Ok(())
    }
}

/// The flows that the last agent left alone.
fn left_alone(datapath: &Datapath) -> Result<BTreeMap<FlowKey, FlowKey>> {
    let flows = datapath.maps().flows()?.into_iter();
    let foreign = flows.filter(|(_, value)| value.is_foreign());
    Ok(foreign.filter_map(|(key, value)| Some((key, reply_key(&key, &value)?))).collect())
}

/// What the reply half of a forward half is found by (`nat::other_edge` in `lb-ebpf`).
fn reply_key(key: &FlowKey, value: &FlowValue) -> Option<FlowKey> {
    use lb_common::flow::Edge;
    if value.flags & FlowValue::REPLY != 0 {
        return None;
    }
    let edge = if value.flags & FlowValue::SNAT != 0 { Edge::INGRESS } else { Edge::EGRESS };
    let FlowValue { src, dst, sport, dport, .. } = *value;
    Some(FlowKey { src, dst, sport, dport, ..*key }.reply(edge))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;

    fn after(mark: Option<u8>) -> Stage {
        let node = mark.map(|kind| (0, LinkValue { kind, ..LinkValue::zeroed() }));
        let tables = Tables { links: node.into_iter().collect(), ..Tables::default() };
        Takeover::new(&tables).stage
    }

    #[test]
    fn the_next_agent_knows_how_far_the_last_one_came() {
        assert_eq!(after(None), Stage::Open, "there was none");
        assert_eq!(after(Some(LinkValue::TAKING_OVER)), Stage::Open, "it died in between");
        assert_eq!(after(Some(LinkValue::TAKEN_OVER)), Stage::Adopted);
        assert_eq!(after(Some(0)), Stage::Over);
    }

    #[test]
    fn where_nothing_is_left_nobody_looks() {
        let node = (0, LinkValue::zeroed());
        let tables = Tables { links: [node].into(), ..Tables::default() };
        let takeover = Takeover::new(&tables);
        assert!(!takeover.is_unfinished());
        assert_eq!((takeover.left(), takeover.mark()), (Some(0), 0));
    }
}
