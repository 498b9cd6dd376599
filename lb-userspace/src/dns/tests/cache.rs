//! What is kept of replies, and for how long.

use super::super::forward::Key;
use super::super::forward::cache::{Cache, Found, STALE_TTL};
use super::super::wire::Reply;
use super::name;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn key(text: &str) -> Key {
    let name = name(text);
    Key { name, kind: RecordType::A, dnssec_ok: false, checking_disabled: false }
}

fn address(ttl: u32) -> Record {
    let data = RData::from(Ipv4Addr::new(192, 0, 2, 1));
    Record::from_rdata(name("www.example."), ttl, data)
}

fn alias(ttl: u32) -> Record {
    Record::from_rdata(name("www.example."), ttl, RData::CNAME(CNAME(name("a.example."))))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let data = SOA::new(name("ns.example."), name("x.example."), 1, 1, 1, 1, minimum);
    Record::from_rdata(name("example."), ttl, RData::SOA(data))
}

fn reply(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Reply {
    Reply { answers, authorities, ..Reply::bare(code) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// For how many seconds a reply is kept as it is.
fn kept(reply: &Reply) -> u64 {
    let (cache, now) = (Cache::default(), Instant::now());
    cache.put(&key("www.example."), reply, now);
    let fresh = |after: &u64| {
        matches!(cache.get(&key("www.example."), now + seconds(*after)), Found::Fresh(..))
    };
    (0..5000).find(|after| !fresh(after)).unwrap()
}

#[test]
fn a_reply_is_kept_as_long_as_it_says() {
    use ResponseCode::{NXDomain, NoError, Refused, ServFail};
    for (what, reply, expected) in [
        ("records", reply(NoError, vec![address(60)], vec![]), 60),
        ("the shortest counts", reply(NoError, vec![alias(20), address(60)], vec![]), 20),
        ("not at all", reply(NoError, vec![address(0)], vec![]), 0),
        ("an hour at most", reply(NoError, vec![address(100_000)], vec![]), 3600),
        ("RFC 2308: no such name", reply(NXDomain, vec![], vec![soa(300, 60)]), 60),
        ("the shorter of both", reply(NXDomain, vec![], vec![soa(30, 60)]), 30),
        ("no such type", reply(NoError, vec![], vec![soa(300, 60)]), 60),
        ("behind an alias", reply(NoError, vec![alias(20)], vec![soa(300, 60)]), 20),
        ("half an hour at most", reply(NXDomain, vec![], vec![soa(9000, 9000)]), 1800),
        ("without a zone that says so", reply(NXDomain, vec![], vec![]), 0),
        ("a failure", reply(ServFail, vec![], vec![]), 5),
        ("a refusal", reply(Refused, vec![], vec![soa(300, 60)]), 5),
    ] {
        assert_eq!(kept(&reply), expected, "{what}");
    }
}

#[test]
fn times_run_while_it_is_kept() {
    let (cache, now) = (Cache::default(), Instant::now());
    cache.put(&key("www.example."), &reply(ResponseCode::NoError, vec![address(60)], vec![]), now);
    let after = |passed| match cache.get(&key("WWW.example."), now + seconds(passed)) {
        Found::Fresh(reply, _) | Found::Stale(reply, _) => reply.answers[0].clone(),
        Found::Nothing => panic!("nothing after {passed} s"),
    };
    assert_eq!(after(0).ttl, 60);
    assert_eq!(after(59).ttl, 1);
    assert!(after(0).name.eq_case(&name("WWW.example.")), "spelled as it was asked");
    assert_eq!(after(60).ttl, STALE_TTL, "RFC 8767");
    assert_eq!(after(60 + 86_399).ttl, STALE_TTL);
    assert_eq!(cache.get(&key("www.example."), now + seconds(60 + 86_400)), Found::Nothing);
}

#[test]
fn what_may_not_be_kept_takes_the_place_of_what_was_said_before() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    for newer in [
        reply(ResponseCode::NoError, vec![address(0)], vec![]),
        reply(ResponseCode::NXDomain, vec![], vec![]),
    ] {
        cache.put(&own, &reply(ResponseCode::NoError, vec![address(60)], vec![]), now);
        cache.put(&own, &newer, now + seconds(70));
        assert_eq!(cache.get(&own, now + seconds(71)), Found::Nothing, "{newer:?}");
    }
}

#[test]
fn an_early_renewal_that_fails_changes_nothing() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    cache.put(&own, &reply(ResponseCode::NoError, vec![address(100)], vec![]), now);
    cache.fail(&own, &Reply::bare(ResponseCode::ServFail), now + seconds(95));
    assert!(matches!(cache.get(&own, now + seconds(99)), Found::Fresh(..)));
    assert!(
        matches!(cache.get(&own, now + seconds(101)), Found::Stale(_, true)),
        "it is asked for"
    );
}

#[test]
fn a_renewal_that_never_began_is_tried_again() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    cache.put(&own, &reply(ResponseCode::NoError, vec![address(100)], vec![]), now);
    let renews = || matches!(cache.get(&own, now + seconds(91)), Found::Fresh(_, true));
    assert!(!renews() && !renews() && renews() && !renews());
    cache.give_up_renewal(&own);
    assert!(renews());
}

#[test]
fn other_questions_are_others() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    cache.put(&own, &reply(ResponseCode::NoError, vec![address(60)], vec![]), now);
    for other in [
        key("example."),
        Key { kind: RecordType::AAAA, ..own.clone() },
        Key { dnssec_ok: true, ..own.clone() },
        Key { checking_disabled: true, ..own.clone() },
    ] {
        assert_eq!(cache.get(&other, now), Found::Nothing, "{other:?}");
    }
}

#[test]
fn what_is_asked_often_is_renewed_in_its_last_part() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    cache.put(&own, &reply(ResponseCode::NoError, vec![address(100)], vec![]), now);
    let renews = |after| matches!(cache.get(&own, now + seconds(after)), Found::Fresh(_, true));
    assert!(!renews(91), "asked for the first time");
    assert!(!renews(92));
    assert!(!renews(50), "there is time");
    assert!(renews(91));
    assert!(!renews(92), "once");
}

#[test]
fn what_cannot_be_renewed_is_left_alone_for_a_while() {
    let (cache, now) = (Cache::default(), Instant::now());
    let own = key("www.example.");
    cache.put(&own, &reply(ResponseCode::NoError, vec![address(60)], vec![]), now);
    let failed = Reply::bare(ResponseCode::ServFail);
    let tries = |after| match cache.get(&own, now + seconds(after)) {
        Found::Stale(_, tries) => tries,
        other @ (Found::Fresh(..) | Found::Nothing) => panic!("{other:?}"),
    };
    assert!(tries(61));
    cache.fail(&own, &failed, now + seconds(61));
    assert!(!tries(62) && !tries(90) && tries(92));
    let new = key("new.example.");
    cache.fail(&new, &failed, now);
    assert_eq!(cache.get(&new, now), Found::Fresh(failed, false), "RFC 9520: a failure is kept");
    assert_eq!(cache.get(&new, now + seconds(6)), Found::Nothing, "and is never stale");
}

#[test]
fn memory_is_limited() {
    let (cache, now) = (Cache::default(), Instant::now());
    let reply = reply(ResponseCode::NoError, (0..100).map(|_| address(60)).collect(), vec![]);
    for number in 0..3000 {
        cache.put(&key(&format!("{number}.example.")), &reply, now);
    }
    // 100 records of 27 bytes and an entry are taken for 28 812 bytes, the limit is 32 MiB.
    assert!((800..=1164).contains(&cache.len()), "{}", cache.len());
}
