//! What the watches see, as changes of the model.
//!
//! A watch that starts anew tells everything again; what it does not tell any more is gone. Only
//! names are kept here: the objects are in the agent's model.

use super::watch::{Kind, Seen};
use crate::model::{Change, Node, ObjectName, Problem};
use crate::source::{Delivered, delivered};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one kind.
#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<ObjectName>,
    /// Those of a list that is under way.
    listed: Option<BTreeSet<ObjectName>>,
    complete: bool,
    /// Why the server could not be asked.
    trouble: Option<String>,
    /// Whether it can be, as it was told last.
    watched: Option<bool>,
}

impl Known {
    /// Whether the server can be asked now, if that was not told before.
    fn news_of_watch(&mut self, kind: Kind, seen: &Seen) -> Option<Change> {
        let is_watched = match seen {
            Seen::Trouble(_) => false,
            Seen::Restart => return None,
            Seen::Object(..) | Seen::Gone(_) | Seen::Complete => true,
        };
        let is_news = self.watched.replace(is_watched) != Some(is_watched);
        is_news.then_some(Change::Watched(kind.name(), is_watched))
    }
}

/// What is known of all kinds.
pub(super) struct Store {
    server: String,
    /// This node while the API server has no object for it.
    bare: Node,
    known: BTreeMap<Kind, Known>,
    problems: BTreeMap<(Kind, ObjectName), Vec<Problem>>,
    synced: bool,
}

impl Store {
    /// Nothing is known of the objects at `server`.
    pub(super) fn new(server: &str, bare: Node) -> Self {
        let known = Kind::ALL.map(|kind| (kind, Known::default())).into();
        Self { server: server.to_owned(), bare, known, problems: BTreeMap::new(), synced: false }
    }

    /// What follows from what a watch has seen.
    pub(super) fn take(&mut self, kind: Kind, seen: Seen) -> Vec<Change> {
        let mut changes = Vec::new();
        let had_node = self.missing_node().is_none();
        let known = self.known.entry(kind).or_default();
        let trouble = match &seen {
            Seen::Trouble(why) => Some(why.clone()),
            // A list that only begins proves nothing.
            Seen::Restart => known.trouble.clone(),
            Seen::Object(..) | Seen::Gone(_) | Seen::Complete => None,
        };
        let mut is_news = trouble != known.trouble;
        match (&known.trouble, &trouble) {
            (None, Some(why)) => {
                tracing::warn!("{}: {} cannot be watched: {why}", self.server, kind.plural());
            }
            (Some(_), None) => {
                tracing::info!("{}: {} can be watched again", self.server, kind.plural());
            }
            _ => {}
        }
        known.trouble = trouble;
        changes.extend(known.news_of_watch(kind, &seen));
        match seen {
            Seen::Trouble(_) => {}
            Seen::Restart => known.listed = Some(BTreeSet::new()),
            Seen::Object(name, value) => {
                known.names.insert(name.clone());
                known.listed.as_mut().map(|listed| listed.insert(name.clone()));
                is_news |= self.object(kind, &name, &value, &mut changes);
            }
            Seen::Gone(name) => {
                known.names.remove(&name);
                is_news |= self.gone(kind, name, &mut changes);
            }
            Seen::Complete => {
                known.complete = true;
                let listed = known.listed.take().unwrap_or_default();
                let gone: Vec<_> = known.names.difference(&listed).cloned().collect();
                known.names = listed;
                for name in gone {
                    is_news |= self.gone(kind, name, &mut changes);
                }
            }
        }
        if is_news || had_node != self.missing_node().is_none() {
            changes.push(Change::Problems(self.problems()));
        }
        if !self.synced && self.known.values().all(|known| known.complete) {
            self.synced = true;
            changes.push(Change::Synced);
        }
        changes
    }

    /// An object is told. True: its problems are others than before.
    fn object(
        &mut self,
        kind: Kind,
        name: &ObjectName,
        value: &Value,
        changes: &mut Vec<Change>,
    ) -> bool {
        let problems = match delivered(value) {
            Ok(delivered) => {
                let take = |Delivered { change, problems }| {
                    changes.push(change);
                    problems
                };
                delivered.into_iter().flat_map(take).collect()
            }
            // What was known of it stays.
            Err(problem) => vec![problem],
        };
        let key = (kind, name.clone());
        let before = self.problems.get(&key).map_or(&[][..], Vec::as_slice);
        if before == problems {
            return false;
        }
        for problem in &problems {
            tracing::warn!("{problem}");
        }
        if problems.is_empty() {
            self.problems.remove(&key);
        } else {
            self.problems.insert(key, problems);
        }
        true
    }

    /// An object is gone. True: with it, problems are.
    fn gone(&mut self, kind: Kind, name: ObjectName, changes: &mut Vec<Change>) -> bool {
        changes.push(match kind {
            Kind::Service => Change::Service(name.clone(), None),
            Kind::EndpointSlice => Change::Slice(name.clone(), None),
            Kind::Node => Change::Node(self.bare.clone()),
        });
        self.problems.remove(&(kind, name)).is_some()
    }

    fn problems(&self) -> Vec<Problem> {
        let trouble = self.known.iter().filter_map(|(kind, known)| {
            let why = known.trouble.as_ref()?;
            let message = format!(
                "{} cannot be watched: {why}; what is known of them stays, it is tried again",
                kind.plural()
            );
            Some(Problem { subject: self.server.clone(), field: String::new(), message })
        });
        let of_objects = self.problems.values().flatten().cloned();
        trouble.chain(self.missing_node()).chain(of_objects).collect()
    }

    /// What it means that the API server has no object for this node, if that is so.
    fn missing_node(&self) -> Option<Problem> {
        let nodes = self.known.get(&Kind::Node)?;
        let is_missing = nodes.complete && nodes.names.is_empty();
        is_missing.then(|| Problem {
            subject: format!("Node {}", self.bare.name),
            field: String::new(),
            message: format!(
                "{} has no such Node: give the name of this one with --node; until then no \
                 endpoint is local, zones and hints are unknown, and /healthz tells load balancers \
                 to stay away",
                self.server
            ),
        })
    }
}
