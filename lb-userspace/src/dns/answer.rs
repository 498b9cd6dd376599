//! A question to a reply: from the zone, from the cache, or from upstreams.

use super::forward::{Forwarder, Key};
use super::wire::{Question, Reply};
use super::zone::{Answer, Known, MORE_THAN_FIT, Zone};
use crate::metrics::dns::{Part, Transport};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::sync::Arc;

/// How long the answer to ANY may be kept (RFC 8482, 4.2): it never changes.
const ANY_TTL: u32 = 3600;

/// Who answers.
#[derive(Clone, Debug)]
pub(super) struct Answerer {
    pub(super) zone: Arc<Zone>,
    pub(super) forwarder: Arc<Forwarder>,
}

/// What a question comes to.
pub(super) enum Verdict {
    /// This is the reply.
    Now(Reply),
    /// Upstreams have to be asked.
    Later(Errand),
}

/// What is asked of upstreams, and what their reply is put behind.
pub(super) struct Errand {
    key: Key,
    /// Aliases that led there.
    aliases: Vec<Record>,
}

impl Answerer {
    /// What can be said at once, and to which part of all names the question belongs.
    pub(super) fn at_once(&self, question: &Question, transport: Transport) -> (Part, Verdict) {
        if let Some(reply) = by_kind(question) {
            return (Part::None, Verdict::Now(reply));
        }
        let name = question.name();
        // Asked first: what comes to the zone in between may only add to what is there.
        let is_complete = self.zone.is_complete();
        let most = match transport {
            Transport::Udp => MORE_THAN_FIT,
            Transport::Tcp => usize::MAX,
        };
        match self.zone.sample(name, question.kind(), most) {
            Answer::Foreign => (Part::Other, self.foreign(question, name.clone(), Vec::new())),
            _ if !is_complete => (part(name), Verdict::Now(Reply::bare(ResponseCode::ServFail))),
            Answer::Endless => (Part::Cluster, Verdict::Now(Reply::bare(ResponseCode::ServFail))),
            Answer::Known(known) => (part(name), self.known(question, known)),
        }
    }

    /// What upstreams say.
    pub(super) async fn later(&self, errand: Errand) -> Reply {
        let reply = self.forwarder.ask(&errand.key).await;
        behind(errand.aliases, reply)
    }

    fn known(&self, question: &Question, known: Known) -> Verdict {
        let Known { no_such_name, answers, authorities, additionals, onward } = known;
        match onward {
            Some(target) if question.recursion_desired() && self.forwarder.is_able() => {
                self.foreign(question, target, answers)
            }
            _ => Verdict::Now(Reply {
                code: if no_such_name { ResponseCode::NXDomain } else { ResponseCode::NoError },
                authoritative: true,
                authentic: false,
                answers,
                authorities,
                additionals,
            }),
        }
    }

    fn foreign(&self, question: &Question, name: Name, aliases: Vec<Record>) -> Verdict {
        if !question.recursion_desired() || !self.forwarder.is_able() {
            return Verdict::Now(Reply::bare(ResponseCode::Refused));
        }
        let key = Key {
            name,
            kind: question.kind(),
            dnssec_ok: question.dnssec_ok(),
            checking_disabled: question.checking_disabled(),
        };
        match self.forwarder.cached(&key) {
            Some(reply) => Verdict::Now(behind(aliases, reply)),
            None => Verdict::Later(Errand { key, aliases }),
        }
    }
}

/// A reply behind the aliases that led to it. It is ours as far as the first name is.
fn behind(mut aliases: Vec<Record>, mut reply: Reply) -> Reply {
    if aliases.is_empty() {
        return reply;
    }
    aliases.append(&mut reply.answers);
    Reply { answers: aliases, authoritative: true, authentic: false, ..reply }
}

/// Questions that are answered alike whatever the name.
fn by_kind(question: &Question) -> Option<Reply> {
    let is_transfer = [RecordType::AXFR, RecordType::IXFR].contains(&question.kind());
    if is_transfer || question.class() != DNSClass::IN {
        return Some(Reply::bare(ResponseCode::Refused));
    }
    (question.kind() == RecordType::ANY).then(|| any(question.name()))
}

/// One record instead of all: nothing to amplify an attack with (RFC 8482, 4.2).
fn any(name: &Name) -> Reply {
    let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
    let answers = vec![Record::from_rdata(name.clone(), ANY_TTL, data)];
    Reply { answers, ..Reply::bare(ResponseCode::NoError) }
}

fn part(name: &Name) -> Part {
    let is_reverse =
        name.iter().next_back().is_some_and(|label| label.eq_ignore_ascii_case(b"arpa"));
    if is_reverse { Part::Reverse } else { Part::Cluster }
}
