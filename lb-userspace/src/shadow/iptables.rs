//! What `iptables-save` and `ip6tables-save` print, to leads.

use super::{Frontend, Lead, Leads, proto};
use crate::compile::Family;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Chains whose rules are aimed at frontends.
const HEADS: [&str; 3] = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS"];

/// Chains lead to chains.
const DEPTH: u32 = 5;

/// Where frontends of a ruleset lead.
pub(super) fn read(text: &str, family: Family) -> Leads {
    let rules: Vec<Rule<'_>> = text.lines().filter_map(Rule::read).collect();
    let mut chains = Chains::new();
    for rule in &rules {
        chains.entry(rule.chain).or_default().push(rule);
    }
    let heads = || rules.iter().filter(|rule| HEADS.contains(&rule.chain));
    let mut leads = Leads::new();
    for rule in heads() {
        if let (Some(frontend), Some(lead)) = (rule.frontend(family), rule.lead(&chains)) {
            leads.insert(frontend, lead);
        }
    }
    // What the filter table ends never arrives, whatever the nat table has translated it to.
    for rule in heads() {
        if let (Some(frontend), Some(lead)) = (rule.frontend(family), rule.end()) {
            leads.insert(frontend, lead);
        }
    }
    leads
}

type Chains<'a> = BTreeMap<&'a str, Vec<&'a Rule<'a>>>;

/// A line that appends a rule.
struct Rule<'a> {
    chain: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Rule<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (chain, rest) = line.strip_prefix("-A ")?.split_once(' ')?;
        Some(Self { chain, words: words(rest) })
    }

    /// The word behind an option.
    fn value(&self, option: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| *word == option)?;
        self.words.get(at + 1).copied()
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn frontend(&self, family: Family) -> Option<Frontend> {
        let addr = match self.value("-d") {
            Some(range) => Some(host(range)?),
            None => None,
        };
        let (port, proto) = (self.value("--dport")?.parse().ok()?, proto(self.value("-p")?)?);
        Some(Frontend { addr, family, port, proto })
    }

    /// How a packet ends here, if it does.
    fn end(&self) -> Option<Lead> {
        match self.value("-j")? {
            "REJECT" => Some(Lead::Refused),
            "DROP" => Some(Lead::Dropped),
            _ => None,
        }
    }

    fn lead(&self, chains: &Chains<'_>) -> Option<Lead> {
        let chain = self.value("-j").filter(|chain| leads_on(chain))?;
        let mut endpoints = BTreeSet::new();
        follow(chain, chains, DEPTH, &mut endpoints);
        Some(Lead::To(endpoints))
    }

    /// Whether it is for some clients only: those inside, or processes of the node.
    fn is_for_some(&self) -> bool {
        self.has("-s") || self.has("--src-type")
    }
}

/// Whether a chain is one of those that lead to endpoints.
fn leads_on(chain: &str) -> bool {
    const KINDS: [&str; 5] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-"];
    KINDS.iter().any(|kind| chain.starts_with(kind))
}

/// Adds the endpoints that a chain leads to: from outside (`EXT`), behind a firewall (`FW`), by
/// policy (`SVC`, `SVL`), to an endpoint (`SEP`).
fn follow(chain: &str, chains: &Chains<'_>, depth: u32, endpoints: &mut BTreeSet<SocketAddr>) {
    if depth == 0 {
        return;
    }
    let from_outside = chain.starts_with("KUBE-EXT-");
    for rule in chains.get(chain).into_iter().flatten() {
        endpoints
            .extend(rule.value("--to-destination").and_then(|to| to.parse::<SocketAddr>().ok()));
        let next = rule.value("-j").filter(|next| leads_on(next));
        if let Some(next) = next.filter(|_| !(from_outside && rule.is_for_some())) {
            follow(next, chains, depth - 1, endpoints);
        }
    }
}

/// The address of a range of one address.
fn host(range: &str) -> Option<IpAddr> {
    let range: IpNet = range.parse().ok()?;
    (range.prefix_len() == range.max_prefix_len()).then(|| range.addr())
}

/// Words, of which a quoted one may have spaces.
fn words(text: &str) -> Vec<&str> {
    let mut rest = text.trim();
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}
