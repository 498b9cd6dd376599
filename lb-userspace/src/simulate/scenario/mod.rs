//! A scenario: one node's view of a cluster, what happens to it, and what is sent.
//!
//! These are the words of the format (`docs/simulate.md`), nothing more: what must come out is in
//! [`expect`](super::expect). A field that is not here is an error of the file. Remarks for the
//! reader of a file may be anything.

/// The node.
mod node;
/// What is sent.
mod traffic;

pub(super) use node::Node;
pub(super) use traffic::{Class, Connection, Flow, Packet, Request};

use super::expect::Expectations;
use crate::source::Delivered;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// A remark for the reader of the file.
pub(super) type Remark = Option<IgnoredAny>;

/// A whole scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub id: String,
    /// What it is about; may be empty.
    pub title: String,
    pub(super) node: Node,
    /// The first one is the start, with all objects.
    pub(super) steps: Vec<Step>,
}

/// What stands at the top of a file only.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Head {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<Kind>,
    pub(super) node: Node,
    #[serde(default)]
    pub(super) objects: Vec<Value>,
    /// Further steps, each a [`Step`] with its [`Expectations`].
    #[serde(default)]
    pub(super) then: Vec<Map<String, Value>>,
    #[serde(rename = "facts")]
    _facts: Remark,
    #[serde(rename = "areas")]
    _areas: Remark,
    #[serde(rename = "source")]
    _source: Remark,
    #[serde(rename = "upstream")]
    _upstream: Remark,
    #[serde(rename = "notes")]
    _notes: Remark,
    #[serde(rename = "adapted")]
    _adapted: Remark,
    #[serde(rename = "notAdmissible")]
    _not_admissible: Remark,
}

impl Head {
    /// The names of its fields.
    pub(super) const FIELDS: [&str; 13] = [
        "id",
        "title",
        "kind",
        "node",
        "objects",
        "then",
        "facts",
        "areas",
        "source",
        "upstream",
        "notes",
        "adapted",
        "notAdmissible",
    ];
}

/// What a scenario is mainly about. Everything in it is judged, whatever this says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Packets,
    Flows,
    Http,
    Sequence,
    Words,
}

/// Something happens, and then it is looked again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Step {
    #[serde(rename = "label")]
    _label: Remark,
    /// The agent was down meanwhile.
    #[serde(default)]
    pub(super) restart: bool,
    #[serde(default)]
    pub(super) events: Vec<Event>,
    /// `events`, read.
    #[serde(skip)]
    pub(super) changes: Vec<Delivered>,
    #[serde(default)]
    pub(super) packets: Vec<Packet>,
    #[serde(default)]
    pub(super) flows: Vec<Flow>,
    #[serde(default)]
    pub(super) sequence: Vec<Connection>,
    #[serde(default)]
    pub(super) http: Vec<Request>,
    #[serde(default)]
    pub(super) http_closed: Vec<u16>,
    /// The proxy's own health; absent: it is healthy.
    pub(super) proxy_healthy: Option<bool>,
    #[serde(skip)]
    pub(super) expected: Expectations,
}

impl Step {
    /// The names of its fields, but for those of [`Expectations`].
    pub(super) const FIELDS: [&str; 9] = [
        "label",
        "restart",
        "events",
        "packets",
        "flows",
        "sequence",
        "http",
        "httpClosed",
        "proxyHealthy",
    ];
}

/// What a watch delivers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) op: Op,
    pub(super) object: Value,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Op {
    Add,
    Update,
    Delete,
}
