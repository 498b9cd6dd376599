//! What became of packets: of one, and of many first packets of connections together.

use super::expect::{Expect, Verdict};
use super::scenario::{Class, Node};
use crate::bpf::private::{Action, Outcome};
use crate::model::Protocol;
use crate::probe::frame::{self, Ends, Parsed};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is on its way to this backend, from this address if that is known.
    Dnat(SocketAddr, Option<IpAddr>),
    /// It goes on untouched.
    Pass,
    /// It was discarded.
    Drop,
    /// Its sender was refused.
    Reject,
    /// Something that no verdict is.
    Odd(String),
}

impl Fate {
    /// What became of `sent`, a packet between `ends`, if this came out of the last program.
    pub(super) fn of(ends: &Ends, sent: &[u8], outcome: &Outcome) -> Self {
        let Outcome { action, bytes } = outcome;
        match action {
            Action::Drop => return Self::Drop,
            Action::Pass if bytes == sent => return Self::Pass,
            Action::Pass | Action::Leave => {}
        }
        let back = Ends { src: ends.dst, dst: ends.src, ..*ends };
        match frame::read(bytes) {
            Err(error) => Self::Odd(format!("a packet came out that nobody takes: {error:#}")),
            Ok(Parsed::Reset(reset)) if *action == Action::Leave && reset == back => Self::Reject,
            Ok(Parsed::Unreachable(to, about)) => {
                let is_ours = *action == Action::Leave && to == ends.src.ip() && about == *ends;
                if is_ours {
                    Self::Reject
                } else {
                    Self::Odd(format!("an ICMP error went to {to}"))
                }
            }
            Ok(Parsed::Reset(now) | Parsed::Data(now)) => Self::translated(ends, &now),
        }
    }

    fn translated(ends: &Ends, now: &Ends) -> Self {
        if now.protocol != ends.protocol {
            Self::Odd(format!("it became a {} packet", now.protocol.name()))
        } else if now.dst == ends.dst {
            Self::Odd(format!("it was changed and still goes to {}", now.dst))
        } else {
            Self::Dnat(now.dst, Some(now.src.ip()))
        }
    }
}

/// How backends saw a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sources {
    kept: bool,
    replaced: bool,
}

/// What became of several connections of one client to one frontend.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    verdicts: BTreeSet<Verdict>,
    backends: BTreeMap<SocketAddr, Sources>,
    odd: BTreeSet<String>,
}

/// The client of a [`Seen`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) node: &'a Node,
    pub(super) class: Class,
    pub(super) ip: IpAddr,
}

impl Client<'_> {
    /// Both ends of a connection from a port of this client.
    pub(super) fn ends(&self, port: u16, proto: Protocol, dst: SocketAddr) -> Ends {
        Ends { protocol: proto, src: SocketAddr::new(self.ip, port), dst }
    }

    /// A process of the node.
    pub(super) fn is_process(&self) -> bool {
        matches!(self.class, Class::Node | Class::Localhost)
    }
}

impl Seen {
    /// Adds one.
    pub(super) fn add(&mut self, fate: Fate, client: &Client<'_>) {
        let verdict = match fate {
            Fate::Odd(why) => return self.add_odd(why),
            Fate::Pass => Verdict::Pass,
            Fate::Drop => Verdict::Drop,
            Fate::Reject => Verdict::Reject,
            Fate::Dnat(backend, source) => {
                self.add_backend(backend, source, client);
                Verdict::Dnat
            }
        };
        self.verdicts.insert(verdict);
    }

    fn add_backend(&mut self, backend: SocketAddr, source: Option<IpAddr>, client: &Client<'_>) {
        let sources = self.backends.entry(backend).or_default();
        match source {
            None => {}
            // A process has the node's address by right; nothing was replaced that could be seen.
            Some(ip) if ip == client.ip && !client.is_process() => sources.kept = true,
            Some(ip) if client.node.ips.contains(&ip) => sources.replaced = true,
            Some(ip) => {
                self.odd.insert(format!("{backend} saw {ip}, which is no address of the node"));
            }
        }
    }

    /// Notes something that no verdict is.
    pub(super) fn add_odd(&mut self, why: String) {
        self.odd.insert(why);
    }

    /// Whether any connection met this verdict.
    pub(super) fn has(&self, verdict: Verdict) -> bool {
        self.verdicts.contains(&verdict)
    }

    /// Those that were chosen.
    pub(super) fn backends(&self) -> impl Iterator<Item = &SocketAddr> {
        self.backends.keys()
    }

    /// Where it differs from what is expected.
    pub(super) fn differences(&self, expect: &Expect, client: &Client<'_>) -> Vec<String> {
        let mut found: Vec<String> = self.odd.iter().cloned().collect();
        if !self.verdicts.iter().eq([&expect.verdict]) {
            found.push(format!("expected {}, was {}", expect.verdict, self.verdict()));
            return found;
        }
        if expect.verdict != Verdict::Dnat {
            return found;
        }
        let missing = expect.backends.iter().filter(|addr| !self.backends.contains_key(addr));
        found.extend(missing.map(|addr| format!("missing  {addr}")));
        for (addr, sources) in &self.backends {
            if expect.backends.contains(addr) {
                found.extend(source_difference(expect, *addr, *sources, client));
            } else {
                found.push(format!("extra    {addr}"));
            }
        }
        found
    }

    /// All of it, in the form in which it is expected.
    pub(super) fn actual(&self) -> Actual {
        let replaced = |(addr, sources): (&SocketAddr, &Sources)| sources.replaced.then_some(*addr);
        let snat_for: BTreeSet<SocketAddr> = self.backends.iter().filter_map(replaced).collect();
        let snat = snat_for.len() == self.backends.len() && !snat_for.is_empty();
        Actual {
            verdict: self.verdict(),
            backends: self.backends.keys().copied().collect(),
            snat,
            snat_for: if snat { BTreeSet::new() } else { snat_for },
            odd: self.odd.iter().cloned().collect(),
        }
    }

    fn verdict(&self) -> String {
        let names: Vec<String> = self.verdicts.iter().map(Verdict::to_string).collect();
        if names.is_empty() { "nothing of that kind".to_owned() } else { names.join(" and ") }
    }
}

/// Whether a backend saw the wrong source. Where a process of the node asks, it sees an address of
/// the node in any case: it is translated before a packet is made.
fn source_difference(
    expect: &Expect,
    addr: SocketAddr,
    sources: Sources,
    client: &Client<'_>,
) -> Option<String> {
    let wanted = expect.snat? || expect.snat_for.contains(&addr);
    match (wanted, sources) {
        (true, Sources { kept: true, .. }) => {
            Some(format!("snat     {addr} saw {}, expected an address of the node", client.ip))
        }
        (false, Sources { replaced: true, .. }) if !client.is_process() => {
            Some(format!("snat     {addr} saw an address of the node, expected {}", client.ip))
        }
        _ => None,
    }
}

/// What was seen, in the form in which it is expected.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Actual {
    pub(super) verdict: String,
    pub(super) backends: BTreeSet<SocketAddr>,
    pub(super) snat: bool,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) snat_for: BTreeSet<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) odd: Vec<String>,
}

impl Actual {
    /// In few words.
    pub(super) fn summary(&self) -> String {
        let mut words = vec![self.verdict.clone()];
        match self.backends.iter().collect::<Vec<_>>().as_slice() {
            [] => {}
            [one] => words.push(one.to_string()),
            many => words.push(format!("{} backends", many.len())),
        }
        if self.snat {
            words.push("snat".to_owned());
        } else if !self.snat_for.is_empty() {
            words.push(format!("snat for {}", self.snat_for.len()));
        }
        words.join(", ")
    }
}
