//! The smallest name server: it knows the addresses of some names, and that there are no others.
//!
//! It stands for the recursive resolvers that a cluster asks about the rest of the world, by UDP.

use anyhow::{Context, Result};
use hickory_proto::op::{Message, Metadata, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How long its answers may be kept, in seconds, positive and negative.
pub const TTL: u32 = 30;

/// All names that there are.
pub(super) struct Names(BTreeMap<Name, Vec<IpAddr>>);

impl Names {
    /// Reads `NAME=ADDRESS` each.
    pub(super) fn new(records: &[String]) -> Result<Self> {
        let mut names = BTreeMap::<Name, Vec<IpAddr>>::new();
        for record in records {
            let (name, address) = read(record).context("expected NAME=ADDRESS")?;
            names.entry(name).or_default().push(address);
        }
        Ok(Self(names))
    }

    /// A packet to the packet that answers it; none if it is no question.
    pub(super) fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(packet).ok()?;
        let query = question.queries.first()?;
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&question.metadata);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let addresses = self.0.get(query.name());
        if addresses.is_none() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        let addresses = addresses.into_iter().flatten();
        let asked = addresses.filter(|address| record_type(**address) == query.query_type());
        answer.add_answers(asked.map(|one| record(query.name().clone(), (*one).into())));
        if answer.answers.is_empty() {
            let root = SOA::new(Name::root(), Name::root(), 1, 1800, 900, 604_800, TTL);
            answer.add_authority(record(Name::root(), RData::SOA(root)));
        }
        answer.to_vec().ok()
    }
}

fn read(record: &str) -> Result<(Name, IpAddr)> {
    let (name, address) = record.split_once('=').with_context(|| format!("{record:?}"))?;
    let address = address.parse().with_context(|| format!("{address:?} is no address"))?;
    let name = Name::from_ascii(name).with_context(|| format!("{name:?} is no name"))?;
    let (name, root) = (name.to_lowercase(), Name::root());
    Ok((name.append_domain(&root)?, address))
}

fn record(owner: Name, data: RData) -> Record {
    Record::from_rdata(owner, TTL, data)
}

fn record_type(address: IpAddr) -> RecordType {
    if address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;

    /// The code, and how many addresses and SOA records there are.
    fn asked(name: &str, kind: RecordType) -> (ResponseCode, usize, usize) {
        let names = ["a.example=192.0.2.1", "a.example=192.0.2.2"].map(str::to_owned);
        let names = Names::new(&names).unwrap();
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = names.answer(&question.to_vec().unwrap()).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        (answer.metadata.response_code, answer.answers.len(), answer.authorities.len())
    }

    #[test]
    fn a_name_has_its_addresses_and_nothing_else() {
        assert_eq!(asked("a.example.", RecordType::A), (ResponseCode::NoError, 2, 0));
        assert_eq!(asked("A.Example.", RecordType::A), (ResponseCode::NoError, 2, 0));
        assert_eq!(asked("a.example.", RecordType::AAAA), (ResponseCode::NoError, 0, 1));
        assert_eq!(asked("b.example.", RecordType::A), (ResponseCode::NXDomain, 0, 1));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for (record, expect) in [
            ("a.example", "expected NAME=ADDRESS"),
            ("a.example=b", "\"b\" is no address"),
            ("..=192.0.2.1", "\"..\" is no name"),
        ] {
            let said = format!("{:#}", Names::new(&[record.to_owned()]).err().unwrap());
            assert!(said.contains(expect), "{said}");
        }
    }
}
