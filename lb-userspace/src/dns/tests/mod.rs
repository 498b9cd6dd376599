//! What the name server answers: to questions about the cluster, over sockets, and with upstreams
//! that are threads of the test.

/// Replies of upstreams, and what becomes of them.
mod cache;
/// Upstreams that answer, and that do not.
mod forward;
/// Packets, good and bad.
mod packets;
/// Sockets.
mod server;
/// The specification.
mod spec;
/// Changes of the model.
mod update;

use super::zone::{Answer, Settings, Writer, Zone};
use crate::model::Change;
use crate::source::delivered;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

const CLUSTER: &str = include_str!("cluster.yaml");

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// What objects are to the model.
fn changes(manifests: &str) -> Vec<Change> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(manifests).unwrap();
    let delivered = documents.iter().flat_map(|document| delivered(document).unwrap());
    delivered.map(|delivered| delivered.change).collect()
}

fn empty() -> (Arc<Zone>, Writer) {
    let zone = Arc::new(Zone::new(
        Settings {
            domain: name("cluster.local."),
            ttl: 5,
            ranges: ["10.96.0.0/16", "fd00:10:96::/112", "10.244.0.0/16"]
                .map(|range| range.parse().unwrap())
                .into(),
            servers: vec!["169.254.20.10".parse().unwrap()],
        },
        1000,
    ));
    (zone.clone(), Writer::new(zone))
}

/// A zone of these objects, complete.
fn zone_of(manifests: &str) -> (Arc<Zone>, Writer) {
    let (zone, mut writer) = empty();
    for change in changes(manifests) {
        writer.take_in(&change);
    }
    writer.take_in(&Change::Synced);
    (zone, writer)
}

/// A record as people write it, without what is the same for all.
fn words(record: &Record) -> String {
    if matches!(record.data, RData::SOA(_)) {
        return format!("SOA {}", record.name);
    }
    let data = &record.data;
    format!("{} {data}", record.record_type())
}

/// The answer to a question such as `web.shop.svc A`, the records in order; an address stands for
/// its reverse name.
fn told(zone: &Zone, question: &str) -> String {
    let (asked, kind) = question.split_once(' ').unwrap();
    let asked = asked.parse().map_or_else(|_| name(asked), |address: IpAddr| address.into());
    let known = match zone.answer(&asked, RecordType::from_str(kind).unwrap()) {
        Answer::Foreign => return "foreign".to_owned(),
        Answer::Endless => return "endless".to_owned(),
        Answer::Known(known) => known,
    };
    let mut answers: Vec<String> = known.answers.iter().map(words).collect();
    answers.sort();
    let code = if known.no_such_name { "NXDOMAIN" } else { "NOERROR" };
    let soa = known.authorities.iter().map(words).map(|soa| format!("[{soa}]"));
    let onward = known.onward.iter().map(|target| format!("-> {target}"));
    let told: Vec<String> =
        std::iter::once(code.to_owned()).chain(answers).chain(soa).chain(onward).collect();
    told.join(" ")
}
