//! Questions to the name server: whatever comes is answered within the limits or not at all, an
//! answer is never taken for a question, and every one can be read to its last byte.

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use lb_userspace::dns::{Deaf, Transport};
use lb_userspace::source::delivered;
use serde_json::json;

/// The most that a datagram may have.
const MOST_UDP: usize = 1232;
/// The same for whoever does not say so by an OPT record.
const PLAIN_UDP: usize = 512;
/// The answer to what is no question.
const HEADER: usize = 12;
const IS_ANSWER: u8 = 0x80;

thread_local! {
    static SERVER: Deaf = server();
}

/// A server that knows a headless Service with enough endpoints to be cut, one with a cluster
/// address, and an alias.
fn server() -> Deaf {
    let endpoints: Vec<_> =
        (1..=100).map(|last| json!({"addresses": [format!("10.244.0.{last}")]})).collect();
    let service = |name: &str, spec: serde_json::Value| {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "n"}, "spec": spec})
    };
    let objects = [
        service("web", json!({"clusterIPs": ["10.96.0.10"], "ports": [{"name": "p", "port": 1}]})),
        service("db", json!({"clusterIP": "None", "ports": [{"name": "p", "port": 1}]})),
        service("out", json!({"type": "ExternalName", "externalName": "web.n.svc.cluster.local"})),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "db", "namespace": "n",
                "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "ports": [{"name": "p", "port": 1}], "endpoints": endpoints}),
    ];
    let changes = objects.iter().flat_map(|object| delivered(object).unwrap());
    Deaf::new(changes.map(|delivered| delivered.change))
}

/// Sends a packet by both transports.
pub fn run(packet: &[u8]) {
    SERVER.with(|server| {
        check(server, packet, Transport::Udp, MOST_UDP);
        check(server, packet, Transport::Tcp, usize::from(u16::MAX));
    });
}

fn check(server: &Deaf, packet: &[u8], transport: Transport, most: usize) {
    let Some(answer) = server.answer(packet, transport) else { return };
    assert!((HEADER..=most).contains(&answer.len()), "{} bytes", answer.len());
    assert_eq!(answer[..2], packet[..2], "the number is the question's");
    assert!(answer[2] & IS_ANSWER != 0 && packet[2] & IS_ANSWER == 0);
    assert_eq!(server.answer(&answer, transport), None, "an answer is not answered");
    if answer.len() > HEADER {
        is_whole(packet, &answer, transport);
    }
}

/// What is more than a refusal has been read: it repeats the question, and speaks EDNS to whoever
/// does.
fn is_whole(packet: &[u8], answer: &[u8], transport: Transport) {
    let asked = Message::from_vec(packet).unwrap();
    let mut decoder = BinDecoder::new(answer);
    let told = Message::read(&mut decoder).unwrap();
    assert!(decoder.is_empty(), "{} bytes behind the end", decoder.len());
    assert!(told.queries[0].name().eq_case(asked.queries[0].name()), "the question is repeated");
    assert_eq!(told.queries, asked.queries);
    assert_eq!(told.edns.is_some(), asked.edns.is_some(), "OPT is for whoever sends it");
    let is_plain = transport == Transport::Udp && asked.edns.is_none();
    assert!(!is_plain || answer.len() <= PLAIN_UDP, "{} bytes without OPT", answer.len());
}
