//! What must come out.
//!
//! What was seen is told in the same words, so it can be compared and printed alike.

/// What the agent knows and wants.
pub(super) mod facts;

pub(super) use facts::Expectations;

use super::scenario::Remark;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It goes to a backend.
    Dnat,
    /// It is left alone.
    Pass,
    /// It is discarded without a word.
    Drop,
    /// It is refused.
    Reject,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dnat => "dnat",
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
        })
    }
}

/// What happens to the first packets of new connections.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) verdict: Verdict,
    /// All of these, and no other.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) backends: BTreeSet<SocketAddr>,
    /// The client's address is replaced, or not; absent: whatever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snat: Option<bool>,
    /// It is for these, although it is not for the rest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) snat_for: BTreeSet<SocketAddr>,
    /// A client comes back to its backend within so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) affinity: Option<u32>,
    #[serde(rename = "detail", skip_serializing)]
    pub(super) _detail: Remark,
    #[serde(rename = "by", skip_serializing)]
    pub(super) _by: Remark,
}

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keep {
    /// Its next packet goes where the last one went.
    Keep,
    /// It does not.
    Delete,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        })
    }
}

/// What happens to one connection of a sequence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pick {
    pub(super) verdict: Verdict,
    /// One of these; empty: anyone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) backends: BTreeSet<SocketAddr>,
    /// Nothing binds the choice: said for the reader, for one choice cannot show it.
    #[serde(default, rename = "anyBackend", skip_serializing)]
    pub(super) _any_backend: bool,
    /// The one that this earlier connection got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) same_backend_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snat: Option<bool>,
    #[serde(rename = "detail", skip_serializing)]
    pub(super) _detail: Remark,
}

/// What the health check server answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// JSON, or a text that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
    /// Those that must be there; others may be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
}
