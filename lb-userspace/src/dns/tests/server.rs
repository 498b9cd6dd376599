//! The whole server, over sockets of loopback.

use super::super::answer::Answerer;
use super::super::forward::Forwarder;
use super::super::heartbeat;
use super::super::server::access::Access;
use super::super::server::{Server, open};
use super::forward::{Upstream, address};
use super::{CLUSTER, changes, empty, name, words};
use crate::metrics::dns::Numbers;
use crate::model::Change;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A server of the cluster that asks these upstreams. Whether all objects are known, `complete`
/// says.
async fn serve(upstreams: &[SocketAddr], manifests: &str, complete: bool) -> SocketAddr {
    let (zone, mut writer) = empty();
    let mut told = changes(manifests);
    told.extend(complete.then_some(Change::Synced));
    for change in &told {
        writer.take_in(change);
    }
    let numbers = Numbers::new(upstreams);
    let forwarder = Arc::new(Forwarder::new(upstreams, numbers.clone()));
    let server = Server::new(Answerer { zone, forwarder }, Access::default(), numbers);
    let sockets = open("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = sockets.0.local_addr().unwrap();
    tokio::spawn(Arc::new(server).receive(sockets));
    addr
}

/// A question such as `web.shop.svc A`.
fn question(text: &str) -> Message {
    let (asked, kind) = text.split_once(' ').unwrap();
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(asked), RecordType::from_str(kind).unwrap()));
    message
}

async fn send(server: SocketAddr, packet: &[u8]) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(packet, server).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await.ok()?.unwrap();
    Some(Message::from_vec(&buffer[..length]).unwrap())
}

/// The answer by UDP.
async fn ask(server: SocketAddr, message: &Message) -> Message {
    send(server, &message.to_vec().unwrap()).await.unwrap()
}

/// An answer's code and records.
fn told(answer: &Message) -> (ResponseCode, Vec<String>) {
    (answer.metadata.response_code, answer.answers.iter().map(words).collect())
}

async fn converse(stream: &mut TcpStream, message: &Message) -> Message {
    let packet = message.to_vec().unwrap();
    stream.write_u16(packet.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&packet).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[tokio::test]
async fn the_cluster_is_answered_with_authority_by_both_transports() {
    let server = serve(&[], CLUSTER, true).await;
    let asked = question("web.shop.svc.cluster.local. A");
    let expected = (ResponseCode::NoError, vec!["A 10.96.0.10".to_owned()]);
    let answer = ask(server, &asked).await;
    assert_eq!((told(&answer), answer.metadata.authoritative), (expected.clone(), true));
    let mut stream = TcpStream::connect(server).await.unwrap();
    for _ in 0..3 {
        assert_eq!(told(&converse(&mut stream, &asked).await), expected);
    }
}

#[tokio::test]
async fn nothing_is_said_of_the_cluster_before_all_of_it_is_known() {
    let server = serve(&[], CLUSTER, false).await;
    for asked in ["web.shop.svc.cluster.local. A", "no.shop.svc.cluster.local. A"] {
        let answer = ask(server, &question(asked)).await;
        assert_eq!(told(&answer), (ResponseCode::ServFail, vec![]), "{asked}");
    }
}

#[tokio::test]
async fn an_external_name_is_looked_up_for_whoever_wants_it() {
    let upstream = Upstream::new(|_, question| Some(address(&question, 7, 60))).await;
    let server = serve(&[upstream.addr], CLUSTER, true).await;
    let mut asked = question("outside.shop.svc.cluster.local. A");
    let alias = "CNAME www.example.com.".to_owned();
    for _ in 0..2 {
        let answer = ask(server, &asked).await;
        let expected = vec![alias.clone(), "A 192.0.2.7".to_owned()];
        assert_eq!(told(&answer), (ResponseCode::NoError, expected));
        assert!(answer.metadata.recursion_available);
    }
    assert_eq!(upstream.asked(), 1);
    asked.metadata.recursion_desired = false;
    assert_eq!(told(&ask(server, &asked).await), (ResponseCode::NoError, vec![alias]));
}

#[tokio::test]
async fn other_names_are_upstreams_to_tell_if_there_are_any() {
    let upstream = Upstream::new(|_, question| Some(address(&question, 7, 60))).await;
    let server = serve(&[upstream.addr], CLUSTER, true).await;
    let mut asked = question("www.example. A");
    let answer = ask(server, &asked).await;
    assert_eq!(told(&answer), (ResponseCode::NoError, vec!["A 192.0.2.7".to_owned()]));
    assert!(!answer.metadata.authoritative);
    asked.metadata.recursion_desired = false;
    assert_eq!(told(&ask(server, &asked).await), (ResponseCode::Refused, vec![]));
    let alone = serve(&[], CLUSTER, true).await;
    let answer = ask(alone, &question("www.example. A")).await;
    assert_eq!(told(&answer), (ResponseCode::Refused, vec![]));
    assert!(!answer.metadata.recursion_available);
}

#[tokio::test]
async fn what_could_be_misused_is_refused_or_answered_in_brief() {
    let server = serve(&[], CLUSTER, true).await;
    let any = ask(server, &question("db.data.svc.cluster.local. ANY")).await;
    assert_eq!(told(&any), (ResponseCode::NoError, vec!["HINFO RFC8482 ".to_owned()]), "RFC 8482");
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let mut transfer = question("cluster.local. SOA");
        transfer.queries[0].set_query_type(kind);
        assert_eq!(told(&ask(server, &transfer).await), (ResponseCode::Refused, vec![]));
    }
    let mut chaos = question("version.bind. TXT");
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(told(&ask(server, &chaos).await), (ResponseCode::Refused, vec![]));
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_udp_comes_by_tcp() {
    let endpoints: Vec<String> =
        (1..=200).map(|last| format!("{{addresses: [10.244.1.{last}]}}")).collect();
    let many = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: many, namespace: x}}, spec: \
         {{clusterIP: None}}}}\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, \
         addressType: IPv4, metadata: {{name: m, namespace: x, labels: \
         {{kubernetes.io/service-name: many}}}}, endpoints: [{}]}}",
        endpoints.join(", ")
    );
    let server = serve(&[], &many, true).await;
    let asked = question("many.x.svc.cluster.local. A");
    let cut = ask(server, &asked).await;
    assert!(cut.metadata.truncation && (20..200).contains(&cut.answers.len()));
    let mut stream = TcpStream::connect(server).await.unwrap();
    let whole = converse(&mut stream, &asked).await;
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 200);
}

#[tokio::test]
async fn after_any_rubbish_it_answers_as_before() {
    let server = serve(&[], CLUSTER, true).await;
    let good = question("web.shop.svc.cluster.local. A").to_vec().unwrap();
    for at in 0..good.len() {
        for byte in [0x00, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
            let mut packet = good.clone();
            packet[at] = byte;
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.send_to(&packet, server).await.unwrap();
            socket.send_to(&packet[..at], server).await.unwrap();
        }
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert_eq!(send(server, &answer).await, None, "an answer is not answered");
    assert!(send(server, &good).await.is_some());
}

#[tokio::test]
async fn a_connection_ends_with_rubbish_and_others_do_not_notice() {
    let server = serve(&[], CLUSTER, true).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(&[0xff; 64]).await.unwrap();
    let ended = timeout(Duration::from_secs(2), stream.read_u8()).await.unwrap();
    assert!(ended.is_err(), "it is closed");
    let mut stream = TcpStream::connect(server).await.unwrap();
    let answer = converse(&mut stream, &question("web.shop.svc.cluster.local. A")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
}

#[tokio::test]
async fn whoever_opens_connections_without_end_keeps_nobody_out() {
    let server = serve(&[], CLUSTER, true).await;
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(TcpStream::connect(server).await.unwrap());
    }
    let mut stream = TcpStream::connect(server).await.unwrap();
    let asked = question("web.shop.svc.cluster.local. A");
    let answer = timeout(Duration::from_secs(5), converse(&mut stream, &asked)).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
}

/// Sends a question and does not wait.
async fn put(stream: &mut TcpStream, message: &Message) {
    let packet = message.to_vec().unwrap();
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &packet].concat()).await.unwrap();
}

async fn take(stream: &mut TcpStream) -> Message {
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

#[tokio::test]
async fn a_question_that_waits_holds_up_no_other_of_its_connection() {
    // The first try of the slow name is lost.
    let upstream =
        Upstream::new(|number, question| (number > 0).then(|| address(&question, 7, 60))).await;
    let server = serve(&[upstream.addr], CLUSTER, true).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    let slow = question("slow.example. A");
    put(&mut stream, &slow).await;
    while upstream.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let others = ["web.shop.svc.cluster.local. A", "fast.example. A"].map(question);
    for other in &others {
        let answer = timeout(Duration::from_secs(1), async {
            put(&mut stream, other).await;
            take(&mut stream).await
        });
        assert_eq!(answer.await.unwrap().metadata.id, other.metadata.id);
    }
    stream.shutdown().await.unwrap();
    let answer = take(&mut stream).await;
    assert_eq!(answer.metadata.id, slow.metadata.id, "whoever closes its side still hears");
    assert_eq!(told(&answer), (ResponseCode::NoError, vec!["A 192.0.2.7".to_owned()]));
}

#[tokio::test]
async fn more_questions_than_may_wait_are_all_answered() {
    let upstream = Upstream::new(|_, question| Some(address(&question, 7, 60))).await;
    let server = serve(&[upstream.addr], CLUSTER, true).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for number in 0..50 {
        put(&mut stream, &question(&format!("n{number}.example. A"))).await;
    }
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let answer = timeout(Duration::from_secs(5), take(&mut stream)).await.unwrap();
        names.insert(answer.queries[0].name().to_string());
    }
    assert_eq!(names.len(), 50);
}

#[tokio::test]
async fn a_datagram_that_is_too_long_is_ignored_not_cut() {
    let server = serve(&[], CLUSTER, true).await;
    let mut packet = question("web.shop.svc.cluster.local. A").to_vec().unwrap();
    packet.resize(4096, 0);
    assert!(send(server, &packet).await.is_some());
    packet.push(0);
    assert_eq!(send(server, &packet).await, None);
}

#[tokio::test]
async fn a_server_is_proven_by_each_answer_once_it_knows_the_cluster() {
    let beats = |server| async move {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let beat = move || {
            // Two are enough for whoever listens.
            let _ = told.send(());
        };
        let following = heartbeat::follow(server, name("cluster.local."), beat);
        let second = async { (heard.recv().await, heard.recv().await) };
        tokio::select! {
            () = following => false,
            beats = timeout(Duration::from_millis(1500), second) => beats.is_ok(),
        }
    };
    assert!(beats(serve(&[], CLUSTER, true).await).await);
    assert!(!beats(serve(&[], CLUSTER, false).await).await, "it knows nothing yet");
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    assert!(!beats(nobody.local_addr().unwrap()).await, "it says nothing");
}
