//! Upstreams that answer, and that do not.

use super::super::forward::{Forwarder, Key};
use super::super::wire::Reply;
use super::name;
use crate::metrics::dns::Numbers;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// An upstream of the test: where it is, and how often it was asked.
pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers as `answer` says; no answer if it says none.
    pub(super) async fn new(
        answer: impl Fn(usize, Message) -> Option<Message> + Send + 'static,
    ) -> Self {
        Self::raw(move |number, packet| {
            answer(number, Message::from_vec(packet).unwrap())
                .map(|answer| answer.to_vec().unwrap())
        })
        .await
    }

    /// The same with packets.
    async fn raw(answer: impl Fn(usize, &[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(number, &buffer[..length]) {
                    socket.send_to(&answer, client).await.unwrap();
                }
            }
        });
        Self { addr, asked }
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The answer to a question: an address whose last byte is `last`.
pub(super) fn address(question: &Message, last: u8, ttl: u32) -> Message {
    let mut answer = of(question, ResponseCode::NoError);
    let data = RData::from(Ipv4Addr::new(192, 0, 2, last));
    answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), ttl, data));
    answer
}

/// An answer without records.
fn of(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.response_code = code;
    answer.add_queries(question.queries.clone());
    answer
}

fn forwarder(upstreams: &[SocketAddr]) -> Arc<Forwarder> {
    Arc::new(Forwarder::new(upstreams, Numbers::new(upstreams)))
}

fn key(text: &str) -> Key {
    Key { name: name(text), kind: RecordType::A, dnssec_ok: false, checking_disabled: false }
}

/// The code and the last byte of the address.
fn told(reply: &Reply) -> (ResponseCode, Option<u8>) {
    let address = reply.answers.last().and_then(|record| {
        let RData::A(address) = &record.data else { return None };
        address.octets().last().copied()
    });
    (reply.code, address)
}

/// What comes of a question, from the cache or from upstreams.
async fn ask(forwarder: &Arc<Forwarder>, text: &str) -> (ResponseCode, Option<u8>) {
    let key = key(text);
    match forwarder.cached(&key) {
        Some(reply) => told(&reply),
        None => told(&forwarder.ask(&key).await),
    }
}

/// An address at which nobody answers, and says so.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

const FOUND: (ResponseCode, Option<u8>) = (ResponseCode::NoError, Some(1));

#[tokio::test]
async fn a_question_is_asked_once_and_then_known() {
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let forwarder = forwarder(&[upstream.addr]);
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    assert_eq!(ask(&forwarder, "WWW.example.").await, FOUND);
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn whoever_asks_while_it_is_under_way_waits_for_the_same_answer() {
    let upstream = Upstream::new(|number, question| {
        // The first is lost.
        (number > 0).then(|| address(&question, 1, 60))
    })
    .await;
    let forwarder = forwarder(&[upstream.addr]);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let forwarder = forwarder.clone();
            tokio::spawn(async move { ask(&forwarder, "www.example.").await })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.unwrap(), FOUND);
    }
    assert_eq!(upstream.asked(), 2, "a lost datagram is sent again");
}

#[tokio::test]
async fn an_upstream_that_is_gone_gives_way_to_the_next() {
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let forwarder = forwarder(&[nobody().await, upstream.addr]);
    let began = Instant::now();
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    assert!(began.elapsed() < Duration::from_secs(1), "nobody is not waited for");
}

#[tokio::test]
async fn an_upstream_that_was_silent_comes_last_for_a_while() {
    let silent = Upstream::new(|_, _| None).await;
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let forwarder = forwarder(&[silent.addr, upstream.addr]);
    assert_eq!(ask(&forwarder, "a.example.").await, FOUND);
    let began = Instant::now();
    assert_eq!(ask(&forwarder, "b.example.").await, FOUND);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!((silent.asked(), upstream.asked()), (1, 2));
}

#[tokio::test]
async fn an_upstream_that_cannot_say_gives_way_to_the_next() {
    let helpless = Upstream::new(|_, question| Some(of(&question, ResponseCode::ServFail))).await;
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let both = forwarder(&[helpless.addr, upstream.addr]);
    assert_eq!(ask(&both, "www.example.").await, FOUND);
    let alone = forwarder(&[helpless.addr]);
    assert_eq!(ask(&alone, "www.example.").await, (ResponseCode::ServFail, None));
    let asked = helpless.asked();
    assert_eq!(ask(&alone, "www.example.").await, (ResponseCode::ServFail, None));
    assert_eq!(helpless.asked(), asked, "RFC 9520: a failure is remembered");
}

#[tokio::test]
async fn what_does_not_exist_is_remembered_if_the_zone_says_how_long() {
    let upstream = Upstream::new(|_, question| {
        let mut answer = of(&question, ResponseCode::NXDomain);
        let soa = "example. 60 IN SOA ns.example. x.example. 1 1 1 1 60";
        let with_zone = question.queries[0].name().to_string().starts_with("zone");
        answer.authorities.extend(with_zone.then(|| record(soa)));
        Some(answer)
    })
    .await;
    let forwarder = forwarder(&[upstream.addr]);
    for _ in 0..3 {
        assert_eq!(ask(&forwarder, "zone.example.").await, (ResponseCode::NXDomain, None));
    }
    assert_eq!(upstream.asked(), 1);
    for _ in 0..2 {
        assert_eq!(ask(&forwarder, "bare.example.").await, (ResponseCode::NXDomain, None));
    }
    assert_eq!(upstream.asked(), 3);
}

/// A SOA record from its text.
fn record(text: &str) -> Record {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| fields[at].parse().unwrap();
    let soa = hickory_proto::rr::rdata::SOA::new(
        name(fields[4]),
        name(fields[5]),
        number(6),
        1,
        1,
        1,
        number(10),
    );
    Record::from_rdata(name(fields[0]), number(1), RData::SOA(soa))
}

#[tokio::test]
async fn what_was_known_is_told_while_upstreams_are_silent() {
    let upstream =
        Upstream::new(|number, question| (number == 0).then(|| address(&question, 1, 1))).await;
    let forwarder = forwarder(&[upstream.addr]);
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let began = Instant::now();
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND, "stale");
    let waited = began.elapsed();
    let limits = Duration::from_millis(1700)..Duration::from_millis(3500);
    assert!(limits.contains(&waited), "RFC 8767: after 1.8 s, not {waited:?}");
    // Both tries have failed by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (asked, began) = (upstream.asked(), Instant::now());
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND, "at once");
    assert!(began.elapsed() < Duration::from_millis(500));
    assert_eq!(upstream.asked(), asked, "nobody is asked in vain");
}

#[tokio::test]
async fn what_was_known_is_renewed_when_upstreams_are_back() {
    let upstream = Upstream::new(|number, question| {
        Some(address(&question, if number == 0 { 9 } else { 1 }, 1))
    })
    .await;
    let forwarder = forwarder(&[upstream.addr]);
    assert_eq!(ask(&forwarder, "www.example.").await, (ResponseCode::NoError, Some(9)));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
}

#[tokio::test]
async fn a_guess_is_not_an_answer() {
    let upstream = Upstream::new(|number, question| {
        let mut answer = address(&question, if number == 0 { 9 } else { 1 }, 60);
        if number == 0 {
            answer.metadata.id ^= 1;
        }
        Some(answer)
    })
    .await;
    let forwarder = forwarder(&[upstream.addr]);
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    assert_eq!(upstream.asked(), 2, "it is waited for the real one, and then asked again");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_fetched_by_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(addr).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let mut cut = of(&question, ResponseCode::NoError);
        cut.metadata.truncation = true;
        socket.send_to(&cut.to_vec().unwrap(), client).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = usize::from(stream.read_u16().await.unwrap());
        stream.read_exact(&mut buffer[..length]).await.unwrap();
        let answer = address(&question, 1, 60).to_vec().unwrap();
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    assert_eq!(ask(&forwarder(&[addr]), "www.example.").await, FOUND);
}

#[tokio::test]
async fn an_upstream_without_edns_is_asked_without_it() {
    for (code, with_question) in [(1, false), (1, true), (4, false), (4, true), (16, true)] {
        let upstream = Upstream::raw(move |_, packet| {
            let question = Message::from_vec(packet).unwrap();
            if question.edns.is_none() {
                return Some(address(&question, 1, 60).to_vec().unwrap());
            }
            if !with_question {
                let [a, b, ..] = *packet else { return None };
                return Some(vec![a, b, 0x81, 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            let mut answer = of(&question, ResponseCode::from(code >> 4, code & 0xf));
            answer.edns = (code > 15).then(hickory_proto::op::Edns::new);
            Some(answer.to_vec().unwrap())
        })
        .await;
        let began = Instant::now();
        let told = ask(&forwarder(&[upstream.addr]), "www.example.").await;
        assert_eq!((told, upstream.asked()), (FOUND, 2), "{code} {with_question}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_waited_for() {
    // It says that there is a record, and there is none; nobody listens for TCP.
    let broken = Upstream::raw(|_, packet| {
        let mut answer = of(&Message::from_vec(packet).unwrap(), ResponseCode::NoError);
        answer.metadata.id = u16::from_be_bytes([packet[0], packet[1]]);
        let mut answer = answer.to_vec().unwrap();
        answer[7] = 1;
        Some(answer)
    })
    .await;
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let forwarder = forwarder(&[broken.addr, upstream.addr]);
    let began = Instant::now();
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    assert!(began.elapsed() < Duration::from_secs(1), "the next one is asked at once");
    assert_eq!((broken.asked(), upstream.asked()), (1, 1));
}

#[tokio::test]
async fn three_silent_upstreams_leave_time_for_a_fourth() {
    let silent = Upstream::new(|_, _| None).await;
    let upstream = Upstream::new(|_, question| Some(address(&question, 1, 60))).await;
    let forwarder = forwarder(&[silent.addr, silent.addr, silent.addr, upstream.addr]);
    assert_eq!(ask(&forwarder, "www.example.").await, FOUND);
    assert_eq!((silent.asked(), upstream.asked()), (3, 1));
}
