//! What upstreams have said, as long as it may be kept, and longer while they are silent.
//!
//! One reply under one question, with nothing shared between questions: what an upstream slips
//! into an answer is never the answer to something else. Bounded by memory, not by count, and what
//! is asked once does not drive out what is asked often (`quick_cache` is S3-FIFO).

use super::super::wire::Reply;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use quick_cache::sync::{self, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Memory for replies, as they are estimated.
const MOST_BYTES: u64 = 32 << 20;
/// In how many parts it is kept. Not as many as there are processors: the largest reply has to fit
/// into the share of one.
const SHARDS: usize = 8;
/// What an entry takes beside its records, and what a record takes
/// beyond its length in a packet.
const ENTRY_BYTES: u64 = 512;
const RECORD_BYTES: u64 = 256;

/// However long a record may be kept, it is asked for anew after this.
const LONGEST: u32 = 3600;
/// The same for what does not exist (RFC 2308 finds one to three hours sensible).
const LONGEST_NEGATIVE: u32 = 1800;
/// How long a failure is remembered (RFC 9520 wants a second at least).
const FAILURE: Duration = Duration::from_secs(5);
/// How long after its end a reply may still be used (RFC 8767 recommends one to three days).
const STALE: Duration = Duration::from_hours(24);
/// How long a stale reply may be kept by clients (RFC 8767, 5.11).
pub(in crate::dns) const STALE_TTL: u32 = 30;
/// How long upstreams are left alone after a stale reply could not be renewed (RFC 8767, 5).
const RECHECK: Duration = Duration::from_secs(30);
/// So often asked for, a reply is renewed before its end.
const POPULAR: u32 = 3;
/// In this last part of its time: a tenth.
const LAST_PART: u32 = 10;

/// What is asked of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::dns) struct Key {
    pub(in crate::dns) name: Name,
    pub(in crate::dns) kind: RecordType,
    pub(in crate::dns) dnssec_ok: bool,
    pub(in crate::dns) checking_disabled: bool,
}

/// A reply that is kept.
#[derive(Debug)]
struct Kept {
    reply: Reply,
    /// What it takes.
    bytes: u64,
    since: Instant,
    ttl: Duration,
    asked: AtomicU32,
    /// Somebody is renewing it.
    renewed: AtomicBool,
    /// It could not be renewed: until when nobody tries again.
    silent_until: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, _: &Key, kept: &Arc<Kept>) -> u64 {
        kept.bytes
    }
}

/// What a reply takes in memory, roughly.
fn bytes(reply: &Reply) -> u64 {
    let Reply { answers, authorities, additionals, .. } = reply;
    let records = [answers, authorities, additionals].into_iter().flatten();
    ENTRY_BYTES + records.map(|record| RECORD_BYTES + packed(record)).sum::<u64>()
}

/// The length of a record in a packet.
fn packed(record: &Record) -> u64 {
    let length = record.to_bytes().map_or(0, |bytes| bytes.len());
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What the cache knows of a question.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dns) enum Found {
    /// This holds. The flag: it is time to renew it.
    Fresh(Reply, bool),
    /// This held. The flag: it is worth asking upstreams.
    Stale(Reply, bool),
    Nothing,
}

/// Replies by question.
#[derive(Debug)]
pub(in crate::dns) struct Cache(sync::Cache<Key, Arc<Kept>, Weight>);

impl Default for Cache {
    fn default() -> Self {
        let estimate = usize::try_from(MOST_BYTES / (ENTRY_BYTES + RECORD_BYTES));
        let estimate = estimate.unwrap_or(1 << 15);
        let mut options = OptionsBuilder::new();
        options.shards(SHARDS).estimated_items_capacity(estimate).weight_capacity(MOST_BYTES);
        let (hash, life) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(match options.build() {
            Ok(options) => sync::Cache::with_options(options, Weight, hash, life),
            // Something is missing above.
            Err(_) => sync::Cache::with(estimate, MOST_BYTES, Weight, hash, life),
        })
    }
}

impl Cache {
    /// What is known now.
    pub(in crate::dns) fn get(&self, key: &Key, now: Instant) -> Found {
        let Some(kept) = self.0.get(key) else { return Found::Nothing };
        let age = kept.age(now);
        if kept.holds(now) {
            let asked = kept.asked.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            let is_last = kept.ttl.saturating_sub(age) <= kept.ttl / LAST_PART;
            let is_worth_it = is_last && asked >= POPULAR && !is_negative(&kept.reply, key.kind);
            let renew = is_worth_it && !kept.renewed.swap(true, Ordering::Relaxed);
            return Found::Fresh(kept.aged(key, age), renew);
        }
        if kept.is_some_use(now) {
            return Found::Stale(kept.stale(key), !kept.is_silent(now));
        }
        Found::Nothing
    }

    /// Keeps what an upstream said, as long as it says.
    pub(in crate::dns) fn put(&self, key: &Key, reply: &Reply, now: Instant) {
        let ttl = if is_failure(reply.code) {
            FAILURE
        } else {
            Duration::from_secs(ttl(reply, key.kind).into())
        };
        if ttl.is_zero() {
            // What was said before does not hold any more, not even in need (RFC 8767, 4).
            self.0.remove(key);
        } else {
            self.0.insert(key.clone(), Arc::new(Kept::new(reply.clone(), now, ttl)));
        }
    }

    /// Upstreams have failed: what was known of the question stays, and is not asked for in the
    /// next time; nor is the question if nothing was known.
    pub(in crate::dns) fn fail(&self, key: &Key, failure: &Reply, now: Instant) {
        let kept = self.0.get(key).filter(|kept| kept.holds(now) || kept.is_some_use(now));
        match kept {
            None => self.put(key, failure, now),
            // It was to be renewed early: when it is over it is asked for as usual.
            Some(kept) if kept.holds(now) => {}
            Some(kept) => kept.silence(now + RECHECK),
        }
    }

    /// What was to be renewed early is not, and may be tried once more.
    pub(in crate::dns) fn give_up_renewal(&self, key: &Key) {
        if let Some(kept) = self.0.get(key) {
            kept.renewed.store(false, Ordering::Relaxed);
        }
    }

    /// How many replies are kept.
    pub(in crate::dns) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Kept {
    fn new(reply: Reply, since: Instant, ttl: Duration) -> Self {
        let (bytes, asked) = (bytes(&reply), AtomicU32::new(0));
        let (renewed, silent_until) = (AtomicBool::new(false), Mutex::default());
        Self { reply, bytes, since, ttl, asked, renewed, silent_until }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether it is still what the upstream says.
    fn holds(&self, now: Instant) -> bool {
        self.age(now) < self.ttl
    }

    /// Whether it is better than nothing.
    fn is_some_use(&self, now: Instant) -> bool {
        self.age(now) < self.ttl + STALE && !is_failure(self.reply.code)
    }

    fn aged(&self, key: &Key, age: Duration) -> Reply {
        let seconds = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let longest = u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX);
        self.with_ttl(key, |ttl| ttl.min(longest).saturating_sub(seconds))
    }

    fn stale(&self, key: &Key) -> Reply {
        self.with_ttl(key, |_| STALE_TTL)
    }

    /// The reply with other times.
    fn with_ttl(&self, key: &Key, ttl: impl Fn(u32) -> u32) -> Reply {
        let mut reply = spelled(self.reply.clone(), key);
        let answers = reply.answers.iter_mut();
        for record in answers.chain(&mut reply.authorities).chain(&mut reply.additionals) {
            record.ttl = ttl(record.ttl);
        }
        fastrand::shuffle(addresses(&mut reply.answers));
        reply
    }

    fn is_silent(&self, now: Instant) -> bool {
        let until = *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    fn silence(&self, until: Instant) {
        *self.silent_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// The reply with the name that was asked for as this client writes it.
pub(in crate::dns) fn spelled(mut reply: Reply, key: &Key) -> Reply {
    for record in reply.answers.iter_mut().filter(|record| record.name == key.name) {
        record.name.clone_from(&key.name);
    }
    reply
}

/// The addresses at the end of an answer. Aliases before them stand in their order.
fn addresses(answers: &mut [Record]) -> &mut [Record] {
    let is_address = |record: &Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
    let count = answers.iter().rev().take_while(|record| is_address(record)).count();
    let (_, addresses) = answers.split_at_mut(answers.len() - count);
    addresses
}

/// Whether an upstream could not say.
pub(in crate::dns) fn is_failure(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Whether the name does not exist, or has nothing of this kind.
pub(in crate::dns) fn is_negative(reply: &Reply, kind: RecordType) -> bool {
    let has_kind = reply.answers.iter().any(|record| record.record_type() == kind);
    reply.code == ResponseCode::NXDomain || !has_kind
}

/// How many seconds a reply may be kept; 0: not at all.
fn ttl(reply: &Reply, kind: RecordType) -> u32 {
    let answers = reply.answers.iter().map(|record| record.ttl).min();
    if !is_negative(reply, kind) {
        return answers.unwrap_or(0).min(LONGEST);
    }
    // RFC 2308: as the zone says, and not at all if it does not.
    let soa = reply.authorities.iter().find_map(|record| {
        let RData::SOA(soa) = &record.data else { return None };
        Some(record.ttl.min(soa.minimum))
    });
    soa.unwrap_or(0).min(answers.unwrap_or(u32::MAX)).min(LONGEST_NEGATIVE)
}
